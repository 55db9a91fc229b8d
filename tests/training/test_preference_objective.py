"""The loss of rankings: against the equation of one ranking, against golden numbers, and whatever the split."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_reward_models import tiny_scalar_model
from torch import Tensor

from posttrain.algorithms import center_regularizer, ranking_loss
from posttrain.batches import PreferenceBatch, TokenBatch
from posttrain.errors import ConfigError
from posttrain.training import Learner, LearningRateSchedule, OptimizerSettings, PreferenceRanking
from posttrain.types import Prompt, Rollout

GOLDEN = {
    case["name"]: case
    for case in json.loads((Path(__file__).parents[1] / "algorithms" / "golden.json").read_text())["cases"]
}


class GivenRewards:
    """A model whose rewards are given; the row's first token says which."""

    def __init__(self, rewards: Tensor) -> None:
        self.rewards = rewards

    def end_values(self, tokens: TokenBatch) -> Tensor:
        return self.rewards[tokens.token_ids[:, 0]]


def made_batch(
    rankings: list[list[int]], weights: list[float] | None = None, margins=None
) -> PreferenceBatch:
    """A batch of these ranks; the response in row i begins with token i."""
    ranks = [rank for ranking in rankings for rank in ranking]
    rollouts = [
        Rollout(Prompt("p", "", token_ids=(row,)), 0, (4,), (0.0,), "eos", "", 0) for row in range(len(ranks))
    ]
    return PreferenceBatch(
        TokenBatch.from_rollouts(rollouts),
        torch.tensor([len(ranking) for ranking in rankings]),
        torch.tensor(ranks),
        torch.tensor(weights or [1.0] * len(rankings)),
        torch.tensor(margins or [0.0] * len(rankings)),
    )


def slow_loss(objective: PreferenceRanking, rewards: Tensor, batch: PreferenceBatch) -> float:
    """One ranking after the other, by the equation of one ranking."""
    sizes, total, units = batch.ranking_sizes.tolist(), 0.0, 0.0
    pieces = zip(rewards.split(sizes), batch.ranks.split(sizes), batch.weights, batch.margins, strict=True)
    for own, ranks, weight, margin in pieces:
        learns_ties = objective.kind == "plackett_luce" or objective.ties == "learn"
        if len(own) < 2 or (len(set(ranks.tolist())) == 1 and not learns_ties):
            continue
        loss = ranking_loss(
            own,
            ranks,
            kind=objective.kind,
            margin=objective.margin + float(margin),
            label_smoothing=objective.label_smoothing,
            ties=objective.ties,
        )
        center = center_regularizer(2 * own.mean().reshape(1))
        total += float(weight) * float(loss + objective.center_coef * center)
        units += float(weight)
    return total / max(units, 1e-9)


@st.composite
def cases(draw) -> tuple[PreferenceRanking, list[list[int]], list[float], list[float], list[float]]:
    kind = draw(st.sampled_from(["pairs", "plackett_luce"]))
    rankings = draw(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=4))
    number = st.floats(0, 2, width=32)
    is_pairs = kind == "pairs"
    objective = PreferenceRanking(
        kind=kind,
        margin=draw(number) if is_pairs else 0.0,
        label_smoothing=draw(st.floats(0, 0.4)) if is_pairs else 0.0,
        ties=draw(st.sampled_from(["leave_out", "learn"])),
        center_coef=draw(number),
    )
    weights = [draw(st.floats(0.25, 4, width=32)) for _ in rankings]
    margins = [draw(number) if is_pairs else 0.0 for _ in rankings]
    rewards = [draw(st.floats(-5, 5, width=32)) for ranking in rankings for _ in ranking]
    return objective, rankings, weights, margins, rewards


@settings(deadline=None, max_examples=150)
@given(cases())
def test_all_rankings_at_once_are_one_after_the_other(case):
    objective, rankings, weights, margins, numbers = case
    batch, rewards = made_batch(rankings, weights, margins), torch.tensor(numbers, dtype=torch.float64)
    loss, _ = objective(GivenRewards(rewards), batch)
    units = objective.num_units(batch)
    assert float(loss) / max(units, 1e-9) == pytest.approx(
        slow_loss(objective, rewards, batch), rel=1e-6, abs=1e-6
    )


def pairs_of(case: dict) -> tuple[Tensor, PreferenceBatch]:
    chosen, rejected = case["inputs"]["reward_chosen"], case["inputs"]["reward_rejected"]
    margins = case["inputs"].get("margin", [0.0] * len(chosen))
    rewards = [reward for pair in zip(chosen, rejected, strict=True) for reward in pair]
    return torch.tensor(rewards, dtype=torch.float64), made_batch([[0, 1]] * len(chosen), margins=margins)


@pytest.mark.parametrize(
    "name", [name for name in GOLDEN if name.startswith("bt_") and "accumulation" not in name]
)
def test_golden_pairs(name):
    case = GOLDEN[name]
    rewards, batch = pairs_of(case)
    objective = PreferenceRanking(
        label_smoothing=case["inputs"].get("label_smoothing", 0.0),
        center_coef=case["inputs"].get("center_coefficient", 0.0),
    )
    loss, metrics = objective(GivenRewards(rewards), batch)
    assert float(loss) / objective.num_units(batch) == pytest.approx(case["expected"]["loss"], abs=1e-7)
    if "accuracy" in case["expected"]:
        assert metrics.means()["accuracy"] == pytest.approx(case["expected"]["accuracy"])


