"""The `posttrain` command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from posttrain import __version__
from posttrain.config.annotators import (
    AddAnnotatorConfig,
    AnnotatorNameConfig,
    InviteConfig,
    RoleConfig,
    StoreSection,
)
from posttrain.config.compare import CompareConfig
from posttrain.config.demo import DemoConfig
from posttrain.config.grpo import GRPOConfig
from posttrain.config.inference import EvaluateConfig, GenerateConfig
from posttrain.config.inspect import InspectConfig
from posttrain.config.lab import LabConfig
from posttrain.config.loading import load_config
from posttrain.config.pipeline import PipelineConfig
from posttrain.config.ppo import PPOConfig
from posttrain.config.pretrain import PretrainConfig
from posttrain.config.queue import QueueConfig
from posttrain.config.rank import RankByRuleConfig
from posttrain.config.rank_page import RankPageConfig
from posttrain.config.reject_sample import RejectSampleConfig
from posttrain.config.reward_model import RewardModelConfig
from posttrain.config.sample import SampleConfig
from posttrain.config.sft import SFTConfig
from posttrain.config.store import StoreExportConfig, StoreImportConfig
from posttrain.errors import ConfigError, PosttrainError

app = App(
    name="posttrain",
    version=__version__,
    help="Take a language model from pre-training to human feedback and reinforcement learning.",
    help_epilogue="Every setting of a command may stand in a TOML file; --section.name value overrides it.",
    # Settings are read by `load_config`, which takes lists as TOML: [] is the empty one.
    default_parameter=Parameter(negative_iterable=()),
)

ConfigFile = Annotated[Path | None, Parameter(help="TOML file with any of the settings below.")]
StoreOrConfigFile = Annotated[
    str | None,
    Parameter(
        help="The store: a file, or postgresql://user@host/database. Or a TOML file with any of the settings below."
    ),
]


def _settings(kind: type) -> Any:
    """An annotation that spreads a configuration's settings over the command's options, for `--help`."""
    return Annotated[kind | None, Parameter(name="*")]


@app.command
def pretrain(config_file: ConfigFile = None, /, *, config: _settings(PretrainConfig) = None) -> None:  # type: ignore[valid-type]
    """Train a language model on text, from random weights or a checkpoint; continues the run in `output`."""
    from posttrain.commands.pretrain import train_pretrain

    train_pretrain(config)


@app.command
def sft(config_file: ConfigFile = None, /, *, config: _settings(SFTConfig) = None) -> None:  # type: ignore[valid-type]
    """Fine-tune on demonstrations: learn what the assistant says; continues the run in `output` if there is one."""
    from posttrain.commands.sft import train_sft

    train_sft(config)


@app.command
def grpo(config_file: ConfigFile = None, /, *, config: _settings(GRPOConfig) = None) -> None:  # type: ignore[valid-type]
    """Train with group relative policy optimisation; continues the run in `output` if there is one."""
    from posttrain.commands.train import train_grpo

    train_grpo(config)


@app.command
def reward_model(config_file: ConfigFile = None, /, *, config: _settings(RewardModelConfig) = None) -> None:  # type: ignore[valid-type]
    """Train a reward model on comparisons, calibrate and freeze it; continues the run in `output` if there is one."""
    from posttrain.commands.reward_model import train_reward_model

    train_reward_model(config)


@app.command
def ppo(config_file: ConfigFile = None, /, *, config: _settings(PPOConfig) = None) -> None:  # type: ignore[valid-type]
    """Train with proximal policy optimisation and a critic; continues the run in `output` if there is one."""
    from posttrain.commands.train import train_ppo

    train_ppo(config)


@app.command
def generate(config_file: ConfigFile = None, /, *, config: _settings(GenerateConfig) = None) -> None:  # type: ignore[valid-type]
    """Sample responses from a model."""
    from posttrain.commands.generate import generate_responses

    generate_responses(config)


@app.command
def sample(config_file: ConfigFile = None, /, *, config: _settings(SampleConfig) = None) -> None:  # type: ignore[valid-type]
    """Sample N responses for each prompt into a file, to be ranked; continues the run in `output` if there is one."""
    from posttrain.commands.sample import sample_responses

    sample_responses(config)


@app.command
def rank(store: StoreOrConfigFile = None, /, *, config: _settings(RankPageConfig) = None) -> None:  # type: ignore[valid-type]
    """Open the page on which people rank the responses of a store."""
    from posttrain.commands.rank import open_rank_page

    open_rank_page(config)


@app.command
def rank_by_rule(config_file: ConfigFile = None, /, *, config: _settings(RankByRuleConfig) = None) -> None:  # type: ignore[valid-type]
    """Rank sampled responses by a stated rule with a stated error rate, in the place of people."""
    from posttrain.commands.rank_by_rule import rank_samples_by_rule

    rank_samples_by_rule(config)


@app.command
def reject_sample(config_file: ConfigFile = None, /, *, config: _settings(RejectSampleConfig) = None) -> None:  # type: ignore[valid-type]
    """Keep the best responses to each prompt, by a reward, as demonstrations for sft."""
    from posttrain.commands.reject_sample import choose_responses

    choose_responses(config)


@app.command
def inspect(data_file: Path | None = None, /, *, config: _settings(InspectConfig) = None) -> None:  # type: ignore[valid-type]
    """Show the tokens of a data file's examples, which of them are learned, and what would be dropped."""
    from posttrain.commands.inspect import inspect_data

    inspect_data(config)


