"""Every case of golden.json that an equation can express, in float64 and float32, with the case's own tolerance.

A handler returns what the code gives under the names of the case's `expected`, and beside it what each of the
`wrong_values_that_reveal_a_bug` has to be compared with: it must come out different.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posttrain.algorithms import (
    Moments,
    adaptive_kl_coef,
    aggregate,
    center_regularizer,
    clip_fractions,
    clipped_surrogate,
    clipped_tokens,
    entropy,
    exact_kl,
    generalized_advantages,
    group_relative_advantages,
    importance_ratio,
    k1,
    k2,
    k3,
    last_token_index,
    leave_one_out_advantages,
    log_ratio,
    masked_mean,
    masked_moments,
    old_policy_kl,
    pairwise_accuracy,
    pairwise_loss,
    returns,
    sampler_mismatch,
    soft_overlong_penalty,
    token_logprobs,
    token_rewards,
    truncated_importance_weights,
    value_clip_fraction,
    value_loss,
    whiten,
)

CASES = {
    case["name"]: case for case in json.loads((Path(__file__).parent / "golden.json").read_text())["cases"]
}

ELSEWHERE = {
    "packing_position_ids": "positions of packed documents belong to data/packing",
    "lr_schedule_steps": "the learning-rate schedule belongs to training/optimizer",
}
NOT_OURS = {  # names inside a case that describe a convention this library does not offer
    "ddof0_eps1e-06": "std is the sample one (n - 1)",
    "ddof0_eps0.0001": "std is the sample one (n - 1)",
    "or_raise": "a group of one gets 0",
    "seq_mean_token_mean_over_all": "'sequence' counts the rows that have a counted token",
}
NOT_WRONG = {("ppo_reward_assembly", "sign_flipped_kl")}  # the file gives the right values under this name
DTYPES = {"float64": torch.float64, "float32": torch.float32}

Found = dict[str, Any]
Handler = Callable[[dict[str, Any], torch.dtype], tuple[Found, Found]]
HANDLERS: dict[str, Handler] = {}


def handles(*prefixes: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(prefixes, handler))
        return handler

    return register


def handler_of(name: str) -> Handler | None:
    fitting = [prefix for prefix in HANDLERS if name.startswith(prefix)]
    return HANDLERS[max(fitting, key=len)] if fitting else None


def to_bool(mask: Any) -> Tensor:
    return torch.tensor(mask).bool()


def grad_of(x: Tensor, total: Tensor) -> Tensor:
    return torch.autograd.grad(total, x, retain_graph=True)[0]


@handles("bt_")
def bradley_terry(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    chosen = torch.tensor(inputs["reward_chosen"], dtype=dtype, requires_grad=True)
    rejected = torch.tensor(inputs["reward_rejected"], dtype=dtype, requires_grad=True)
    margin = torch.tensor(inputs["margin"], dtype=dtype) if "margin" in inputs else None
    per_pair = pairwise_loss(
        chosen, rejected, margin=margin, label_smoothing=inputs.get("label_smoothing", 0.0)
    )
    center_term = center_regularizer(chosen + rejected)
    loss = per_pair.mean() + inputs.get("center_coefficient", 0.0) * center_term
    accuracy = pairwise_accuracy(chosen, rejected)
    found = {
        "per_pair": per_pair,
        "loss": loss,
        "center_term": center_term,
        "accuracy": accuracy,
        "grad_chosen": grad_of(chosen, loss),
        "grad_rejected": grad_of(rejected, loss),
    }
    found["finite"] = all(bool(torch.isfinite(x).all()) for x in found.values())
    return found, {
        "accuracy_with_ge": accuracy,
        "loss_if_mean_over_2N_rows": loss,
        "center_term_if_sum_of_squares": center_term,
    }


@handles("rm_last_token_index")
def reward_position(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    index = last_token_index(to_bool(inputs["attention_mask"]))
    return {"index": index}, dict.fromkeys(
        ("first_eos", "argmax_eq_pad_minus_1", "length_minus_1", "last_column"), index
    )


@handles("gae_")
def gae(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    values = torch.tensor(inputs["values"], dtype=dtype)
    mask = to_bool(inputs["mask"]) if "mask" in inputs else torch.ones_like(values, dtype=torch.bool)
    if "score" in inputs:
        kl = torch.tensor(inputs["kl_k1"], dtype=dtype)[None] if "kl_k1" in inputs else None
        scores = torch.tensor([inputs["score"]], dtype=dtype)
        rewards = token_rewards(scores, kl, mask[None], kl_coef=inputs.get("beta", 0.0))[0]
    else:
        rewards = torch.tensor(inputs["rewards"], dtype=dtype)
    bootstrap = torch.full(mask.shape[:-1], inputs.get("bootstrap_value", 0.0), dtype=dtype)
    advantages = generalized_advantages(
        rewards,
        values,
        mask,
        gamma=inputs["gamma"],
        gae_lambda=inputs["lam"],
        horizon=inputs.get("K"),
        bootstrap_values=bootstrap,
    )
    targets = returns(advantages, values, mask)
    assert targets.dtype == advantages.dtype == dtype
    rivals = dict.fromkeys(("K_plus_1", "double_counted", "leaked", "no_mask"), advantages)
    return {"rewards": rewards, "advantages": advantages, "returns": targets}, rivals | {
        "reward_on_first_pad": advantages[..., : int(mask.sum())]
    }


@handles("gae_rlax_anchor")
def gae_anchor(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    """rlax has one discount per step; a discount of 0 ends a segment, so each segment is a response of its own."""
    rows = []
    for row_rewards, row_values, discounts in zip(
        inputs["rewards"], inputs["values_including_bootstrap"], inputs["per_step_discount"], strict=True
    ):
        row: list[float] = []
        start = 0
        ends = [t + 1 for t, discount in enumerate(discounts) if discount == 0] + [len(discounts)]
        for end in ends:
            ended = discounts[end - 1] == 0
            advantages = generalized_advantages(
                torch.tensor(row_rewards[start:end], dtype=dtype),
                torch.tensor(row_values[start:end], dtype=dtype),
                torch.ones(end - start, dtype=torch.bool),
                gamma=max(discounts),
                gae_lambda=inputs["lam"],
                bootstrap_values=torch.tensor(0.0 if ended else row_values[end], dtype=dtype),
            )
            row += advantages.tolist()
            start = end
        rows.append(row)
    return {"advantages": torch.tensor(rows, dtype=dtype)}, {}


@handles("whiten_masked")
def whitening(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    advantages, mask = torch.tensor(inputs["advantages"], dtype=dtype), to_bool(inputs["mask"])
    moments = masked_moments(advantages, mask)
    if inputs["ddof"] == 1:  # not the library's choice; reached by handing it other moments
        wider = moments.sum_squared_deviations * moments.count / (moments.count - 1)
        moments = Moments(moments.count, moments.mean, wider)
        whitened = whiten(advantages, mask, moments=moments)
    else:
        whitened = whiten(advantages, mask)
    assert torch.equal(whitened[~mask], torch.zeros_like(whitened[~mask]))
    found = {"mean": moments.mean, "std": moments.variance.sqrt(), "whitened": whitened}
    return found, {"mean_over_padded": moments.mean}


def surrogate_points(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    points = inputs["points"]
    raw = torch.tensor([[p["log_ratio"] for p in points]], dtype=dtype, requires_grad=True)
    advantages = torch.tensor([[p["advantage"] for p in points]], dtype=dtype)
    clips = {
        "clip_low": inputs.get("eps_low", inputs.get("eps")),
        "clip_high": inputs.get("eps_high", inputs.get("eps")),
    }
    loss = clipped_surrogate(raw, advantages, **clips)
    cut = clipped_tokens(raw, advantages, **clips)
    found = [
        {
            "ratio": r,
            "log_ratio": lr,
            "advantage": a,
            "loss": x,
            "dloss_dlogp": g,
            "clipped": c,
        }
        for r, lr, a, x, g, c in zip(
            importance_ratio(raw)[0].tolist(),
            raw[0].tolist(),
            advantages[0].tolist(),
            loss[0].tolist(),
            grad_of(raw, loss.sum())[0].tolist(),
            (cut.low | cut.high)[0].tolist(),
            strict=True,
        )
    ]
    return {"points": found}, {}


handles("clip_surrogate_grid", "clip_higher_dapo")(surrogate_points)


@handles("first_epoch_ratio_one")
def first_epoch(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    logp = torch.tensor([inputs["logp"]], dtype=dtype, requires_grad=True)
    old, advantages = (torch.tensor([inputs[key]], dtype=dtype) for key in ("old_logp", "advantages"))
    mask = torch.ones_like(old, dtype=torch.bool)
    raw = log_ratio(logp, old, mask, level="token")
    clips = {"clip_low": inputs["eps"], "clip_high": inputs["eps"]}
    loss_sum, units = aggregate(clipped_surrogate(raw, advantages, **clips), mask, mode="token")
    loss = loss_sum / units
    assert torch.equal(importance_ratio(raw), torch.ones_like(raw))
    low, high, dual = clip_fractions(raw, advantages, mask, **clips)
    return {
        "ratio": importance_ratio(raw)[0],
        "loss": loss,
        "grad_logp": grad_of(logp, loss)[0],
        "clip_fraction": low + high + dual,
        "approx_kl": masked_mean(old_policy_kl(raw), mask),
    }, {}


@handles("clip_surrogate_rlax_anchor")
def surrogate_anchor(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    actions = torch.tensor([inputs["actions"]])
    logp, old = (
        token_logprobs(torch.tensor([inputs[k]], dtype=dtype), actions) for k in ("logits", "old_logits")
    )
    mask = torch.ones_like(actions, dtype=torch.bool)
    raw = log_ratio(logp, old, mask, level="token")
    clips = {"clip_low": inputs["epsilon"], "clip_high": inputs["epsilon"]}
    losses = [
        masked_mean(clipped_surrogate(raw, torch.tensor([row], dtype=dtype), **clips), mask)
        for row in inputs["advantages"]
    ]
    return {"loss": torch.stack(losses)}, {}


@handles("clip_fraction_definition")
def clip_fraction(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    ratio, advantages = (torch.tensor([inputs[k]], dtype=dtype) for k in ("ratio", "advantages"))
    mask = torch.ones_like(ratio, dtype=torch.bool)
    low, high, dual = clip_fractions(
        ratio.log(), advantages, mask, clip_low=inputs["eps"], clip_high=inputs["eps"]
    )
    total = low + high + dual
    return {"active_clip_fraction": total, "high": high, "low": low}, {"naive_abs_ratio": total}


@handles("kl_full_both_directions")
def kl_exact(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    policy, reference = (torch.tensor(inputs[k], dtype=dtype).log() for k in ("policy", "reference"))
    return {
        "reverse_KL_policy_ref": exact_kl(policy, reference, direction="reverse"),
        "forward_KL_ref_policy": exact_kl(policy, reference, direction="forward"),
    }, {}


@handles("kl_k123_per_action")
def kl_estimators(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    policy, logp, ref = (torch.tensor(inputs[k], dtype=dtype) for k in ("policy", "logp", "ref_logp"))
    one, two, three = k1(logp, ref), k2(logp, ref), k3(logp, ref)
    return {
        "k1": one,
        "k2": two,
        "k3": three,
        "E_k1": (policy * one).sum(),
        "E_k2": (policy * two).sum(),
        "E_k3": (policy * three).sum(),
        "KL": exact_kl(
            policy.log(), torch.tensor(inputs["reference"], dtype=dtype).log(), direction="reverse"
        ),
    }, {"k3_with_sign_flipped": three}


@handles("kl_adaptive_controller")
def kl_controller(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    new = adaptive_kl_coef(
        inputs["beta"],
        inputs["observed_kl"],
        target=inputs["target"],
        num_steps=inputs["n_steps"],
        horizon=inputs["horizon"],
    )
    return {"new_beta": new}, {}


@handles("entropy_")
def exact_entropy(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    logits = torch.tensor(inputs["logits"], dtype=dtype, requires_grad=True)
    value = entropy(logits)
    for temperature in (0.5, 2.0):
        torch.testing.assert_close(entropy(logits * temperature, temperature=temperature), value)
    return {"entropy": value, "grad_logits": grad_of(logits, value)}, {}


@handles("group_")
def groups(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    rewards = torch.tensor(inputs["rewards"], dtype=dtype)
    ids = torch.full((len(rewards),), 7)
    advantages = group_relative_advantages(rewards, ids)
    population = advantages * math.sqrt(len(rewards) / max(len(rewards) - 1, 1))
    return {
        "ddof1_eps1e-06": group_relative_advantages(rewards, ids, epsilon=1e-6),
        "ddof1_eps0.0001": group_relative_advantages(rewards, ids, epsilon=1e-4),
        "dr_grpo_centered": group_relative_advantages(rewards, ids, scale="none"),
        "rloo": leave_one_out_advantages(rewards, ids),
        "advantages": advantages,
        "positive": population.max(),
        "negative": population.min(),
        "sum": population.sum(),
    }, {"verl_convention_mean0_std1": advantages, "torch_std_ddof1": advantages}


@handles("group_zero_variance")
def equal_groups(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    rewards = torch.tensor([r for group in inputs["rewards"] for r in group], dtype=dtype)
    ids = torch.tensor([i for i, group in enumerate(inputs["rewards"]) for _ in group])
    advantages = group_relative_advantages(rewards, ids)
    assert torch.equal(advantages, torch.zeros_like(rewards))
    return {"advantages": [advantages[ids == i] for i in range(len(inputs["rewards"]))]}, {}


@handles("value_loss_points")
def value_points(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    found = []
    for point in inputs["points"]:
        value = torch.tensor([[point["v"]]], dtype=dtype, requires_grad=True)
        old, target = (torch.tensor([[point[k]]], dtype=dtype) for k in ("v_old", "ret"))
        half = 0.5 * value_loss(value, target, old_values=old, clip=point["clip"])  # the case has the 1/2
        found.append({**point, "loss": half.item(), "dloss_dv": grad_of(value, half.sum()).item()})
    return {"points": found}, {}


@handles("value_loss_masked_token_mean")
def value_mean(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    values, old, targets = (torch.tensor(inputs[k], dtype=dtype) for k in ("v", "v_old", "returns"))
    mask, clip = to_bool(inputs["mask"]), inputs["clip"]
    loss_sum, units = aggregate(value_loss(values, targets, old_values=old, clip=clip), mask, mode="token")
    loss = 0.5 * loss_sum / units
    fraction = value_clip_fraction(values, targets, mask, old_values=old, clip=clip)
    return {"loss": loss, "clip_fraction": fraction}, {"mean_over_all_cells": loss}


MODES = {
    "token_mean": {"mode": "token"},
    "seq_mean_token_mean": {"mode": "sequence"},
    "seq_mean_token_sum": {"mode": "sequence_sum"},
    "dr_grpo_constant_maxlen4": {"mode": "constant", "max_length": 4},
}


@handles("agg_")
def aggregation(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    per_token = torch.tensor(inputs["per_token_loss"], dtype=dtype, requires_grad=True)
    mask = to_bool(inputs["mask"])
    found: Found = {"gradient_weight_per_token": {}}
    for name, arguments in MODES.items():
        parts = inputs.get("microbatches", [list(range(len(mask)))])
        sums, units = zip(*(aggregate(per_token[p], mask[p], **arguments) for p in parts), strict=True)
        found[name] = sum(sums) / sum(units)
        found["gradient_weight_per_token"][name] = grad_of(per_token, found[name])
    found["seq_mean_token_mean_over_valid"] = found["seq_mean_token_mean"]
    found["token_count"] = aggregate(per_token, mask, mode="token")[1]
    return found, {
        "token_mean_as_mean_of_microbatch_means": found["token_mean"],
        "token_mean_as_sum_of_microbatch_means": found["token_mean"],
        "seq_mean_as_mean_of_microbatch_means": found["seq_mean_token_mean"],
        "token_mean_with_stale_denominator": found["token_mean"],
        "nan_from_0_over_0": found["seq_mean_token_mean"],
    }


@handles("agg_two_ranks_ddp_mean")
def two_ranks(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    per_token, mask = torch.tensor(inputs["per_token_loss"], dtype=dtype), to_bool(inputs["mask"])
    parts = [aggregate(per_token[rank], mask[rank], mode="token") for rank in inputs["ranks"]]
    total = sum(units for _, units in parts)
    losses = torch.stack([loss_sum * len(parts) / total for loss_sum, _ in parts])
    return {
        "rank_losses_to_backprop": losses,
        "reduced": losses.mean(),
        "global_tokens": total,
    }, {"local_means_averaged": losses.mean()}


@handles("agg_generation_batch_vs_optimizer_step")
def optimizer_window(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    window = inputs["tokens_per_microbatch"][: inputs["gradient_accumulation_steps"]]
    parts = []
    for tokens in window:
        losses = torch.full((1, tokens), inputs["per_token_loss"], dtype=dtype)
        parts.append(aggregate(losses, torch.ones_like(losses, dtype=torch.bool), mode="token"))
    loss = sum(loss_sum for loss_sum, _ in parts) / sum(units for _, units in parts)
    return {"loss_per_optimizer_step": loss}, {"denominator_of_generation_batch": loss}


@handles("logprob_temperature")
def temperatures(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    logits = torch.tensor(inputs["logits"], dtype=dtype)
    ids = torch.arange(len(logits))[None]
    every = logits.expand(1, len(logits), -1)
    return {f"T{t}": token_logprobs(every, ids, temperature=t)[0] for t in inputs["temperatures"]}, {}


@handles("label_shift", "sft_prompt_masked_mean")
def shift(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    ids, logits = torch.tensor([inputs["input_ids"]]), torch.tensor([inputs["logits"]], dtype=dtype)
    logps = token_logprobs(logits[:, :-1], ids[:, 1:])
    mask = (torch.arange(ids.shape[1]) >= inputs["prompt_len"])[None, 1:]
    loss_sum, units = aggregate(-logps, mask, mode="token")
    loss = loss_sum / units
    return {
        "token_logps_for_positions_1_to_3": logps[0],
        "response_logps": logps[mask],
        "response_mask_on_shifted_axis": mask[0].long(),
        "loss": loss,
        "num_target_tokens": units,
    }, {
        "unshifted": logps[0],
        "double_shift": logps[mask],
        "mask_off_by_one": logps[mask],
        "no_prompt_mask": loss,
        "eos_masked_because_pad_equals_eos": loss,
    }


@handles("sft_gradient_accumulation", "sft_all_masked_microbatch")
def sft_microbatches(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    parts = []
    for nll in inputs["microbatch_token_nll"]:
        padded = torch.tensor([[*nll, math.nan]], dtype=dtype)
        mask = torch.tensor([[True] * len(nll) + [False]])
        parts.append(aggregate(padded, mask, mode="token"))
    loss = sum(loss_sum for loss_sum, _ in parts) / sum(units for _, units in parts)
    return {"loss": loss}, {"mean_of_means": loss, "nan": loss}


@handles("ppo_reward_assembly")
def reward_assembly(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    logp, ref = (torch.tensor([inputs[k]], dtype=dtype) for k in ("logp", "ref_logp"))
    scores = torch.tensor([inputs["score"]], dtype=dtype)
    rewards = token_rewards(scores, k1(logp, ref), to_bool([inputs["mask"]]), kl_coef=inputs["beta"])[0]
    flipped = token_rewards(scores, -k1(logp, ref), to_bool([inputs["mask"]]), kl_coef=inputs["beta"])[0]
    assert not torch.equal(rewards, flipped)
    return {"rewards": rewards}, {}


@handles("dapo_soft_overlong")
def overlong(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    penalty = soft_overlong_penalty(
        torch.tensor(inputs["lengths"]), max_length=inputs["L_max"], cache_length=inputs["L_cache"]
    )
    with pytest.raises(ValueError, match="cache_length"):
        soft_overlong_penalty(torch.tensor([1]), max_length=inputs["L_max"], cache_length=0)
    return {"penalty": penalty}, {}


@handles("tis_token_weights")
def sampler_weights(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    train, rollout = (torch.tensor(inputs[k], dtype=dtype) for k in ("logp_train", "logp_rollout"))
    weights = truncated_importance_weights(train.requires_grad_(), rollout, cap=inputs["C"])
    assert not weights.requires_grad
    return {"weights": weights}, {"two_sided": weights, "inverted": weights}


@handles("token_mult_prob_error")
def mismatch(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    gap = torch.tensor([inputs["logp_train_minus_rollout"]], dtype=dtype)
    return {"value": sampler_mismatch(gap, torch.zeros_like(gap), torch.ones_like(gap, dtype=torch.bool))}, {}


@handles("adam_first_step")
def adam(inputs: dict[str, Any], dtype: torch.dtype) -> tuple[Found, Found]:
    """torch's own optimiser, kept here so that an upgrade of torch that changes it is seen."""
    parameter = torch.nn.Parameter(torch.tensor(inputs["param"], dtype=dtype))
    parameter.grad = torch.tensor(inputs["grad"], dtype=dtype)
    torch.optim.Adam([parameter], lr=inputs["lr"], betas=inputs["betas"], eps=inputs["eps"]).step()
    return {"param_after": parameter.detach()}, {}


