"""Samples ranked by a stated rule: what people do on a page, for tests and demos.

samples -> score each response by the rule -> each annotator's judgement -> rankings.jsonl
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from posttrain.config.rank import RankByRuleConfig
from posttrain.errors import DataError
from posttrain.preferences.rankings_file import encode_ranking
from posttrain.preferences.sampled_prompt import SampledPrompt, read_samples
from posttrain.preferences.scripted_annotator import ScriptedAnnotator, ranks_of_scores
from posttrain.recipes.reward import open_reward, refuse_token_lengths
from posttrain.rewards.scoring import score
from posttrain.rewards.weighted_sum import WeightedSum
from posttrain.runs.durable_file import replace_file
from posttrain.types import Ranking


@dataclass(frozen=True)
class RankByRuleResult:
    """What came of it, in rankings unless it says otherwise.

    `num_single` prompts had one response and `num_unscored` one that the rule could not judge: neither is ranked.
    `num_all_equal` rankings hold all responses for equal. `agreement` is the share of pairs, unequal by the rule,
    that the annotators put in the rule's order (a tie counts half); None where there is no such pair.
    """

    rankings_file: Path
    num_rankings: int
    num_single: int
    num_unscored: int
    num_all_equal: int
    agreement: float | None


def rank_by_rule(config: RankByRuleConfig) -> RankByRuleResult:
    """Writes `config.output` whole: the same settings and samples give the same bytes.

    Raises DataError for a samples file that cannot be used, ConfigError for a rule that cannot work, RewardError
    when too many responses could not be scored.
    """
    samples, several = read_rankable(config.samples)
    with open_reward(config.reward, verifier=None) as rule:
        refuse_token_lengths(rule)
        scored = _scores(several, rule, config.reward.max_unscored_share)
    annotators = [
        ScriptedAnnotator(section.name, section.noise_rate, section.weight, config.seed)
        for section in config.annotators
    ]
    judged = [(sample, scores) for sample, scores in zip(several, scored, strict=True) if scores is not None]
    rankings = [annotator.rank(sample, scores) for sample, scores in judged for annotator in annotators]
    truths = [ranks_of_scores(scores) for _, scores in judged for _ in annotators]
    config.output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(config.output, map(encode_ranking, rankings))
    return RankByRuleResult(
        rankings_file=config.output,
        num_rankings=len(rankings),
        num_single=len(samples) - len(several),
        num_unscored=len(several) - len(judged),
        num_all_equal=sum(len(set(ranking.ranks)) == 1 for ranking in rankings),
        agreement=agreement_with_rule(rankings, truths),
    )


def read_rankable(path: Path) -> tuple[list[SampledPrompt], list[SampledPrompt]]:
    """All samples of the file, and those with several responses. DataError for lines that cannot be used, or none."""
    samples = read_samples(path)
    several = [sample for sample in samples if len(sample.responses) > 1]
    if not several:
        raise DataError(
            f"{path}: no prompt has two responses, so there is nothing to rank. Sample with responses_per_prompt of 2 "
            "or more."
        )
    return samples, several


def agreement_with_rule(rankings: Sequence[Ranking], truths: Sequence[Sequence[int]]) -> float | None:
    """The share of pairs, unequal in the truth's ranks, that stand in its order; a tie counts half."""
    right, total = 0.0, 0
    for ranking, truth in zip(rankings, truths, strict=True):
        for i, j in combinations(range(len(truth)), 2):
            if truth[i] != truth[j]:
                given = (ranking.ranks[i] - ranking.ranks[j]) * (truth[i] - truth[j])
                right += 0.5 if given == 0 else float(given > 0)
                total += 1
    return right / total if total else None


def _scores(
    samples: Sequence[SampledPrompt], rule: WeightedSum, max_unscored_share: float
) -> list[list[float] | None]:
    """The scores of each sample's responses; None where one of them could not be scored."""
    rollouts = [rollout for sample in samples for rollout in sample.rollouts()]
    values = iter(
        scored.score.value for scored in score(rollouts, rule, max_unscored_share=max_unscored_share).scored
    )
    found: list[list[float] | None] = []
    for sample in samples:
        own = [next(values) for _ in sample.responses]
        known = [value for value in own if value is not None]
        found.append(known if len(known) == len(own) else None)
    return found
