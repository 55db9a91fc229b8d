"""`posttrain evaluate`: held-out accuracy and pass@k of a model, and a table of samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from posttrain.commands.output_file import check_output, write_output
from posttrain.config.inference import EvaluateConfig
from posttrain.config.loading import load_config
from posttrain.errors import ConfigError
from posttrain.evaluation.table import samples_table
from posttrain.recipes.held_out_score import held_out_score
from posttrain.runs.metric_names import count_text
from posttrain.runs.run_folder import RunFolder


def evaluate_model(config: EvaluateConfig) -> None:
    """Scores the model, prints the numbers and a table, and writes them as JSON to `config.output`."""
    console = Console()
    scored = held_out_score(
        config,
        note=lambda text: console.print(text, markup=False),
        before_loading=lambda: check_output(config.output),
    )
    found = scored.evaluation
    console.print(samples_table(found.samples, title=f"Samples of {config.model}"))
    if scored.is_exact:
        for k, value in found.pass_at.items():
            console.print(f"pass@{k}: {100 * value:.1f} %", highlight=False)
        low, high = found.correct_interval
        console.print(
            f"correct: {100 * found.correct_share:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})",
            highlight=False,
        )
    else:  # pass@k and "correct" mean nothing for a sum of terms or a score of another kind
        console.print(f"mean score: {found.accuracy:.3f}", highlight=False)
    console.print(
        f"length {found.mean_length:.1f}, cut {found.cut_share:.1%}, unscored {found.unscored_share:.1%} "
        f"({count_text(found.num_prompts, 'prompt')} x {found.samples_per_prompt})",
        highlight=False,
        soft_wrap=True,
    )
    if config.output is not None:
        write_output(config.output, json.dumps(found.to_dict(), indent=1) + "\n")


def config_of_run(folder: Path, overrides: Sequence[str]) -> EvaluateConfig:
    """The evaluation that a run does itself, of its trained model, with overrides from the command line."""
    run = RunFolder(folder)
    saved = run.read_config()
    if not run.model.exists():
        raise ConfigError(f"{folder} holds no trained model: the run is not finished. Go on with it first.")
    evaluation = saved.get("evaluation", {})
    judged_apart = "reward" in evaluation
    reward = [name for start in run.read_sessions() for name in start.get("reward", [])]
    functions_in_file = [term for term in saved.get("reward", {}).get("terms", []) if "function" in term]
    if not judged_apart and not functions_in_file and any("(code " in name for name in reward):
        raise ConfigError(
            f"{folder} was rewarded by a Python function, which its configuration cannot name, so its scores cannot "
            "be repeated here. Write the function into a file and give --reward.terms '[{function = \"file.py:name\"}]'"
            " with --model and --data instead of the run's folder."
        )
    kept: dict[str, Any] = {
        name: saved[name] for name in ("data", "reward", "sampling", "seed", "compute") if name in saved
    }
    if judged_apart:
        kept["reward"] = evaluation["reward"]
    size = {name: value for name, value in evaluation.items() if name not in ("every_steps", "reward")}
    return load_config(EvaluateConfig, {**kept, "model": str(run.model), "evaluation": size}, overrides)
