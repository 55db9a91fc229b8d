"""Learning rewards from preferences: Bradley and Terry (1952) for pairs, Plackett and Luce for rankings."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from posttrain.algorithms.inputs import at_least_float32, check_same_shape
from posttrain.algorithms.plackett_luce import tied_choice_loss

RankingKind = Literal["pairs", "plackett_luce"]
TieHandling = Literal["leave_out", "learn"]


def preference_probability(reward_i: Tensor, reward_j: Tensor) -> Tensor:
    """The probability that a rater prefers response i to j: `sigmoid(r_i - r_j)`, in their shape."""
    return torch.sigmoid(at_least_float32(reward_i, "reward_i") - at_least_float32(reward_j, "reward_j"))


def pairwise_loss(
    chosen_rewards: Tensor,
    rejected_rewards: Tensor,
    *,
    margin: Tensor | float | None = None,
    label_smoothing: Tensor | float = 0.0,
) -> Tensor:
    """`-log sigmoid(r_chosen - r_rejected - margin)` of each pair: `[pairs] -> [pairs]`, in nats.

    With `label_smoothing` e: `-(1 - e) logsigmoid(d) - e logsigmoid(-d)`. A tie is e = 0.5, which pulls the
    two rewards together. Margin (Llama 2, arXiv 2307.09288) and smoothing may be one number or one per pair.
    Exact at differences of +-1000. A unit is a pair: average over pairs, not over the 2N rows.
    Raises ValueError for shapes that differ or a smoothing outside 0..0.5.
    """
    check_same_shape(chosen_rewards=chosen_rewards, rejected_rewards=rejected_rewards)
    difference = at_least_float32(chosen_rewards, "chosen_rewards") - at_least_float32(
        rejected_rewards, "rejected_rewards"
    )
    smoothing = torch.as_tensor(label_smoothing, dtype=difference.dtype, device=difference.device)
    if not bool(((smoothing >= 0) & (smoothing <= 0.5)).all()):
        raise ValueError(
            "label_smoothing must lie in 0..0.5; above a half the rejected one wins: swap the pair"
        )
    if margin is not None:
        difference = difference - margin
    return -(1 - smoothing) * logsigmoid(difference) - smoothing * logsigmoid(-difference)


@torch.no_grad()
def pairwise_accuracy(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    """The fraction of pairs with `r_chosen > r_rejected`, a scalar; equal rewards are no win."""
    check_same_shape(chosen_rewards=chosen_rewards, rejected_rewards=rejected_rewards)
    dtype = at_least_float32(chosen_rewards, "chosen_rewards").dtype
    return (chosen_rewards > rejected_rewards).to(dtype).sum() / max(chosen_rewards.numel(), 1)


class ComparedPairs(NamedTuple):
    """Places of the better and the worse response of each pair, `[pairs]`, and whether the two are tied."""

    better: Tensor
    worse: Tensor
    is_tie: Tensor


def compared_pairs(ranks: Tensor, rankings: Tensor, *, ties: TieHandling = "leave_out") -> ComparedPairs:
    """The pairs that rankings compare, each once: `ranks [M]`, `rankings [M]` (which ranking a response is of).

    Pairs lie within a ranking. Tied ones come, in either order, with `ties="learn"` only.
    """
    check_same_shape(ranks=ranks, rankings=rankings)
    if ties not in ("leave_out", "learn"):
        raise ValueError(f"unknown ties {ties!r}: choose 'leave_out' or 'learn'")
    places = torch.arange(len(ranks), device=ranks.device)
    within = rankings[:, None] == rankings[None, :]
    compared = ranks[:, None] < ranks[None, :]
    if ties == "learn":
        compared = compared | ((ranks[:, None] == ranks[None, :]) & (places[:, None] < places[None, :]))
    better, worse = (within & compared).nonzero(as_tuple=True)
    return ComparedPairs(better, worse, ranks[better] == ranks[worse])


def ranking_loss(
    rewards: Tensor,
    ranks: Tensor,
    *,
    kind: RankingKind = "pairs",
    margin: float = 0.0,
    label_smoothing: float = 0.0,
    ties: TieHandling = "leave_out",
) -> Tensor:
    """The loss of one prompt's ranking, a scalar: `rewards [N]`, `ranks [N]` (0 = best, equal = tie).

    `"pairs"`: the mean of `pairwise_loss` over all pairs that the ranking orders, so each prompt weighs 1
    whatever N is (InstructGPT, arXiv 2203.02155). Tied pairs carry no order and are left out; `ties="learn"`
    takes them in with label_smoothing 0.5 and no margin, which pulls their rewards together.
    `"plackett_luce"`: `-sum_k [r_(k) - logsumexp(r_(k), ..., r_(N))]`, best first. Ties: the average of this
    loss over all orders of the tied ones (a tie of two is label_smoothing 0.5), exact, for up to 12 responses
    in one tie. Only the order of the ranks matters. With nothing to learn (N < 2; all tied, for pairs) it is
    0 with gradient 0.
    Raises ValueError for an unknown kind, tensors that are not `[N]`, or, with Plackett-Luce, more than 12 in
    one tie, a margin or label smoothing: those are of pairs.
    """
    check_same_shape(rewards=rewards, ranks=ranks)
    if rewards.dim() != 1:
        raise ValueError(f"rewards must be [N], the responses to one prompt, got {list(rewards.shape)}")
    rewards = at_least_float32(rewards, "rewards")
    if kind == "pairs":
        pairs = compared_pairs(ranks, torch.zeros_like(ranks), ties=ties)
        loss = compared_loss(rewards, pairs, margin=margin, label_smoothing=label_smoothing)
        return loss.sum() / max(loss.numel(), 1)
    if kind == "plackett_luce":
        if margin or label_smoothing:
            raise ValueError("margin and label_smoothing are of pairs: use kind='pairs', or leave them 0")
        loss = rewards.sum() * 0.0
        for rank in ranks.unique():
            loss = loss + tied_choice_loss(rewards[ranks == rank], rewards[ranks > rank])
        return loss
    raise ValueError(f"unknown kind {kind!r}: choose 'pairs' or 'plackett_luce'")


def compared_loss(
    rewards: Tensor, pairs: ComparedPairs, *, margin: Tensor | float, label_smoothing: float
) -> Tensor:
    """`pairwise_loss` of each compared pair, `[pairs]`; a tie has smoothing 0.5 and no margin."""
    chosen, rejected = rewards[pairs.better], rewards[pairs.worse]
    smoothing = torch.where(pairs.is_tie, 0.5, torch.as_tensor(label_smoothing, dtype=chosen.dtype))
    ahead = torch.where(pairs.is_tie, 0.0, torch.as_tensor(margin, dtype=chosen.dtype, device=chosen.device))
    return pairwise_loss(chosen, rejected, margin=ahead, label_smoothing=smoothing)


def center_regularizer(rewards: Tensor) -> Tensor:
    """The mean of squared rewards, a scalar (0 for none): add it times about 0.01 to keep rewards around 0.

    Bradley-Terry sees differences only, so the level is free to drift. Give all rewards, chosen and rejected.
    For the form of Eisenstein et al. (arXiv 2312.09244), mean((r_chosen + r_rejected)^2), call it on
    `chosen_rewards + rejected_rewards`: that one leaves the spread of a pair alone.
    """
    return at_least_float32(rewards, "rewards").square().sum() / max(rewards.numel(), 1)
