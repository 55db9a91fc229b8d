"""Seconds of a GRPO step of TRL's `GRPOTrainer`: run by the Python of that environment.

    .bench/environments/trl/bin/python bench/peers/trl_grpo_step.py --setting autocast

`--setting`: `float32`; `autocast` (float32 weights, bfloat16 products); `pure_bfloat16` (weights,
gradients and moments in bfloat16: faster and smaller, and another training: an update of 1e-6 is lost to rounding).
The time of a step is between two optimiser steps; its parts are the trainer's own methods, timed around.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import peak_memory_mib, report, spread, use_all_cores

use_all_cores()

from workload import workload  # noqa: E402

PARTS = {
    "generate": "_generate",
    "score": "_calculate_rewards",
    "logprobs": "_get_per_token_logps_and_entropies",
    "update": "training_step",
    "whole": "_prepare_inputs",
}


def length(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """Characters of each response."""
    return [float(len(completion[0]["content"])) for completion in completions]


def main() -> None:
    """Trains for a few steps and prints one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--setting", choices=("float32", "autocast", "pure_bfloat16"), default="autocast")
    parser.add_argument("--kind", choices=("open", "sums"), default="open")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--kl-coef", type=float, default=0.001)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--microbatch", type=int, default=None, help="responses at a time; all by default")
    parser.add_argument("--steps", type=int, default=3, help="measured steps, after a first one")
    options = parser.parse_args()

    import torch
    import transformers
    import trl
    from datasets import Dataset

    given = workload()
    rows = options.prompts * options.responses
    microbatch = options.microbatch or rows
    clock = Clock()
    for part, method in PARTS.items():
        setattr(trl.GRPOTrainer, method, clock.timed(part, getattr(trl.GRPOTrainer, method)))
    model = transformers.AutoModelForCausalLM.from_pretrained(
        given["model"], dtype=torch.bfloat16 if options.setting == "pure_bfloat16" else torch.float32
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl.GRPOTrainer(
            model=model,
            processing_class=transformers.AutoTokenizer.from_pretrained(given["model"]),
            reward_funcs=length,
            train_dataset=Dataset.from_list([{"prompt": asked} for asked in given["prompts"][options.kind]]),
            args=trl.GRPOConfig(
                output_dir=folder,
                max_steps=options.steps + 1,
                per_device_train_batch_size=microbatch,
                gradient_accumulation_steps=rows // microbatch,
                num_generations=options.responses,
                max_completion_length=options.max_new_tokens,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                beta=options.kl_coef,
                loss_type="dapo",
                learning_rate=1e-6,
                bf16=options.setting != "float32",
                gradient_checkpointing=False,
                use_cpu=options.device == "cpu",
                save_strategy="no",
                report_to="none",
                logging_steps=1,
                disable_tqdm=True,
                seed=0,
            ),
            callbacks=[clock.callback()],
        )
        trainer.train()
    tokens = [round(row["num_tokens"]) for row in trainer.state.log_history if "num_tokens" in row]
    lengths = [row["completions/mean_length"] for row in trainer.state.log_history if "num_tokens" in row]
    steps = clock.steps[1:]
    report(
        {
            "program": "TRL", "version": trl.__version__, "setting": options.setting, "kind": options.kind,
            "prompts": options.prompts, "responses": options.responses, "max_new_tokens": options.max_new_tokens,
            "kl_coef": options.kl_coef, "microbatch": microbatch,
            "step_seconds": spread([step["step"] for step in steps]),
            "parts": {part: spread([s.get(part, 0.0) for s in steps])["median"] for part in _parts(steps[0])},
            "tokens_trained": [mean * rows for mean in lengths[1:]], "tokens_seen": tokens,
            "dtype_of_weights": str(next(trainer.model.parameters()).dtype), "peak_memory_mib": peak_memory_mib(),
        }
    )  # fmt: skip


def _parts(step: dict[str, float]) -> list[str]:
    return [part for part in ("generate", "score", "logprobs", "update") if part in step]


class Clock:
    """Seconds of each method, and of the whole, in each optimiser step; a method's time is without those inside it."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._inside: list[float] = []
        self._current: dict[str, float] = {}
        self._started = 0.0

    def timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, whose time is added to that part."""

        @wraps(method)
        def around(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            self._inside.append(0.0)
            try:
                return method(*args, **kwargs)
            finally:
                seconds, nested = perf_counter() - started, self._inside.pop()
                self._current[part] = self._current.get(part, 0.0) + seconds - nested
                if self._inside:
                    self._inside[-1] += seconds

        return around

    def callback(self) -> Any:
        """Cuts the time into optimiser steps, the optimiser's own included."""
        from transformers import TrainerCallback

        clock = self

        class Steps(TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                clock._current, clock._started = {}, perf_counter()

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                whole = perf_counter() - clock._started
                found = dict(clock._current)
                known = sum(found.get(part, 0.0) for part in ("generate", "score", "logprobs"))
                # Backward, optimiser step and the rest of the loop.
                clock.steps.append(found | {"step": whole, "update": whole - known})

        return Steps()


if __name__ == "__main__":
    main()
