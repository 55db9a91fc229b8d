"""Validation loss on tinyshakespeare by characters: ours beside what nanoGPT's README states.

    .venv/bin/python bench/tinyshakespeare.py nanogpt --text ../shared/data/tinyshakespeare/input.txt --work /tmp/ts
    .venv/bin/python bench/tinyshakespeare.py small --text ../shared/data/tinyshakespeare/input.txt --work /tmp/ts

`nanogpt` has the size and the budget of nanoGPT's run "on a macbook" (its README: validation loss 1.88): 4 layers,
4 heads, width 128, 2000 steps of 12 rows of 64 characters, AdamW with rate 1e-3 to 1e-4 by cosine after 100 steps of
warm-up, betas 0.9 and 0.99, weight decay 0.1, no dropout. What differs is the model (rotary positions, RMS norms and
a gated feed-forward instead of GPT-2's) and the data's order (every character once an epoch instead of random places).
`small` is a model of 3.2 M parameters for some minutes; nanoGPT states 1.4697 for 10.65 M parameters, 5000 steps of
64 x 256 characters (20 times as many) and dropout 0.2 on an A100.

Both sides hold out the last tenth of the text and measure windows without context from before. nanoGPT's figure is a
mean over 20 x 12 random windows; ours is over all of them and counts the end of the text as one more token.
Prints one JSON line at its end. `--steps 20` shows that everything runs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

RUNS: dict[str, dict[str, Any]] = {
    "nanogpt": {
        "steps": 2000,
        "rows_per_step": 12,
        "sequence_length": 64,
        "new_model": {"layers": 4, "width": 128, "heads": 4},
        "optimizer": {"learning_rate": 1e-3, "beta2": 0.99, "warmup_steps": 100},
        # So small a model is no faster in bfloat16.
        "compute": {"dtype": "float32"},
        "evaluation": {"every_steps": 500},
    },
    "small": {
        "steps": 1000,
        "rows_per_step": 16,
        "sequence_length": 256,
        "new_model": {"layers": 4, "width": 256, "heads": 8},
        "optimizer": {"learning_rate": 2e-3, "beta2": 0.99, "warmup_steps": 100},
        "compute": {"dtype": "auto"},
        "evaluation": {"every_steps": 250},
    },
}
PUBLISHED = {"nanogpt": 1.88, "small": 1.4697}


def main() -> None:
    """Trains one of the runs and prints what came of it beside the published figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    print(json.dumps(measure(parser.parse_args())))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One run in a folder that is named by its options; a finished run is only read."""
    from posttrain import PretrainConfig, pretrain

    settings = json.loads(json.dumps(RUNS[options.run]))
    settings["steps"] = options.steps or settings["steps"]
    settings["optimizer"]["learning_rate"] = options.learning_rate or settings["optimizer"]["learning_rate"]
    settings["optimizer"]["warmup_steps"] = min(100, settings["steps"] // 2)
    settings["compute"]["dtype"] = options.dtype or settings["compute"]["dtype"]
    name = "-".join(
        str(part)
        for part in (options.run, settings["steps"], settings["optimizer"]["learning_rate"], options.seed)
    )
    config = PretrainConfig.model_validate(
        settings
        | {
            "output": options.work / f"{name}-{settings['compute']['dtype']}",
            "seed": options.seed,
            "data": {"path": str(options.text)},
            "tokenizer": {"kind": "characters"},
            "checkpoint": {"every_steps": 500, "keep": 1},
        }
    )
    started_at = time.perf_counter()
    result = pretrain(config)
    assert result.after is not None
    return {
        "run": options.run,
        "steps": result.step,
        "characters": config.steps * config.tokens_per_step,
        "seconds": round(time.perf_counter() - started_at, 1),
        "loss": round(result.after["loss"], 4),
        "bits_per_byte": round(result.after["bits_per_byte"], 4),
        "nanogpt_states": PUBLISHED[options.run],
        "folder": str(result.run_folder),
    }


if __name__ == "__main__":
    main()