@app.command
def evaluate(config_file: ConfigFile = None, /, *, config: _settings(EvaluateConfig) = None) -> None:  # type: ignore[valid-type]
    """Score a model on held-out prompts. Instead of a TOML file, a run's folder may be given."""
    from posttrain.commands.evaluate import evaluate_model

    evaluate_model(config)


@app.command
def compare(*files: str, config: _settings(CompareConfig) = None) -> None:  # type: ignore[valid-type]
    """Run several configurations of ppo and grpo from one start, and show side by side what each reached and cost."""
    from posttrain.commands.compare import compare_runs

    compare_runs(config)


@app.command
def pipeline(config_file: ConfigFile = None, /, *, config: _settings(PipelineConfig) = None) -> None:  # type: ignore[valid-type]
    """Run stages that hand their outputs to each other; done ones are skipped, an interrupted one is resumed."""
    from posttrain.commands.pipeline import run_pipeline

    run_pipeline(config)


@app.command
def demo(config_file: ConfigFile = None, /, *, config: _settings(DemoConfig) = None) -> None:  # type: ignore[valid-type]
    """Sample, rank, reward model, PPO and GRPO on sums with the embedded model, and what came of each."""
    from posttrain.commands.demo import run_demo

    run_demo(config)


lab = App(name="lab", help="Measure what the text says of its estimators, where the truth is known.")
app.command(lab)


@lab.command
def advantages(config_file: ConfigFile = None, /, *, config: _settings(LabConfig) = None) -> None:  # type: ignore[valid-type]
    """Bias, variance and error of MC, TD and GAE over lambda and K, against exact advantages."""
    from posttrain.commands.lab import measure_advantages

    measure_advantages(config)


@app.command
def queue(store: StoreOrConfigFile = None, /, *, config: _settings(QueueConfig) = None) -> None:  # type: ignore[valid-type]
    """Hand out first what is worth most: disagreements, what a reward model is unsure of, or a new checkpoint."""
    from posttrain.commands.queue import queue_items

    queue_items(config)


preference_store = App(
    name="store", help="What people rank and have said: files into a store, and out of it."
)
app.command(preference_store)


@preference_store.command(name="import")
def import_files(
    store: StoreOrConfigFile = None,
    /,
    *files: Path,
    config: _settings(StoreImportConfig) = None,  # type: ignore[valid-type]
) -> None:
    """Put prompts with responses, and rankings, into a store: our files, TRL's, hh-rlhf, Argilla, Label Studio."""
    from posttrain.commands.store import import_into_store

    import_into_store(config)


@preference_store.command(name="export")
def export_file(
    store: StoreOrConfigFile = None,
    file: Path | None = None,
    /,
    *,
    config: _settings(StoreExportConfig) = None,  # type: ignore[valid-type]
) -> None:
    """Write what people said to a file: lossless rankings, TRL's pairs, or grades."""
    from posttrain.commands.store import export_from_store

    export_from_store(config)


annotators = App(
    name="annotators", help="Who ranks, from other machines too: invites, roles, and who is let in no more."
)
app.command(annotators)


@annotators.command(name="add")
def add_annotator(name: str | None = None, /, *, config: _settings(AddAnnotatorConfig) = None) -> None:  # type: ignore[valid-type]
    """Add a person, and print the invite by which they set their password, once."""
    from posttrain.commands.annotators import add

    add(config)


@annotators.command(name="list")
def list_annotators(*, config: _settings(StoreSection) = None) -> None:  # type: ignore[valid-type]
    """Show everybody, with their roles."""
    from posttrain.commands.annotators import show

    show(config)


@annotators.command(name="invite")
def invite_annotator(name: str | None = None, /, *, config: _settings(InviteConfig) = None) -> None:  # type: ignore[valid-type]
    """Give a person a new invite, also for a forgotten password; the earlier one ends."""
    from posttrain.commands.annotators import invite_again

    invite_again(config)


@annotators.command(name="role")
def annotator_role(name: str | None = None, /, *, config: _settings(RoleConfig) = None) -> None:  # type: ignore[valid-type]
    """Give a person another role, from their next request on."""
    from posttrain.commands.annotators import give_role

    give_role(config)


