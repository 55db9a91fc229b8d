"""`posttrain demo`: from sampled answers to people's taste, PPO and GRPO on the embedded model, with the proof."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Console

from posttrain.commands.compare import compare_runs
from posttrain.commands.demo_files import compared_settings, grpo_settings, pipeline_settings
from posttrain.commands.pipeline import read_pipeline, run_pipeline
from posttrain.commands.train import print_result
from posttrain.config.compare import CompareConfig
from posttrain.config.demo import DemoConfig
from posttrain.config.grpo import GRPOConfig
from posttrain.errors import ConfigError
from posttrain.recipes.grpo import grpo
from posttrain.runs.durable_file import replace_file

FOLDERS = ("rlhf", "compare", "grpo")
FILES = ("rlhf.toml", "ppo.toml", "grpo.toml")
COMPLETE = "complete"
"""An empty file that says that the demo came to its end: the next one starts over."""


def run_demo(demo: DemoConfig) -> None:
    """Runs every part that is not done yet, and prints what each came to."""
    started_at = time.perf_counter()
    console = Console()
    _prepare(demo)
    (_show_grpo if demo.only_grpo else _show_everything)(demo, console)
    replace_file(demo.output / COMPLETE, b"")
    console.print(f"The demo took {(time.perf_counter() - started_at) / 60:.1f} minutes.")


def _show_grpo(demo: DemoConfig, console: Console) -> None:
    _say(
        console,
        "GRPO on 1-digit sums with SmolLM2-135M-Instruct: the model answers, a verifier checks the number,\n"
        "and answers better than the others of their group become more likely. A quarter of the sums is held\n"
        "out: never asked in training, though the same sum turned around may be.",
    )
    result = grpo(GRPOConfig.model_validate(grpo_settings(demo)))
    print_result(result, console)


def _show_everything(demo: DemoConfig, console: Console) -> None:
    _say(
        console,
        "Reinforcement learning from feedback on 1-digit sums with SmolLM2-135M-Instruct, in the note's steps.\n"
        "A quarter of the sums is held out: never asked in training, though the same sum turned around may be.\n"
        "(./run demo --only-grpo leaves out people, reward model and PPO.)\n\n"
        "1 to 3: the model answers each sum up to 8 times; two scripted annotators rank the answers (a right number\n"
        "in few words; they err in 5 % and 20 % of their rankings); a reward model learns their taste.",
    )
    feedback = _write(demo.output / "rlhf.toml", pipeline_settings(demo))
    run_pipeline(read_pipeline(feedback, []))
    _say(
        console,
        "4: PPO, with a critic, and GRPO, without one, from the same start on the same reward: 1 for the right\n"
        "number, and a tenth of the reward model's score. The held-out score is the share of right numbers.",
    )
    reward_model = demo.output / "rlhf" / "reward" / "model"
    files = [
        f"{name}:{_write(demo.output / f'{name}.toml', settings)}"
        for name, settings in compared_settings(demo, reward_model).items()
    ]
    compare_runs(CompareConfig(files=tuple(files), output=demo.output / "compare"))
    console.print(
        f"\nThe files that were run are {', '.join(FILES)} in {demo.output}: change them, and\n"
        f"  posttrain pipeline {demo.output}/rlhf.toml\n"
        f"  posttrain compare ppo:{demo.output}/ppo.toml grpo:{demo.output}/grpo.toml",
        highlight=False,
        soft_wrap=True,
    )


def _prepare(demo: DemoConfig) -> None:
    """The demo's folder is there; what an earlier one left is gone where it is to start over."""
    own = {*FOLDERS, *FILES, COMPLETE}
    folder = demo.output
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, and the demo needs a folder. Choose another --output.")
    foreign = (
        sorted(path.name for path in folder.iterdir() if path.name not in own) if folder.exists() else []
    )
    if foreign:
        raise ConfigError(
            f"{folder} holds {foreign[0]!r} but no run of the demo: nothing of it is touched. Choose an --output that "
            "is new or empty."
        )
    if demo.fresh or (folder / COMPLETE).exists():
        for name in own:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


def _write(path: Path, settings: Mapping[str, Any]) -> Path:
    replace_file(path, tomli_w.dumps(dict(settings)).encode())
    return path


def _say(console: Console, text: str) -> None:
    console.print(f"\n{text}\n", highlight=False, markup=False, soft_wrap=True)
