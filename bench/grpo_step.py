"""Seconds of a GRPO step of ours, as `posttrain grpo` does it.

    .venv/bin/python bench/grpo_step.py --kind open --prompts 4 --responses 8 --max-new-tokens 64 --kl-coef 0.001
    .venv/bin/python bench/grpo_step.py --kind sums --prompts 16 --responses 8 --max-new-tokens 16 --kl-coef 0

The recipe runs whole; what is read are its own `timings.jsonl` and `metrics.jsonl`, without the first step, in which
the budget of micro-batches is measured. The reward is the length of a response: it costs nothing, and groups differ.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from measuring import peak_memory_mib, report, spread, use_all_cores

use_all_cores()

from workload import workload  # noqa: E402

from posttrain import GRPOConfig, grpo  # noqa: E402


def length(prompts: list[Any], completions: list[str], **columns: Any) -> list[float]:
    """Characters of each response."""
    return [float(len(text)) for text in completions]


def main() -> None:
    """Runs the recipe for a few steps and prints one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--kind", choices=("open", "sums"), default="open")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--kl-coef", type=float, default=0.001)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=3, help="measured steps, after a first one")
    options = parser.parse_args()

    given = workload()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "prompts.jsonl"
        data.write_text(
            "".join(json.dumps({"prompt": asked}) + "\n" for asked in given["prompts"][options.kind])
        )
        config = GRPOConfig.model_validate(
            {
                "model": given["model"],
                "output": Path(folder) / "run",
                "steps": options.steps + 1,
                "prompts_per_step": options.prompts,
                "responses_per_prompt": options.responses,
                "data": {"path": data},
                "sampling": {"max_new_tokens": options.max_new_tokens},
                "algorithm": {"kl_coef": options.kl_coef, "kl": "k3", "aggregation": "token"},
                "optimizer": {"learning_rate": 1e-6},
                "compute": {"device": options.device, "dtype": options.dtype},
                "checkpoint": {"every_steps": 1_000_000},
            }
        )
        grpo(config, reward=length)
        timings = _rows(config.output / "timings.jsonl")[1:]
        metrics = _rows(config.output / "metrics.jsonl")[1:]
    report(
        {
            "program": "posttrain", "setting": f"{options.dtype} with float32 masters", "kind": options.kind,
            "prompts": options.prompts, "responses": options.responses, "max_new_tokens": options.max_new_tokens,
            "kl_coef": options.kl_coef, "step_seconds": spread([row["step_seconds"] for row in timings]),
            "parts": {
                name.removesuffix("_seconds"): spread([row[name] for row in timings])["median"]
                for name in timings[0]
                if name.endswith("_seconds") and name != "step_seconds"
            },
            "tokens_trained": [row["num_response_tokens"] for row in metrics],
            "peak_memory_mib": peak_memory_mib(),
        }
    )  # fmt: skip


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
