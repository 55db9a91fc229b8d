"""The recipes that a stage can name: their settings, what they take from other stages, what they leave."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from posttrain.config.sections import Section

if TYPE_CHECKING:
    from posttrain.pipelines.stage_runs import StageReport


@dataclass(frozen=True)
class Output:
    """Something that a stage leaves for others: what it is, and where in the stage's folder."""

    kind: str
    path: str


@dataclass(frozen=True)
class StageKind:
    """One recipe as a stage. `outputs` by name, the first is the main one.

    `takes` says which kinds of outputs fit a setting (dotted, without list indices); a setting that is not named
    takes anything. `output_file` is what the setting `output` names inside the stage's folder, "" the folder.
    `waits_for` are settings whose file may come later, from people; `fills` are those that name what it fills beside
    its folder, which is no input.
    """

    recipe: str
    config: str
    run: str
    outputs: Mapping[str, Output]
    takes: Mapping[str, frozenset[str]]
    output_file: str = ""
    takes_default_model: bool = True
    waits_for: frozenset[str] = field(default_factory=frozenset)
    fills: frozenset[str] = field(default_factory=frozenset)

    def config_class(self) -> type[Section]:
        """The class of its settings."""
        found: type[Section] = _load(self.config)
        return found

    def runner(self) -> Callable[[Any], StageReport]:
        """What runs it, given its settings; loads torch."""
        found: Callable[[Any], StageReport] = _load(f"posttrain.pipelines.stage_runs:{self.run}")
        return found

    def output_path(self, folder: Path, name: str | None = None) -> Path:
        """Where the output of that name lies (None: the main one)."""
        output = self.outputs[name] if name is not None else self.main_output
        return folder / output.path if output.path else folder

    @property
    def main_output(self) -> Output:
        """What "@stage" stands for."""
        return next(iter(self.outputs.values()))


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _only(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


LANGUAGE_MODEL, REWARD_MODEL, SAMPLES, RANKINGS, DEMONSTRATIONS = (
    "language model",
    "reward model",
    "samples",
    "rankings",
    "demonstrations",
)
_MODEL: Final = {"model": Output(LANGUAGE_MODEL, "model"), "run": Output("run folder", "")}
# Samples hold prompts with their columns, so they can be asked again.
_ASKS: Final = {
    "model": _only(LANGUAGE_MODEL),
    "data.path": _only(SAMPLES),
    "data.held_out_path": _only(SAMPLES),
    "reward.terms.model": _only(REWARD_MODEL),
}
_LEARNS: Final = {**_ASKS, "evaluation.reward.terms.model": _only(REWARD_MODEL)}

STAGE_KINDS: Final[Mapping[str, StageKind]] = {
    kind.recipe: kind
    for kind in (
        StageKind(
            "pretrain",
            "posttrain.config.pretrain:PretrainConfig",
            "run_pretrain",
            _MODEL,
            {"model": _only(LANGUAGE_MODEL)},
            takes_default_model=False,  # it may start from random weights
        ),
        StageKind(
            "sft",
            "posttrain.config.sft:SFTConfig",
            "run_sft",
            _MODEL,
            {
                "model": _only(LANGUAGE_MODEL),
                "data.path": _only(DEMONSTRATIONS),
                "data.held_out_path": _only(DEMONSTRATIONS),
            },
        ),
        StageKind(
            "sample",
            "posttrain.config.sample:SampleConfig",
            "run_sample",
            {"responses": Output(SAMPLES, "responses.jsonl"), "run": Output("run folder", "")},
            {name: kinds for name, kinds in _ASKS.items() if "reward" not in name},
            fills=frozenset({"store"}),
        ),
        StageKind(
            "rank",
            "posttrain.config.rank:RankStageConfig",
            "run_rank",
            {"rankings": Output(RANKINGS, "rankings.jsonl")},
            {
                "samples": _only(SAMPLES),
                "rankings": _only(RANKINGS),
                "reward.terms.model": _only(REWARD_MODEL),
            },
            output_file="rankings.jsonl",
            waits_for=frozenset({"rankings", "store"}),
        ),
        StageKind(
            "reward_model",
            "posttrain.config.reward_model:RewardModelConfig",
            "run_reward_model",
            {"model": Output(REWARD_MODEL, "model"), "run": Output("run folder", "")},
            {
                "model": _only(LANGUAGE_MODEL, REWARD_MODEL),
                "data.path": _only(RANKINGS),
                "data.held_out_path": _only(RANKINGS),
                "calibration.path": _only(RANKINGS, DEMONSTRATIONS),
            },
        ),
        StageKind(
            "ppo",
            "posttrain.config.ppo:PPOConfig",
            "run_ppo",
            _MODEL,
            {**_LEARNS, "critic.start": _only(LANGUAGE_MODEL, REWARD_MODEL)},
        ),
        StageKind("grpo", "posttrain.config.grpo:GRPOConfig", "run_grpo", _MODEL, _LEARNS),
        StageKind(
            "reject_sample",
            "posttrain.config.reject_sample:RejectSampleConfig",
            "run_reject_sample",
            {"demonstrations": Output(DEMONSTRATIONS, "demonstrations.jsonl")},
            {**_ASKS, "samples": _only(SAMPLES)},
            output_file="demonstrations.jsonl",
        ),
        StageKind(
            "evaluate",
            "posttrain.config.inference:EvaluateConfig",
            "run_evaluate",
            {"evaluation": Output("evaluation", "evaluation.json")},
            _ASKS,
            output_file="evaluation.json",
        ),
    )
}
"""The recipes by name."""


def near(name: str, known: Mapping[str, object]) -> str:
    """ "Did you mean 'x'?", or what is known."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {found[0]!r}?" if found else f"Known here: {', '.join(known) or 'none'}."
