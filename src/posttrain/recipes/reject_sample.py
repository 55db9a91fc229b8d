"""Rejection sampling: what a reward likes best of a model's own responses becomes what sft learns from.

    responses (drawn, or from a samples file) -> score -> complete, good enough, distinct -> the best of each prompt

R1 makes its second SFT data so (DeepSeek-R1, arXiv 2501.12948, section 2.3.3).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from posttrain.config.reject_sample import RejectSampleConfig
from posttrain.data.messages import with_system_prompt
from posttrain.data.prompt_stream import PromptStream
from posttrain.errors import DataError
from posttrain.preferences.sampled_prompt import read_samples
from posttrain.recipes.prompts import Prompts, RenderedPrompts, open_prompts
from posttrain.recipes.reward import RewardFunction, introduce_policy, open_reward, refuse_token_lengths
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rewards.scoring import score
from posttrain.rewards.weighted_sum import WeightedSum
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.runs.durable_file import replace_file
from posttrain.runs.live_view import LiveView
from posttrain.types import Rollout, ScoredRollout


@dataclass(frozen=True)
class RejectSampleResult:
    """What became of every response: each is in exactly one of the `num_` counts after `num_responses`.

    `num_cut` by length, `num_empty` (or no valid text), `num_unscored`, `num_below` min_score, `num_duplicates` of
    another response to the prompt, `num_surplus` beyond keep_per_prompt, `num_kept`. `num_prompts_without` counts
    prompts of which nothing was kept.
    """

    output: Path
    num_prompts: int
    num_prompts_without: int
    num_responses: int
    num_cut: int
    num_empty: int
    num_unscored: int
    num_below: int
    num_duplicates: int
    num_surplus: int
    num_kept: int
    mean_score: float


def reject_sample(config: RejectSampleConfig, *, reward: RewardFunction | None = None) -> RejectSampleResult:
    """Writes the best responses to `config.output` as demonstrations, whole or not at all; replaces the file.

    `reward` is a function of yours, as in `grpo`. Raises ConfigError, DataError, ModelError or RewardError with
    what to do about it; DataError when nothing is good enough.
    """
    prompts = None if config.data is None else open_prompts(config.data, config.seed)
    verifier = None if prompts is None else prompts.verifier
    with open_reward(config.reward, verifier, reward, compute=config.compute) as judge:
        if config.samples is not None:
            refuse_token_lengths(judge)
            samples = read_samples(config.samples)
            rollouts = [rollout for sample in samples for rollout in sample.rollouts()]
        else:
            assert prompts is not None
            rollouts = _drawn(config, prompts, judge)
        scored = score(rollouts, judge, max_unscored_share=config.reward.max_unscored_share).scored
    chosen = _Choice(config).of(scored)
    if not chosen.kept:
        complete = [item.score.value for item in scored if item.rollout.is_complete]
        best = max((value for value in complete if value is not None), default=None)
        raise DataError(
            f"none of {len(scored)} responses is complete and scores min_score = {config.min_score:g} or more "
            f"({len(complete)} are complete, the best of them scores {'nothing' if best is None else f'{best:g}'}). "
            "Lower min_score, draw more responses, or let the model write longer ones."
        )
    config.output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(config.output, b"".join(_line(config, item) for item in chosen.kept))
    values = [item.score.value for item in chosen.kept if item.score.value is not None]
    prompt_ids = {item.rollout.prompt.prompt_id for item in scored}
    return RejectSampleResult(
        output=config.output,
        num_prompts=len(prompt_ids),
        num_prompts_without=len(prompt_ids - {item.rollout.prompt.prompt_id for item in chosen.kept}),
        num_responses=len(scored),
        num_kept=len(chosen.kept),
        mean_score=sum(values) / len(values),
        **asdict(chosen.rejected),
    )


@dataclass
class Rejected:
    """Responses by the first reason for which they were not kept."""

    num_cut: int = 0
    num_empty: int = 0
    num_unscored: int = 0
    num_below: int = 0
    num_duplicates: int = 0
    num_surplus: int = 0


class _Choice:
    """The rule of what is kept, and the count of what is not."""

    def __init__(self, config: RejectSampleConfig) -> None:
        self._config = config
        self.rejected = Rejected()
        self.kept: list[ScoredRollout] = []

    def of(self, scored: Sequence[ScoredRollout]) -> _Choice:
        """Goes through all prompts, in order."""
        groups: dict[str, list[ScoredRollout]] = {}
        for item in scored:
            groups.setdefault(item.rollout.prompt.prompt_id, []).append(item)
        for group in groups.values():
            self._choose(group)
        return self

    def _choose(self, group: Sequence[ScoredRollout]) -> None:
        good: dict[str, ScoredRollout] = {}
        for item in group:
            if not self._is_good(item):
                continue
            if item.rollout.text in good:
                self.rejected.num_duplicates += 1
            else:
                good[item.rollout.text] = item
        best = sorted(good.values(), key=self._place)
        self.kept += best[: self._config.keep_per_prompt]
        self.rejected.num_surplus += len(best[self._config.keep_per_prompt :])

    def _is_good(self, item: ScoredRollout) -> bool:
        if not item.rollout.is_complete:
            self.rejected.num_cut += 1
        elif not _is_text(item.rollout.text):
            self.rejected.num_empty += 1
        elif item.score.value is None:
            self.rejected.num_unscored += 1
        elif item.score.value < self._config.min_score:
            self.rejected.num_below += 1
        else:
            return True
        return False

    def _place(self, item: ScoredRollout) -> tuple[float, float, int]:
        """Best first; among equals by the rule for ties."""
        assert item.score.value is not None
        rollout = item.rollout
        name = f"reject sample/{self._config.seed}/{rollout.prompt.prompt_id}/{rollout.sample_index}"
        tie = len(rollout.text) if self._config.ties == "shortest" else random.Random(name).random()
        return -item.score.value, tie, rollout.sample_index


def _drawn(config: RejectSampleConfig, prompts: Prompts, judge: WeightedSum) -> list[Rollout]:
    """Responses of the model to the training prompts."""
    count = len(prompts.train) if config.num_prompts is None else config.num_prompts
    if prompts.section.task is None:
        asked = list(prompts.train[:count])
    else:  # the beginning of a task's list is the problems that start with 0
        asked = PromptStream(prompts.train, seed=config.seed).take(min(count, len(prompts.train)))
    policy = load_policy(config.model, config.compute)
    with LiveView(1, f"reject-sample {config.model}") as view:
        introduce_policy(judge, policy, prompts.section, view.note)
        rendered = RenderedPrompts(
            prompts.to_be_answered(asked),
            policy.tokenizer,
            seed=config.seed,
            num_held_out=len(asked),
            note=view.note,
        )
        rendered.check_lengths(config.sampling.max_new_tokens, policy.max_length)
        engine = TorchEngine(policy, shares_weights=True, max_rows=config.compute.rollout_rows)
        return engine.generate(
            rendered.held_out,
            sampling_of(config.sampling, policy, config.seed),
            config.responses_per_prompt,
            progress=lambda done, total, _tokens: view.phase("generate", done, total),
        )


def _is_text(text: str) -> bool:
    """Whether the text can stand in a demonstration: not empty, and valid UTF-8."""
    try:
        return bool(text.encode("utf-8").strip())
    except UnicodeEncodeError:
        return False


def _line(config: RejectSampleConfig, item: ScoredRollout) -> bytes:
    rollout = item.rollout
    system_prompt = None if config.data is None or config.samples is not None else config.data.system_prompt
    row = {
        "id": f"{rollout.prompt.prompt_id}#{rollout.sample_index}",
        "prompt": with_system_prompt(rollout.prompt.content, system_prompt),
        "completion": rollout.text,
        "score": item.score.value,
    }
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
