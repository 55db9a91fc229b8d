"""Sampled tokens per second of our engine in this process.

    .venv/bin/python bench/generation.py --prompts 32 --responses 8 --max-new-tokens 64

Prompts are the workload's `open` ones, temperature 1, responses end where the model ends them. The engine is loaded
and warmed up on one small call before the clock starts, as its peers are. Prints one JSON line.
"""

from __future__ import annotations

import argparse

from measuring import peak_memory_mib, report, seconds_of, use_all_cores

use_all_cores()

from workload import workload  # noqa: E402

from posttrain.models import load_language_model  # noqa: E402
from posttrain.rollouts.torch_engine import TorchEngine  # noqa: E402
from posttrain.types import Prompt, Rollout, Sampling  # noqa: E402


def main() -> None:
    """Measures one shape."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, default=256, help="responses decoded together")
    options = parser.parse_args()

    given = workload()
    policy = load_language_model(given["model"], dtype=options.dtype, device=options.device)
    engine = TorchEngine(policy, shares_weights=True, max_rows=options.rows)
    ids = given["token_ids"]["open"][: options.prompts]
    prompts = [Prompt(f"open/{i}", "", token_ids=tuple(row)) for i, row in enumerate(ids)]
    sampling = Sampling(
        temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, max_new_tokens=options.max_new_tokens, stop=(),
        eos_token_ids=policy.eos_token_ids, seed=0, step=0,
    )  # fmt: skip
    engine.generate(prompts[:2], Sampling(**{**_fields(sampling), "max_new_tokens": 8}), 2)
    rollouts: list[Rollout] = []
    seconds = seconds_of(
        lambda: rollouts.extend(engine.generate(prompts, sampling, options.responses)), repeats=1, warm_up=0
    )[0]
    tokens = sum(len(rollout.response_ids) for rollout in rollouts)
    report(
        {
            "program": "posttrain", "dtype": options.dtype, "prompts": len(prompts), "responses": options.responses,
            "max_new_tokens": options.max_new_tokens, "tokens": tokens, "seconds": seconds,
            "tokens_per_second": tokens / seconds, "peak_memory_mib": peak_memory_mib(),
        }
    )  # fmt: skip


def _fields(sampling: Sampling) -> dict[str, object]:
    return {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}


if __name__ == "__main__":
    main()
