"""`posttrain demo`: the main job on the embedded model, from nothing to a better model, with the proof."""

from __future__ import annotations

import sys
import time

from rich.console import Console

from posttrain.commands.train import INTERRUPTED, print_result
from posttrain.config.demo import DemoConfig
from posttrain.config.grpo import GRPOConfig
from posttrain.recipes.grpo import grpo
from posttrain.runs.run_folder import RunFolder

SUMS = {
    "prompts_per_step": 16,
    "responses_per_prompt": 8,
    "data": {"task": "sums", "task_options": {"digits": 1, "twins_together": False}},
    "sampling": {"max_new_tokens": 16},
    # Token mean and no KL: the settings that the expected curve was measured with.
    "algorithm": {"preset": "grpo", "aggregation": "token", "kl_coef": 0.0},
    "optimizer": {"learning_rate": 1e-5},
    "evaluation": {"every_steps": 5, "num_prompts": 64, "samples_per_prompt": 8},
    "checkpoint": {"every_steps": 10, "keep": 1},
}
"""GRPO on 1-digit sums; `examples/sums.toml` holds the same for a first own run (a test compares them)."""


def demo_config(demo: DemoConfig) -> GRPOConfig:
    """The demo as a configuration of the GRPO recipe."""
    return GRPOConfig.model_validate({**SUMS, **demo.model_dump(exclude={"fresh"})})


def run_demo(demo: DemoConfig) -> None:
    """Trains, then prints samples before and after, the curve's place, and the two scores."""
    started_at = time.perf_counter()
    console = Console()
    config = demo_config(demo)
    folder = RunFolder(demo.output)
    if folder.is_run and (demo.fresh or folder.model.exists()):
        with folder.lock():
            folder.start_over()
    console.print(
        "GRPO on 1-digit sums with SmolLM2-135M-Instruct: the model answers, a verifier checks the number,\n"
        "and answers better than the others of their group become more likely. A quarter of the sums is held\n"
        "out: never asked in training, though the same sum turned around may be.\n",
        soft_wrap=True,
    )
    result = grpo(config)
    print_result(result, console)
    console.print(f"The demo took {(time.perf_counter() - started_at) / 60:.1f} minutes.")
    if result.model_folder is None:
        sys.exit(INTERRUPTED)
