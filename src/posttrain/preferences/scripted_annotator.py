"""An annotator that follows a stated rule, and errs at a stated rate: stands in for people in tests and demos."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from posttrain.preferences.sampled_prompt import SampledPrompt
from posttrain.types import Ranking


@dataclass(frozen=True, slots=True)
class ScriptedAnnotator:
    """Ranks responses by their scores; with probability `noise_rate` in an order that has nothing to do with them.

    Noise is drawn once for each prompt: that judgement is then a uniformly random order without ties. So of two
    responses that the rule holds for unequal, the annotator puts the right one first with probability
    1 - noise_rate / 2, and at `noise_rate = 1` it says nothing.
    Whether and how it errs depends on the seed, its name and the prompt's id alone.
    """

    name: str
    noise_rate: float = 0.0
    weight: float = 1.0
    seed: int = 0

    def rank(self, sample: SampledPrompt, scores: Sequence[float]) -> Ranking:
        """The judgement of a sample whose responses have these scores; higher is better, equal is a tie."""
        if len(scores) != len(sample.responses):
            raise ValueError(f"{len(scores)} scores for {len(sample.responses)} responses")
        # Seeded by text, which Python hashes with SHA-512: the same on every machine and version.
        rng = random.Random(f"scripted annotator/{self.seed}/{self.name}/{sample.sample_id}")
        ranks = list(ranks_of_scores(scores))
        if rng.random() < self.noise_rate:
            ranks = list(range(len(scores)))
            rng.shuffle(ranks)
        return Ranking(
            ranking_id=f"{sample.sample_id}/{self.name}",
            prompt=sample.prompt,
            responses=sample.responses,
            ranks=tuple(ranks),
            annotator=self.name,
            weight=self.weight,
            finish_reasons=sample.finish_reasons,
        )


def ranks_of_scores(scores: Sequence[float]) -> tuple[int, ...]:
    """0 for the highest score, 1 for the next one, and so on; equal scores share a rank.

    Example: [0.5, 2.0, 0.5] -> (1, 0, 1)
    """
    rank = {score: index for index, score in enumerate(sorted(set(scores), reverse=True))}
    return tuple(rank[score] for score in scores)