def close(found: Any, expected: Any, atol: float, rtol: float) -> bool:
    if isinstance(expected, dict):
        return all(close(found[key], value, atol, rtol) for key, value in expected.items())
    if isinstance(expected, list) and expected and isinstance(expected[0], dict | list):
        return all(close(f, e, atol, rtol) for f, e in zip(found, expected, strict=True))
    if isinstance(expected, bool) or expected is None:
        return found is expected
    expected = torch.as_tensor(
        float(expected) if isinstance(expected, str) else expected, dtype=torch.float64
    )
    found = torch.as_tensor(found, dtype=torch.float64).detach()
    return found.shape == expected.shape and torch.allclose(found, expected, atol=atol, rtol=rtol)


RUN = [name for name in CASES if handler_of(name) is not None and name not in ELSEWHERE]


@pytest.mark.parametrize("dtype_name", DTYPES)
@pytest.mark.parametrize("name", RUN)
def test_golden(name: str, dtype_name: str) -> None:
    case = CASES[name]
    handler = handler_of(name)
    assert handler is not None
    found, rivals = handler(case["inputs"], DTYPES[dtype_name])
    tolerance = case["tolerance"][dtype_name]
    for key, expected in case["expected"].items():
        if key in NOT_OURS:
            continue
        assert close(found[key], expected, **tolerance), f"{key}: found {found[key]}, expected {expected}"
    for key, wrong in case.get("wrong_values_that_reveal_a_bug", {}).items():
        if key == "note" or (name, key) in NOT_WRONG:
            continue
        assert not close(rivals[key], wrong, **tolerance), f"{key}: gives the wrong value {wrong}"


def test_every_case_is_run_or_listed_with_a_reason() -> None:
    assert set(CASES) == set(RUN) | set(ELSEWHERE)
    assert not set(RUN) & set(ELSEWHERE)
    assert all(ELSEWHERE.values())
