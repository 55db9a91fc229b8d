"""Each recipe called as a stage: its settings go in, one line of what came of it comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posttrain.config.grpo import GRPOConfig
from posttrain.config.inference import EvaluateConfig
from posttrain.config.ppo import PPOConfig
from posttrain.config.pretrain import PretrainConfig
from posttrain.config.rank import RankStageConfig
from posttrain.config.reject_sample import RejectSampleConfig
from posttrain.config.reward_model import RewardModelConfig
from posttrain.config.sample import SampleConfig
from posttrain.config.sft import SFTConfig
from posttrain.errors import DataError
from posttrain.evaluation.evaluate import Evaluation
from posttrain.runs.durable_file import replace_file
from posttrain.runs.metric_names import count_text


@dataclass(frozen=True)
class StageReport:
    """What a stage came to: one line for people, and the numbers in it by name.

    `is_complete` is False when Ctrl-C ended it before its end; the same settings go on with it.
    """

    outcome: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    is_complete: bool = True


def run_pretrain(config: PretrainConfig) -> StageReport:
    """Next-token prediction."""
    from posttrain.recipes.pretrain import pretrain

    return _supervised(pretrain(config), "loss")


def run_sft(config: SFTConfig) -> StageReport:
    """Supervised fine-tuning."""
    from posttrain.recipes.sft import sft

    return _supervised(sft(config), "loss")


def run_reward_model(config: RewardModelConfig) -> StageReport:
    """A Bradley-Terry reward model."""
    from posttrain.recipes.reward_model import reward_model

    return _supervised(reward_model(config), "accuracy")


def run_reject_sample(config: RejectSampleConfig) -> StageReport:
    """The best responses as demonstrations."""
    from posttrain.recipes.reject_sample import reject_sample

    result = reject_sample(config)
    outcome = f"{result.num_kept} of {count_text(result.num_responses, 'response')} kept"
    if result.num_prompts_without:
        outcome += f", none of {result.num_prompts_without} of {count_text(result.num_prompts, 'prompt')}"
    return StageReport(outcome, {"num_kept": result.num_kept, "num_responses": result.num_responses})


def run_sample(config: SampleConfig) -> StageReport:
    """N responses for each prompt."""
    from posttrain.recipes.sample import sample

    result = sample(config)
    outcome = f"{count_text(result.num_responses, 'response')} to {count_text(result.num_prompts, 'prompt')}"
    if result.num_duplicates:
        outcome += f", {count_text(result.num_duplicates, 'duplicate')} left out"
    numbers = {
        "num_prompts": result.num_prompts,
        "num_responses": result.num_responses,
        "num_duplicates": result.num_duplicates,
    }
    return StageReport(outcome, numbers, result.is_complete)


def run_rank(config: RankStageConfig) -> StageReport:
    """The scripted annotators' rankings, or those of people."""
    if config.rankings is not None:
        return _take_rankings(config)
    if config.store is not None:
        return _take_from_store(config)
    from posttrain.recipes.rank_by_rule import rank_by_rule

    result = rank_by_rule(config.by_rule())
    outcome = count_text(result.num_rankings, "ranking")
    numbers = {"num_rankings": float(result.num_rankings)}
    if result.agreement is not None:
        outcome += f", {100 * result.agreement:.1f} % of unequal pairs as the rule has them"
        numbers["agreement"] = result.agreement
    return StageReport(outcome, numbers)


def run_grpo(config: GRPOConfig) -> StageReport:
    """Group relative policy optimisation."""
    from posttrain.recipes.grpo import grpo

    return _policy(grpo(config))


def run_ppo(config: PPOConfig) -> StageReport:
    """Proximal policy optimisation."""
    from posttrain.recipes.ppo import ppo

    return _policy(ppo(config))


def run_evaluate(config: EvaluateConfig) -> StageReport:
    """A held-out score, with its samples in the stage's folder."""
    from posttrain.recipes.held_out_score import held_out_score

    found = held_out_score(config, note=print)
    assert config.output is not None
    config.output.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(found.evaluation.to_dict(), indent=1) + "\n"
    replace_file(config.output, content.encode())
    value = _held_out(found.evaluation, found.is_exact)
    return StageReport(_score_text(None, value, found.is_exact), {"after": value})


def _take_rankings(config: RankStageConfig) -> StageReport:
    from posttrain.data.record_files import PARQUET
    from posttrain.preferences.rankings_file import encode_ranking, read_rankings_of_people

    assert config.rankings is not None
    if not config.rankings.exists():
        asked = (
            f" Fill a column `ranks` into each line of {config.samples}" if config.samples else " Write it"
        )
        raise DataError(
            f"{config.rankings} is not there yet: this stage waits for people.{asked} (0 is best, equal is a tie, for "
            '4 responses for example "ranks": [1, 0, 2, 2]), save it under that name, and give the same command again.'
        )
    loaded = read_rankings_of_people(config.rankings)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    if config.rankings.suffix.lower() in PARQUET:  # the stages behind tell a file's kind by its name
        replace_file(config.output, map(encode_ranking, loaded.rankings))
    else:
        replace_file(config.output, config.rankings.read_bytes())
    count = len(loaded.rankings)
    left_out = [f"{dropped.count} left out: {dropped.reason}" for dropped in loaded.dropped]
    return StageReport(
        "; ".join([f"{count_text(count, 'ranking')} of people", *left_out]), {"num_rankings": count}
    )


def _take_from_store(config: RankStageConfig) -> StageReport:
    from posttrain.pipelines.people_in_store import take_from_store

    taken = take_from_store(config)
    count = len(taken.rankings)
    left_out = [f"left out: {dropped}" for dropped in taken.dropped]
    return StageReport(
        "; ".join([f"{count_text(count, 'ranking')} of people", *left_out]), {"num_rankings": count}
    )


def _policy(result: Any) -> StageReport:
    """The report of a recipe that learns from its own samples (`recipes.policy_run.PolicyResult`)."""
    if result.model_folder is None:
        return StageReport(f"at step {result.step}", is_complete=False)
    if result.after is None:
        return StageReport(f"{count_text(result.step, 'step')}, nothing held out")
    after = _held_out(result.after, result.is_exact)
    numbers = {"after": after}
    before = None if result.before is None else _held_out(result.before, result.is_exact)
    if before is not None:
        numbers["before"] = before
    return StageReport(_score_text(before, after, result.is_exact), numbers)


def _supervised(result: Any, name: str) -> StageReport:
    """The report of a recipe that learns from given data (`recipes.supervised.SupervisedResult`)."""
    if result.model_folder is None:
        return StageReport(f"at step {result.step} of {result.num_steps}", is_complete=False)
    found = {
        when: float(measured[name])
        for when, measured in (("before", result.before), ("after", result.after))
        if measured and measured.get(name) is not None
    }
    if "after" not in found:
        return StageReport(f"{count_text(result.step, 'step')}, nothing held out")
    shown = " -> ".join(f"{value:.3f}" for value in found.values())
    return StageReport(f"held-out {name.replace('_', ' ')} {shown}", found)


def _held_out(evaluation: Evaluation, is_exact: bool) -> float:
    return evaluation.correct_share if is_exact else evaluation.accuracy


def _score_text(before: float | None, after: float, is_exact: bool) -> str:
    values = [after] if before is None else [before, after]
    if is_exact:
        return "held-out exact match " + " -> ".join(f"{100 * value:.1f} %" for value in values)
    return "held-out mean score " + " -> ".join(f"{value:.3f}" for value in values)