@annotators.command(name="disable")
def disable_annotator(name: str | None = None, /, *, config: _settings(AnnotatorNameConfig) = None) -> None:  # type: ignore[valid-type]
    """Let a person in no more, at once; their judgements stay."""
    from posttrain.commands.annotators import disable_annotator as disable

    disable(config)


@annotators.command(name="enable")
def enable_annotator(name: str | None = None, /, *, config: _settings(AnnotatorNameConfig) = None) -> None:  # type: ignore[valid-type]
    """Let a disabled person in again, with the password they had."""
    from posttrain.commands.annotators import enable_annotator as enable

    enable(config)


# Command -> what it does and the kind of its settings. cyclopts prints the help and picks the command; the
# settings themselves are read by `load_config`, because an error there must name the file and the line.
_COMMANDS: dict[str, tuple[Callable[..., None], type]] = {
    "pretrain": (pretrain, PretrainConfig),
    "sft": (sft, SFTConfig),
    "grpo": (grpo, GRPOConfig),
    "reward-model": (reward_model, RewardModelConfig),
    "ppo": (ppo, PPOConfig),
    "generate": (generate, GenerateConfig),
    "sample": (sample, SampleConfig),
    "rank": (rank, RankPageConfig),
    "rank-by-rule": (rank_by_rule, RankByRuleConfig),
    "reject-sample": (reject_sample, RejectSampleConfig),
    "inspect": (inspect, InspectConfig),
    "evaluate": (evaluate, EvaluateConfig),
    "compare": (compare, CompareConfig),
    "pipeline": (pipeline, PipelineConfig),
    "demo": (demo, DemoConfig),
    "lab advantages": (advantages, LabConfig),
    "queue": (queue, QueueConfig),
    "store import": (import_files, StoreImportConfig),
    "store export": (export_file, StoreExportConfig),
    "annotators add": (add_annotator, AddAnnotatorConfig),
    "annotators list": (list_annotators, StoreSection),
    "annotators invite": (invite_annotator, InviteConfig),
    "annotators role": (annotator_role, RoleConfig),
    "annotators disable": (disable_annotator, AnnotatorNameConfig),
    "annotators enable": (enable_annotator, AnnotatorNameConfig),
}

# Where the first word is a setting of this name, unless it is a TOML file.
_FIRST_WORD: dict[type, str] = {
    InspectConfig: "path",
    RankPageConfig: "store",
    QueueConfig: "store",
    AddAnnotatorConfig: "name",
    InviteConfig: "name",
    RoleConfig: "name",
    AnnotatorNameConfig: "name",
}


def main(words: Sequence[str] | None = None) -> None:
    """Run one command; exits with 0, with 2 after an error of the user's, with 130 after Ctrl-C."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        name = next((name for n in (2, 1) if (name := " ".join(words[:n])) in _COMMANDS), None)
        if name is not None and not {"--help", "-h"} & set(words):
            command, kind = _COMMANDS[name]
            command(config=_read_config(kind, words[len(name.split()) :]))
        else:
            app(words, exit_on_error=False, print_error=False)
    except PosttrainError as error:
        _fail(f"{type(error).__name__}: {error}")
    except CycloptsError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _read_config(kind: type, words: Sequence[str]) -> Any:
    path = Path(words[0]) if words and not words[0].startswith("--") else None
    if path is not None and path.is_dir() and kind is EvaluateConfig:
        from posttrain.commands.evaluate import config_of_run

        return config_of_run(path, words[1:])
    if kind in _FIRST_WORD and path is not None and path.suffix.lower() != ".toml":
        return load_config(kind, {_FIRST_WORD[kind]: words[0]}, words[1:])
    if kind in (StoreImportConfig, StoreExportConfig):
        return _read_store_config(kind, words)
    if kind is CompareConfig:
        files = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
        return load_config(kind, {"files": files}, words[len(files) :])
    if kind is PipelineConfig:
        from posttrain.commands.pipeline import read_pipeline

        return read_pipeline(path, words[1:] if path else words)
    return load_config(kind, path, words[1:] if path else words)


def _read_store_config(kind: type, words: Sequence[str]) -> Any:
    """Of STORE and files before the settings, or of a TOML file."""
    first = list(itertools.takewhile(lambda word: not word.startswith("--"), words))
    rest = words[len(first) :]
    if not first or (len(first) == 1 and first[0].lower().endswith(".toml")):
        return load_config(kind, Path(first[0]) if first else None, rest)
    values: dict[str, Any] = {"store": first[0]}
    if kind is StoreImportConfig:
        values |= {"files": first[1:]} if first[1:] else {}
    elif first[1:]:
        values["file"] = first[1]
        if first[2:]:
            raise ConfigError(f"an export goes into one file, and {', '.join(first[1:])} were named")
    return load_config(kind, values, rest)


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(2)
