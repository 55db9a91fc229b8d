"""Every command: what it is for, which function runs it, and what its settings are; imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Words = Literal["config", "data", "store", "name", "files", "store and files", "store and file", "none"]
"""What may stand before the settings: a TOML file, or what a command is about."""


@dataclass(frozen=True)
class Command:
    """`settings` names a configuration, `runs` a function that takes one; both as `module:name`."""

    summary: str
    runs: str
    settings: str
    words: Words = "config"
    first_word: str = ""
    """The setting that the first word is, unless it is a TOML file."""

    def run(self, config: Any) -> None:
        """Does it."""
        run: Callable[[Any], None] = _named("posttrain.commands", self.runs)
        run(config)

    @property
    def kind(self) -> type:
        """The class of its settings."""
        kind: type = _named("posttrain.config", self.settings)
        return kind


def _named(package: str, where: str) -> Any:
    module, name = where.split(":")
    return getattr(importlib.import_module(f"{package}.{module}"), name)


GROUPS = {
    "lab": "Measure what the text says of its estimators, where the truth is known.",
    "store": "What people rank and have said: files into a store, and out of it.",
    "annotators": "Who ranks, from other machines too: invites, roles, and who is let in no more.",
}
"""The first words of commands of two words."""

COMMANDS: dict[str, Command] = {
    "pretrain": Command(
        "Train a language model on text, from random weights or a checkpoint; continues the run in `output`.",
        "pretrain:train_pretrain",
        "pretrain:PretrainConfig",
    ),
    "sft": Command(
        "Fine-tune on demonstrations: learn what the assistant says; continues the run in `output` if there is one.",
        "sft:train_sft",
        "sft:SFTConfig",
    ),
    "grpo": Command(
        "Train with group relative policy optimisation; continues the run in `output` if there is one.",
        "train:train_grpo",
        "grpo:GRPOConfig",
    ),
    "reward-model": Command(
        "Train a reward model on comparisons, calibrate and freeze it; continues the run in `output` if there is one.",
        "reward_model:train_reward_model",
        "reward_model:RewardModelConfig",
    ),
    "ppo": Command(
        "Train with proximal policy optimisation and a critic; continues the run in `output` if there is one.",
        "train:train_ppo",
        "ppo:PPOConfig",
    ),
    "generate": Command(
        "Sample responses from a model.",
        "generate:generate_responses",
        "inference:GenerateConfig",
    ),
    "sample": Command(
        "Sample N responses for each prompt into a file, to be ranked; continues the run in `output` if there is one.",
        "sample:sample_responses",
        "sample:SampleConfig",
    ),
    "rank": Command(
        "Open the page on which people rank the responses of a store.",
        "rank:open_rank_page",
        "rank_page:RankPageConfig",
        "store",
        "store",
    ),
    "rank-by-rule": Command(
        "Rank sampled responses by a stated rule with a stated error rate, in the place of people.",
        "rank_by_rule:rank_samples_by_rule",
        "rank:RankByRuleConfig",
    ),
    "reject-sample": Command(
        "Keep the best responses to each prompt, by a reward, as demonstrations for sft.",
        "reject_sample:choose_responses",
        "reject_sample:RejectSampleConfig",
    ),
    "inspect": Command(
        "Show the tokens of a data file's examples, which of them are learned, and what would be dropped.",
        "inspect:inspect_data",
        "inspect:InspectConfig",
        "data",
        "path",
    ),
    "evaluate": Command(
        "Score a model on held-out prompts. Instead of a TOML file, a run's folder may be given.",
        "evaluate:evaluate_model",
        "inference:EvaluateConfig",
    ),
    "compare": Command(
        "Run several configurations of ppo and grpo from one start, and show side by side what each reached and cost.",
        "compare:compare_runs",
        "compare:CompareConfig",
        "files",
    ),
    "pipeline": Command(
        "Run stages that hand their outputs to each other; done ones are skipped, an interrupted one is resumed.",
        "pipeline:run_pipeline",
        "pipeline:PipelineConfig",
    ),
    "demo": Command(
        "Sample, rank, reward model, PPO and GRPO on sums with the embedded model, and what came of each.",
        "demo:run_demo",
        "demo:DemoConfig",
    ),
    "lab advantages": Command(
        "Bias, variance and error of MC, TD and GAE over lambda and K, against exact advantages.",
        "lab:measure_advantages",
        "lab:LabConfig",
    ),
    "queue": Command(
        "Hand out first what is worth most: disagreements, what a reward model is unsure of, or a new checkpoint.",
        "queue:queue_items",
        "queue:QueueConfig",
        "store",
        "store",
    ),
    "store import": Command(
        "Put prompts with responses, and rankings, into a store: our files, TRL's, hh-rlhf, Argilla, Label Studio.",
        "store:import_into_store",
        "store:StoreImportConfig",
        "store and files",
    ),
    "store export": Command(
        "Write what people said to a file: lossless rankings, TRL's pairs, or grades.",
        "store:export_from_store",
        "store:StoreExportConfig",
        "store and file",
    ),
    "annotators add": Command(
        "Add a person, and print the invite by which they set their password, once.",
        "annotators:add",
        "annotators:AddAnnotatorConfig",
        "name",
        "name",
    ),
    "annotators list": Command(
        "Show everybody, with their roles.", "annotators:show", "annotators:StoreSection", "none"
    ),
    "annotators invite": Command(
        "Give a person a new invite, also for a forgotten password; the earlier one ends.",
        "annotators:invite_again",
        "annotators:InviteConfig",
        "name",
        "name",
    ),
    "annotators role": Command(
        "Give a person another role, from their next request on.",
        "annotators:give_role",
        "annotators:RoleConfig",
        "name",
        "name",
    ),
    "annotators disable": Command(
        "Let a person in no more, at once; their judgements stay.",
        "annotators:disable_annotator",
        "annotators:AnnotatorNameConfig",
        "name",
        "name",
    ),
    "annotators enable": Command(
        "Let a disabled person in again, with the password they had.",
        "annotators:enable_annotator",
        "annotators:AnnotatorNameConfig",
        "name",
        "name",
    ),
}


def command_in(words: list[str]) -> str | None:
    """The name of the command that these words begin with, of two words or of one."""
    return next((name for n in (2, 1) if (name := " ".join(words[:n])) in COMMANDS), None)
