"""What every engine refuses before it does any work."""

from __future__ import annotations

from collections.abc import Sequence

from posttrain.types import Prompt, Sampling

MIN_TEMPERATURE = 1e-3


def check_call(prompts: Sequence[Prompt], sampling: Sampling, responses_per_prompt: int) -> None:
    """Raises ValueError for arguments of `generate` that no engine can carry out."""
    check_sampling(sampling)
    if responses_per_prompt < 1:
        raise ValueError(f"responses_per_prompt is {responses_per_prompt}: it must be at least 1")
    for prompt in prompts:
        if not prompt.token_ids:
            raise ValueError(
                f"prompt {prompt.prompt_id!r} has no token_ids: engines take ids, not text. "
                "Render it first with posttrain.data.chat_template."
            )


def check_sampling(sampling: Sampling) -> None:
    """Raises ValueError for a sampling that no engine can carry out, naming every field that is wrong."""
    temperature = sampling.temperature
    checks = (
        (
            temperature == 0 or MIN_TEMPERATURE <= temperature < float("inf"),
            f"temperature is {temperature}: use 0 for greedy decoding, or at least {MIN_TEMPERATURE}",
        ),
        (0 < sampling.top_p <= 1, f"top_p is {sampling.top_p}: it must be above 0 and at most 1 (off)"),
        (sampling.top_k >= 0, f"top_k is {sampling.top_k}: it must be 0 (off) or a number of tokens"),
        (0 <= sampling.min_p <= 1, f"min_p is {sampling.min_p}: it must be between 0 (off) and 1"),
        (sampling.max_new_tokens >= 1, f"max_new_tokens is {sampling.max_new_tokens}: at least 1 is needed"),
        (all(sampling.stop), "stop holds an empty string, which every text contains"),
    )
    problems = [said for is_right, said in checks if not is_right]
    if problems:
        raise ValueError("; ".join(problems))
