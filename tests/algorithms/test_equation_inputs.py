"""Types and refusals: half precision in, float32 out; wrong arguments get a ValueError that says what to do."""

import ast
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import posttrain.algorithms
from posttrain.algorithms import (
    adaptive_kl_coef,
    aggregate,
    center_regularizer,
    clip_fractions,
    clipped_surrogate,
    entropy,
    exact_kl,
    explained_variance,
    final_reward_targets,
    generalized_advantages,
    group_relative_advantages,
    importance_ratio,
    k1,
    k2,
    k3,
    keep_counted,
    last_token_index,
    last_token_mask,
    log_ratio,
    masked_mean,
    old_policy_kl,
    pairwise_loss,
    ppo_total_loss,
    preference_probability,
    ranking_loss,
    returns,
    soft_overlong_penalty,
    token_logprobs,
    token_rewards,
    truncated_importance_weights,
    value_loss,
    whiten,
)

X, Y = (torch.randn(2, 3, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
Z = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(2))
MASK = torch.tensor([[True, True, False], [True, False, True]])
IDS = torch.zeros(2, 3, dtype=torch.long)
CLIP: dict[str, Any] = {"clip_low": 0.2, "clip_high": 0.2}

CALLS: dict[str, Callable[[Callable[[Tensor], Tensor]], Any]] = {
    "token_logprobs": lambda to: token_logprobs(to(Z), IDS),
    "entropy": lambda to: entropy(to(Z)),
    "exact_kl": lambda to: exact_kl(to(Z), to(Z), direction="reverse"),
    "k1": lambda to: k1(to(X), to(Y)),
    "k2": lambda to: k2(to(X), to(Y)),
    "k3": lambda to: k3(to(X), to(Y)),
    "preference_probability": lambda to: preference_probability(to(X), to(Y)),
    "pairwise_loss": lambda to: pairwise_loss(to(X), to(Y)),
    "ranking_loss": lambda to: ranking_loss(to(X[0]), torch.arange(3)),
    "plackett_luce": lambda to: ranking_loss(to(X[0]), torch.arange(3), kind="plackett_luce"),
    "center_regularizer": lambda to: center_regularizer(to(X)),
    "generalized_advantages": lambda to: generalized_advantages(to(X), to(Y), MASK),
    "returns": lambda to: returns(to(X), to(Y), MASK),
    "log_ratio": lambda to: log_ratio(to(X), to(Y), MASK, level="sequence_mean"),
    "importance_ratio": lambda to: importance_ratio(to(X)),
    "old_policy_kl": lambda to: old_policy_kl(to(X)),
    "truncated_importance_weights": lambda to: truncated_importance_weights(to(X), to(Y), cap=2.0),
    "clipped_surrogate": lambda to: clipped_surrogate(to(X), to(Y), **CLIP),
    "clip_fractions": lambda to: clip_fractions(to(X), to(Y), MASK, **CLIP).low,
    "value_loss": lambda to: value_loss(to(X), to(Y), old_values=to(Y), clip=0.1),
    "token_rewards": lambda to: token_rewards(to(X[:, 0]), to(Y), MASK, kl_coef=0.1),
    "final_reward_targets": lambda to: final_reward_targets(to(X[:, 0]), MASK),
    "explained_variance": lambda to: explained_variance(to(X), to(Y), MASK),
    "group_relative_advantages": lambda to: group_relative_advantages(to(X[0]), IDS[0]),
    "aggregate": lambda to: aggregate(to(X), MASK, mode="sequence")[0],
    "masked_mean": lambda to: masked_mean(to(X), MASK),
    "whiten": lambda to: whiten(to(X), MASK),
}


@pytest.mark.parametrize("name", CALLS)
def test_half_precision_comes_back_in_float32_and_float64_stays(name: str) -> None:
    for dtype, expected in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert CALLS[name](lambda x, dtype=dtype: x.to(dtype)).dtype == expected  # type: ignore[misc]
    in_half = CALLS[name](lambda x: x.bfloat16())
    torch.testing.assert_close(in_half, CALLS[name](lambda x: x.bfloat16().float()))


REFUSED: dict[str, tuple[str, Callable[[], Any]]] = {
    "integer mask": ("boolean", lambda: aggregate(X, MASK.int(), mode="token")),
    "mask of another shape": ("shapes differ", lambda: aggregate(X, MASK[:, :2], mode="token")),
    "keep_counted, float mask": ("boolean", lambda: keep_counted(X, MASK.float())),
    "keep_counted, mask too short": ("leading", lambda: keep_counted(X, MASK[:1])),
    "aggregation mode": ("'sequence_sum'", lambda: aggregate(X, MASK, mode="mean")),  # type: ignore[arg-type]
    "constant without a length": ("max_length", lambda: aggregate(X, MASK, mode="constant")),
    "zero length": ("max_length", lambda: aggregate(X, MASK, mode="constant", max_length=0)),
    "integers as values": ("floating", lambda: masked_mean(IDS, MASK)),
    "temperature 0": ("temperature", lambda: token_logprobs(Z, IDS, temperature=0.0)),
    "temperature nan": ("temperature", lambda: entropy(Z, temperature=math.nan)),
    "ids of another shape": ("shapes differ", lambda: token_logprobs(Z, IDS[:, :2])),
    "kl direction": ("'forward'", lambda: exact_kl(Z, Z, direction="backward")),  # type: ignore[arg-type]
    "two vocabularies": ("shapes differ", lambda: exact_kl(Z, Z[..., :-1], direction="reverse")),
    "logprobs of two shapes": ("shapes differ", lambda: k3(X, Y[:1])),
    "kl target 0": ("positive", lambda: adaptive_kl_coef(0.1, 1.0, target=0.0, num_steps=1, horizon=1)),
    "pairs of two lengths": ("shapes differ", lambda: pairwise_loss(X[0], X[0, :2])),
    "smoothing above a half": ("swap", lambda: pairwise_loss(X[0], X[1], label_smoothing=0.6)),
    "ranking kind": ("'plackett_luce'", lambda: ranking_loss(X[0], IDS[0], kind="list")),  # type: ignore[arg-type]
    "rankings of a batch": (r"\[N\]", lambda: ranking_loss(X, IDS)),
    "a tie of 13": ("pairs", lambda: ranking_loss(torch.ones(13), torch.zeros(13), kind="plackett_luce")),
    "gamma above 1": ("gamma", lambda: generalized_advantages(X, Y, MASK, gamma=1.1)),
    "negative lambda": ("gae_lambda", lambda: generalized_advantages(X, Y, MASK, gae_lambda=-0.1)),
    "horizon 0": ("horizon", lambda: generalized_advantages(X, Y, MASK, horizon=0)),
    "bootstrap per token": ("shapes differ", lambda: generalized_advantages(X, Y, MASK, bootstrap_values=X)),
    "ratio level": ("'sequence_mean'", lambda: log_ratio(X, Y, MASK, level="response")),  # type: ignore[arg-type]
    "cap 0": ("cap", lambda: truncated_importance_weights(X, Y, cap=0.0)),
    "negative clip": ("clip_low", lambda: clipped_surrogate(X, Y, clip_low=-0.1, clip_high=0.2)),
    "dual clip 1": ("dual_clip", lambda: clipped_surrogate(X, Y, dual_clip=1.0, **CLIP)),
    "advantages [B]": (r"advantages\[:, None\]", lambda: clipped_surrogate(X, Y[:, 0], **CLIP)),
    "unscored row": (
        "rows \\[1\\]",
        lambda: token_rewards(torch.tensor([1.0, math.nan]), X, MASK, kl_coef=0.1),
    ),
    "kl coefficient, no kl": ("kl is None", lambda: token_rewards(X[:, 0], None, MASK, kl_coef=0.1)),
    "term without its tensor": ("entropy", lambda: ppo_total_loss(X, entropy_coef=0.1)),
    "row without a token": ("rows \\[0\\]", lambda: last_token_index(torch.zeros(1, 2).bool())),
    "advantage scale": ("'none'", lambda: group_relative_advantages(X[0], IDS[0], scale="var")),  # type: ignore[arg-type]
    "negative epsilon": ("epsilon", lambda: group_relative_advantages(X[0], IDS[0], epsilon=-1.0)),
    "rewards by group": (r"\[B\]", lambda: group_relative_advantages(X, IDS)),
    "float ids": ("integers", lambda: group_relative_advantages(X[0], Y[0])),
    "no cache": ("cache_length", lambda: soft_overlong_penalty(IDS[0], max_length=8, cache_length=0)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_reason(name: str) -> None:
    words, call = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()


def test_terms_with_coefficient_zero_are_never_read() -> None:
    poison = torch.full((2, 3), math.nan)
    total = ppo_total_loss(X, entropy=poison, kl=poison, value_loss=poison)
    assert torch.equal(total, X)
    assert torch.equal(token_rewards(X[:, 0], poison, MASK, kl_coef=0.0).isnan().any(), torch.tensor(False))
    full = ppo_total_loss(X, entropy=Y, kl=X, value_loss=Y, entropy_coef=0.1, kl_coef=0.2, value_coef=0.3)
    torch.testing.assert_close(full, X - 0.1 * Y + 0.2 * X + 0.3 * Y)


def test_last_token_mask_allows_empty_rows() -> None:
    mask = torch.tensor([[True, False, True, False], [False] * 4])
    assert last_token_mask(mask).tolist() == [[False, False, True, False], [False] * 4]


def test_dual_clip_bounds_only_the_negative_side() -> None:
    raw = torch.tensor([[10.0, 3.0, 1.0, 0.5]]).log()
    for sign in (1.0, -1.0):
        advantages = torch.full((1, 4), sign)
        plain = clipped_surrogate(raw, advantages, **CLIP)
        dual = clipped_surrogate(raw, advantages, dual_clip=2.0, **CLIP)
        expected = plain if sign > 0 else torch.tensor([[2.0, 2.0, 1.0, 0.8]])
        torch.testing.assert_close(dual, expected)
    cut = clip_fractions(raw, -torch.ones(1, 4), torch.ones(1, 4).bool(), dual_clip=2.0, **CLIP)
    assert (cut.low.item(), cut.high.item(), cut.dual.item()) == (0.25, 0.0, 0.5)


def test_the_room_imports_torch_alone_and_keeps_its_files_short() -> None:
    folder = Path(posttrain.algorithms.__file__).parent
    standard = {"collections", "dataclasses", "typing"}
    for file in folder.glob("*.py"):
        source = file.read_text()
        assert len(source.splitlines()) <= 150, file.name
        for node in ast.walk(ast.parse(source)):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                inside = module.startswith("posttrain.algorithms.")
                assert inside or module.split(".")[0] in standard | {"torch"}, (file.name, module)


def test_public_names_have_a_docstring() -> None:
    for name in posttrain.algorithms.__all__:
        assert getattr(posttrain.algorithms, name).__doc__, name
