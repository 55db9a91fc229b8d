"""An update alone: seconds, and useful operations over what the machine's matrix products reach.

    .venv/bin/python bench/update.py --prompts 16 --responses 8 --prompt-tokens 40 --response-tokens 64

Useful are the operations that the sums of the update ask for when nothing is computed twice: 6 for each weight of a
linear layer and token that goes through it (a prompt once for its group, a response but for its last token), 6 for
each weight of the head and response token, and attention's over what each token sees. Recomputation, padding and the
other passes of a step (old logprobs, reference) are not useful and lower the share. Prints one JSON line.
"""

from __future__ import annotations

import argparse

from measuring import peak_memory_mib, report, seconds_of, spread, use_all_cores

use_all_cores()

import torch  # noqa: E402
from workload import workload  # noqa: E402

from posttrain.batches import PolicyBatch, TokenBatch  # noqa: E402
from posttrain.models import load_language_model  # noqa: E402
from posttrain.training.learner import Learner  # noqa: E402
from posttrain.training.objectives import PolicyGradient  # noqa: E402
from posttrain.training.optimizer import OptimizerSettings  # noqa: E402
from posttrain.training.schedule import LearningRateSchedule  # noqa: E402


def main() -> None:
    """Times optimiser steps on responses of one length, or of lengths from one token to it (`--ragged`)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=40)
    parser.add_argument("--response-tokens", type=int, default=64)
    parser.add_argument("--ragged", action="store_true")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    policy = load_language_model(workload()["model"], dtype=options.dtype, device=options.device)
    tokens = made_tokens(options, policy.head.weight.shape[0])
    batch = PolicyBatch(
        tokens=tokens,
        advantages=torch.randn(tokens.response_mask.shape),
        old_logprobs=torch.zeros(tokens.response_mask.shape),
        rollout_logprobs=torch.zeros(tokens.response_mask.shape),
    )
    learner = Learner(policy, OptimizerSettings(LearningRateSchedule(1e-9)))
    objective = PolicyGradient(clip_low=0.2, clip_high=0.2, temperature=1.0)
    found = seconds_of(lambda: learner.update(batch, objective), repeats=options.repeats)
    operations = useful_operations(policy, tokens)
    report(
        {
            "program": "posttrain", "dtype": options.dtype, "prompts": options.prompts,
            "responses": options.responses, "prompt_tokens": options.prompt_tokens,
            "response_tokens": options.response_tokens, "ragged": options.ragged,
            "tokens_trained": int(tokens.response_mask.sum()), "update_seconds": spread(found),
            "useful_gflop": operations / 1e9, "useful_gflops": operations / spread(found)["min"] / 1e9,
            "microbatch_tokens": learner.microbatch_tokens, "peak_memory_mib": peak_memory_mib(),
        }
    )  # fmt: skip


def made_tokens(options: argparse.Namespace, vocabulary: int) -> TokenBatch:
    """Random ids in groups with a prompt in common."""
    numbers = torch.Generator().manual_seed(0)
    rows, longest = options.prompts * options.responses, options.response_tokens
    lengths = torch.full((rows,), longest)
    if options.ragged:
        lengths = torch.randint(1, longest + 1, (rows,), generator=numbers)
    prompts = torch.randint(10, vocabulary, (options.prompts, options.prompt_tokens), generator=numbers)
    responses = torch.randint(10, vocabulary, (rows, longest), generator=numbers)
    mask = torch.arange(longest)[None, :] < lengths[:, None]
    return TokenBatch(
        token_ids=torch.cat([prompts.repeat_interleave(options.responses, dim=0), responses * mask], dim=1),
        prompt_lengths=torch.full((rows,), options.prompt_tokens),
        response_lengths=lengths,
        response_mask=mask,
    )


def useful_operations(policy: object, tokens: TokenBatch) -> float:
    """Floating-point operations of one forward and backward pass; see the top of this file."""
    causal_lm = policy.causal_lm  # type: ignore[attr-defined]
    config = causal_lm.config
    linears = [m for m in causal_lm.base_model.modules() if isinstance(m, torch.nn.Linear)]
    weights = sum(linear.weight.numel() for linear in linears)
    firsts = sorted(set(tokens.prompt_groups))
    prompts = tokens.prompt_lengths[torch.tensor(firsts)].double()
    responses = tokens.response_lengths.double()
    through = float(prompts.sum() + (responses - 1).clamp(min=0).sum())
    # A prompt's token sees half of the prompt in the mean, a response's the prompt and half of the response.
    seen = float((prompts * (prompts + 1) / 2).sum())
    own = responses - 1
    seen += float((own * tokens.prompt_lengths.double() + own * (own + 1) / 2).sum())
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    attention = 2 * 2 * config.num_hidden_layers * config.num_attention_heads * head_width * seen
    head = 2.0 * config.hidden_size * config.vocab_size * float(tokens.response_mask.sum())
    return 3 * (2 * weights * through + attention + head)


if __name__ == "__main__":
    main()
