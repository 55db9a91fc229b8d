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
from posttrain.errors import ConfigError, DataError
from posttrain.evaluation.evaluate import evaluate
from posttrain.evaluation.table import samples_table
from posttrain.recipes.prompts import RenderedPrompts, open_prompts
from posttrain.recipes.reward import gives_right_or_wrong, open_reward
from posttrain.recipes.setup import load_policy, sampling_of
from posttrain.rollouts.torch_engine import TorchEngine
from posttrain.runs.run_folder import RunFolder


def evaluate_model(config: EvaluateConfig) -> None:
    """Scores the model, prints the numbers and a table, and writes them as JSON to `config.output`."""
    prompts = open_prompts(config.data, config.seed, only_held_out=True)
    if not prompts.held_out:
        raise DataError(
            "there is nothing to evaluate on: data.path is for training. Name the prompts as data.held_out_path, "
            "and the reward in reward.terms."
        )
    check_output(config.output)
    console = Console()
    with open_reward(config.reward, prompts.verifier) as judge:
        policy = load_policy(config.model, config.compute)
        rendered = RenderedPrompts(
            prompts,
            policy.tokenizer,
            seed=config.seed,
            num_held_out=config.evaluation.num_prompts,
            note=lambda text: console.print(text, markup=False),
        )
        engine = TorchEngine(policy, shares_weights=True, max_rows=config.compute.rollout_rows)
        found = evaluate(
            engine,
            rendered.held_out,
            judge,
            sampling_of(config.sampling, policy, config.seed),
            config.evaluation.samples_per_prompt,
            max_unscored_share=config.reward.max_unscored_share,
        )
    console.print(samples_table(found.samples, title=f"Samples of {config.model}"))
    if gives_right_or_wrong(judge):
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
        f"({found.num_prompts} prompts x {found.samples_per_prompt})",
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
    reward = [name for start in run.read_sessions() for name in start.get("reward", [])]
    functions_in_file = [term for term in saved.get("reward", {}).get("terms", []) if "function" in term]
    if not functions_in_file and any("(code " in name for name in reward):
        raise ConfigError(
            f"{folder} was rewarded by a Python function, which its configuration cannot name, so its scores cannot "
            "be repeated here. Write the function into a file and give --reward.terms '[{function = \"file.py:name\"}]'"
            " with --model and --data instead of the run's folder."
        )
    kept: dict[str, Any] = {
        name: saved[name] for name in ("data", "reward", "sampling", "seed", "compute") if name in saved
    }
    size = {name: value for name, value in saved.get("evaluation", {}).items() if name != "every_steps"}
    return load_config(EvaluateConfig, {**kept, "model": str(run.model), "evaluation": size}, overrides)