def test_doubled_weights_change_nothing_and_a_heavier_ranking_counts_more():
    rewards = torch.tensor([1.0, 0.0, 0.0, 2.0], dtype=torch.float64)

    def mean(weights: list[float]) -> float:
        batch, objective = made_batch([[0, 1], [0, 1]], weights), PreferenceRanking()
        return float(objective(GivenRewards(rewards), batch)[0]) / objective.num_units(batch)

    assert mean([1.0, 3.0]) == pytest.approx(mean([2.0, 6.0]))
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(2))
    assert mean([1.0, 3.0]) == pytest.approx((right + 3 * wrong) / 4)


def test_what_has_nothing_to_learn_is_no_unit():
    batch = made_batch([[0, 0], [0], [0, 1, 1]], [5.0, 7.0, 2.0])
    assert PreferenceRanking().counted_rows(batch).tolist() == [False, False, True]
    assert PreferenceRanking().num_units(batch) == 2.0
    assert PreferenceRanking(ties="learn").num_units(batch) == 7.0
    assert PreferenceRanking(kind="plackett_luce").counted_rows(batch).tolist() == [True, False, True]


def test_learned_ties_pull_rewards_together():
    rewards = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    batch = made_batch([[0, 0]], margins=[3.0])
    loss, _ = PreferenceRanking(ties="learn", margin=1.0, label_smoothing=0.2)(GivenRewards(rewards), batch)
    loss.backward()
    assert rewards.grad is not None
    assert rewards.grad[0] > 0 > rewards.grad[1]
    assert float(rewards.grad.sum()) == pytest.approx(0.0)


@pytest.mark.parametrize("kind", ["pairs", "plackett_luce"])
def test_float64_gradcheck(kind):
    batch = made_batch([[1, 0, 1, 2], [0, 1]], [1.0, 2.0])
    objective = PreferenceRanking(kind=kind, ties="learn", center_coef=0.1)
    rewards = torch.randn(
        6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda own: objective(GivenRewards(own), batch)[0], rewards)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "listwise"},
        {"ties": "keep"},
        {"label_smoothing": 0.5},
        {"margin": -1.0},
        {"center_coef": -0.1},
        {"kind": "plackett_luce", "margin": 0.5},
        {"kind": "plackett_luce", "label_smoothing": 0.1},
    ],
)
def test_wrong_settings(wrong):
    with pytest.raises(ConfigError):
        PreferenceRanking(**wrong)


# ---- through a model, as the learner does it


def token_batch(seed: int = 0) -> PreferenceBatch:
    """Ragged rankings of 3, 2, 2 and 4 responses; the first and the third are of one prompt."""
    generator = torch.Generator().manual_seed(seed)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, 200, (length,), generator=generator).tolist())

    prompts = [ids(9), ids(3), None, ids(5)]
    prompts[2] = prompts[0]
    sizes, rollouts = (3, 2, 2, 4), []
    for prompt, size in zip(prompts, sizes, strict=True):
        for _ in range(size):
            response = (*ids(int(torch.randint(1, 9, (1,), generator=generator))), 4)
            rollouts.append(
                Rollout(Prompt("p", "", token_ids=prompt), 0, response, (0.0,) * len(response), "eos", "", 0)
            )
    return PreferenceBatch(
        TokenBatch.from_rollouts(rollouts),
        torch.tensor(sizes),
        torch.tensor([1, 0, 1, 0, 1, 1, 0, 2, 0, 1, 3]),
        torch.tensor([1.0, 0.5, 2.0, 1.0]),
        torch.tensor([0.0, 0.3, 0.0, 0.1]),
    )


def gradient_step(batch: PreferenceBatch, budget: int, kind: str = "pairs") -> dict[str, Tensor]:
    """The weights after one plain update in float64: equal when the gradients were."""
    scalar = tiny_scalar_model(seed=3, dtype=torch.float64)
    scalar.model.double()
    learner = Learner(
        scalar, OptimizerSettings(LearningRateSchedule(1e-3), epsilon=1.0), microbatch_tokens=budget
    )
    learner.update(batch, PreferenceRanking(kind=kind, center_coef=0.01))
    return {name: parameter.detach().clone() for name, parameter in scalar.model.named_parameters()}


@pytest.mark.parametrize("kind", ["pairs", "plackett_luce"])
def test_neither_micro_batches_nor_order_nor_padding_change_the_gradient(kind):
    batch = token_batch()
    expected = gradient_step(batch, 10**6, kind)
    assert any(bool((tensor != start).any()) for tensor, start in zip(
        expected.values(), tiny_scalar_model(seed=3).model.double().state_dict().values(), strict=False
    ))  # fmt: skip
    wider = torch.nn.functional.pad(batch.tokens.token_ids, (0, 7), value=77)
    tokens = TokenBatch(
        wider, batch.tokens.prompt_lengths, batch.tokens.response_lengths, batch.tokens.response_mask
    )
    padded = PreferenceBatch(tokens, batch.ranking_sizes, batch.ranks, batch.weights, batch.margins)
    for other, budget in ((batch, 1), (batch, 90), (batch.select([3, 1, 0, 2]), 10**6), (padded, 10**6)):
        found = gradient_step(other, budget, kind)
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-9)


def test_order_of_responses_within_a_ranking_changes_nothing():
    batch = token_batch()
    order = [2, 0, 1, 4, 3, 5, 6, 10, 9, 7, 8]
    shuffled = PreferenceBatch(
        batch.tokens.select(order), batch.ranking_sizes, batch.ranks[order], batch.weights, batch.margins
    )
    for name, tensor in gradient_step(batch, 10**6).items():
        torch.testing.assert_close(gradient_step(shuffled, 10**6)[name], tensor, rtol=0, atol=1e-9)
