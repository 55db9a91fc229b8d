"""Peak memory of generation and of an update against group size, response length and vocabulary.

    .venv/bin/python bench/memory.py                    # every point, each in a process of its own
    .venv/bin/python bench/memory.py --point update --responses 256

Memory of a point is the process's peak less what it held with the model loaded and the optimiser made. What has to
be stored (ids, logprobs, advantages of each token) is stated beside it. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import peak_memory_mib, report, use_all_cores

GROUP_SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
RESPONSE_LENGTHS = (16, 64, 256)


def main() -> None:
    """One point with `--point`, else all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--point", choices=("generation", "update"))
    parser.add_argument("--prompts", type=int, default=1)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=40)
    parser.add_argument("--response-tokens", type=int, default=64)
    parser.add_argument(
        "--vocabulary", type=int, default=None, help="of a new small model instead of SmolLM2"
    )
    options = parser.parse_args()
    if options.point:
        report(measure(options))
        return
    points = [("--responses", str(size)) for size in GROUP_SIZES]
    points += [("--responses", "32", "--response-tokens", str(length)) for length in RESPONSE_LENGTHS]
    points += [("--responses", "32", "--vocabulary", str(size)) for size in (8_192, 49_152, 151_936)]
    report({"points": [_in_a_process(part, *words) for part in ("generation", "update") for words in points]})


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of one generation or one update, beyond what stands before it."""
    use_all_cores()
    import torch
    from update import made_tokens
    from workload import workload

    from posttrain.batches import PolicyBatch
    from posttrain.models import load_language_model
    from posttrain.rollouts.torch_engine import TorchEngine
    from posttrain.training.learner import Learner
    from posttrain.training.objectives import PolicyGradient
    from posttrain.training.optimizer import OptimizerSettings
    from posttrain.training.schedule import LearningRateSchedule
    from posttrain.types import Prompt, Sampling

    policy = load_language_model(workload()["model"], dtype="bfloat16", device="cpu")
    if options.vocabulary is not None:
        policy.causal_lm.resize_token_embeddings(options.vocabulary)
    options.ragged = False
    rows = options.prompts * options.responses
    if options.point == "generation":
        engine = TorchEngine(policy, shares_weights=True)
        ids = tuple(range(20, 20 + options.prompt_tokens))
        prompts = [Prompt(f"p/{i}", "", token_ids=ids) for i in range(options.prompts)]
        sampling = Sampling(
            temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, max_new_tokens=options.response_tokens, stop=(),
            eos_token_ids=(), seed=0, step=0,
        )  # fmt: skip
        before = peak_memory_mib()
        rollouts = engine.generate(prompts, sampling, options.responses)
        tokens = sum(len(rollout.response_ids) for rollout in rollouts)
        stored = tokens * (8 + 8)
    else:
        learner = Learner(policy, OptimizerSettings(LearningRateSchedule(1e-9)))
        batch = made_tokens(options, policy.head.weight.shape[0])
        numbers = torch.zeros(batch.response_mask.shape)
        before = peak_memory_mib()
        learner.update(
            PolicyBatch(tokens=batch, advantages=numbers, old_logprobs=numbers, rollout_logprobs=numbers),
            PolicyGradient(clip_low=0.2, clip_high=0.2, temperature=1.0),
        )
        tokens = rows * options.response_tokens
        stored = batch.token_ids.numel() * 8 + 3 * 4 * tokens
    return {
        "point": options.point, "responses": options.responses, "prompts": options.prompts,
        "prompt_tokens": options.prompt_tokens, "response_tokens": options.response_tokens,
        "vocabulary": policy.head.weight.shape[0], "mib": peak_memory_mib() - before,
        "mib_before": before, "stored_mib": stored / 2**20, "tokens": tokens,
    }  # fmt: skip


def _in_a_process(part: str, *words: str) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__)), "--point", part, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(found, file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
