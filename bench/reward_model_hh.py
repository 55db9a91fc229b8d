"""Held-out accuracy of a reward model on hh-harmless: ours beside TRL's RewardTrainer, at one budget.

Both learn from the same pairs, start from the same SmolLM2 weights with a new random head, and see the same held-out
pairs; epochs, batch, learning rate, schedule and maximum length are the same numbers. TRL lives in an environment of
its own, so the three parts are commands of their own:

    .venv/bin/python bench/reward_model_hh.py prepare --pairs ../shared/data/hh-harmless/pairs.jsonl --work /tmp/rm-hh
    .venv/bin/python bench/reward_model_hh.py ours --work /tmp/rm-hh
    python3 -m venv /tmp/trl-venv
    /tmp/trl-venv/bin/pip install torch==2.13.0
    /tmp/trl-venv/bin/pip install trl datasets
    /tmp/trl-venv/bin/python bench/reward_model_hh.py trl --work /tmp/rm-hh

`--limit 32` of `prepare` makes a tiny subset, to see that everything runs. Each part prints one JSON line at its end.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

HELD_OUT_SHARE = 0.2


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Writes the two sides of the data as TRL's conversational pairs, and SmolLM2 in float32."""
    from posttrain.data.comparisons import load_rankings, split_by_prompt
    from posttrain.models import load_language_model

    options.work.mkdir(parents=True, exist_ok=True)
    loaded = load_rankings(options.pairs)
    sides = dict(zip(("train", "held_out"), split_by_prompt(loaded.rankings, HELD_OUT_SHARE), strict=True))
    for name, rankings in sides.items():
        rows = [
            {
                "prompt": list(ranking.prompt),
                "chosen": [{"role": "assistant", "content": ranking.responses[ranking.ranks.index(0)]}],
                "rejected": [{"role": "assistant", "content": ranking.responses[ranking.ranks.index(1)]}],
            }
            for ranking in rankings[: options.limit]
        ]
        (options.work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    load_language_model("smollm2", dtype="float32", device="cpu").save(options.work / "smollm2")
    return {name: len(rankings[: options.limit]) for name, rankings in sides.items()}


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """Our recipe; the accuracy is that of `evaluations.jsonl`."""
    from posttrain import RewardModelConfig, reward_model

    started_at = time.perf_counter()
    result = reward_model(
        RewardModelConfig.model_validate(
            {
                "model": str(options.work / "smollm2"),
                "output": options.work / f"ours-{options.learning_rate:g}-{options.seed}",
                "seed": options.seed,
                "epochs": options.epochs,
                "rankings_per_step": options.batch,
                "data": {
                    "path": options.work / "train.jsonl",
                    "held_out_path": options.work / "held_out.jsonl",
                    "max_length": options.max_length,
                },
                "optimizer": {"learning_rate": options.learning_rate},
                "compute": {"device": options.device},
                "checkpoint": {"every_steps": 1000},
            }
        )
    )
    assert result.after is not None
    names = ("accuracy", "accuracy_low", "accuracy_high", "loss", "num_pairs")
    return {name: result.after[name] for name in names} | {"seconds": time.perf_counter() - started_at}


def trl(options: argparse.Namespace) -> dict[str, Any]:
    """TRL's RewardTrainer with its own rendering; warm-up and schedule as our recipe has them by default."""
    import torch
    import transformers
    from datasets import load_dataset
    from trl import RewardConfig, RewardTrainer
    from trl import __version__ as version

    files = {name: str(options.work / f"{name}.jsonl") for name in ("train", "held_out")}
    data = load_dataset("json", data_files=files)
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.work / "smollm2")
    torch.manual_seed(options.seed)
    started_at = time.perf_counter()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        options.work / "smollm2", num_labels=1, dtype=torch.float32
    )
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            output_dir=str(options.work / "trl"),
            seed=options.seed,
            num_train_epochs=options.epochs,
            per_device_train_batch_size=options.microbatch,
            gradient_accumulation_steps=options.batch // options.microbatch,
            per_device_eval_batch_size=options.microbatch,
            learning_rate=options.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=0.1,  # below 1 it is a share of all steps
            max_length=options.max_length,
            gradient_checkpointing=False,
            bf16=not options.float32,
            use_cpu=options.device == "cpu",
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=data["train"],
        eval_dataset=data["held_out"],
        processing_class=tokenizer,
    )
    trainer.train()
    measured = trainer.evaluate()
    return {
        "trl": version,
        "accuracy": measured["eval_accuracy"],
        "loss": measured["eval_loss"],
        "num_pairs": len(trainer.eval_dataset),
        "seconds": time.perf_counter() - started_at,
    }


def main() -> None:
    """Runs one part and prints what it found as one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("part", choices=("prepare", "ours", "trl"))
    parser.add_argument("--pairs", type=Path, default=Path("../shared/data/hh-harmless/pairs.jsonl"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None, help="pairs of each side, for a trial")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="pairs in an optimiser step")
    parser.add_argument("--microbatch", type=int, default=4, help="pairs TRL computes at a time")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--float32", action="store_true", help="TRL without bfloat16 autocast")
    options = parser.parse_args()
    found = {"prepare": prepare, "ours": ours, "trl": trl}[options.part](options)
    print(json.dumps({"part": options.part, "learning_rate": options.learning_rate, **found}))


if __name__ == "__main__":
    main()
