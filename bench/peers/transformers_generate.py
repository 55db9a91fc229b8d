"""Sampled tokens per second of transformers' `generate`: run by the Python of that environment.

.bench/environments/transformers/bin/python bench/peers/transformers_generate.py --dtype bfloat16
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import peak_memory_mib, report, seconds_of, use_all_cores

use_all_cores()

import torch  # noqa: E402
import transformers  # noqa: E402
from workload import workload  # noqa: E402


def main() -> None:
    """Measures one shape: all prompts in one left-padded batch, as many responses to each as asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    given = workload()
    tokenizer = transformers.AutoTokenizer.from_pretrained(given["model"], padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        given["model"], dtype=getattr(torch, options.dtype)
    ).to(options.device)
    ids = given["token_ids"]["open"][: options.prompts]
    batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(options.device)
    settings = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    torch.manual_seed(0)
    model.generate(**{name: x[:2] for name, x in batch.items()}, **settings, max_new_tokens=8)
    found: list[torch.Tensor] = []

    def work() -> None:
        found.append(
            model.generate(
                **batch,
                **settings,
                max_new_tokens=options.max_new_tokens,
                num_return_sequences=options.responses,
            )
        )
        if options.device != "cpu":
            torch.cuda.synchronize()

    seconds = seconds_of(work, repeats=1, warm_up=0)[0]
    responses = found[0][:, batch["input_ids"].shape[1] :]
    ends = {tokenizer.eos_token_id, model.generation_config.eos_token_id}
    tokens = sum(_length(row.tolist(), ends) for row in responses)
    report(
        {
            "program": "transformers", "version": transformers.__version__, "dtype": options.dtype,
            "prompts": len(ids), "responses": options.responses, "max_new_tokens": options.max_new_tokens,
            "tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds,
            "peak_memory_mib": peak_memory_mib(),
        }
    )  # fmt: skip


def _length(row: list[int], ends: set[int]) -> int:
    """Tokens of a response, its end included; what follows is padding."""
    return next((index + 1 for index, token_id in enumerate(row) if token_id in ends), len(row))


if __name__ == "__main__":
    main()
