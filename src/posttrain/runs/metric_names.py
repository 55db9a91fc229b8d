"""The names of a step's numbers, what each is, and how it is shown: one word, one meaning.

Recipes write rows with these keys; the live view, the curve and the health checks read them. A row may lack
any of them and hold others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

METRICS: Mapping[str, str] = {
    "reward_mean": "mean score of the step's responses that could be scored",
    "reward_std": "standard deviation of those scores",
    "zero_variance_share": "share of groups whose responses all have one score: they teach nothing",
    "unscored_share": "share of responses that could not be scored",
    "response_length_mean": "tokens in a response, the end-of-sequence token included",
    "response_length_max": "the longest response, in tokens",
    "cut_share": "share of responses that were cut by length",
    "num_response_tokens": "tokens of all responses of the step",
    "entropy": "mean entropy of the policy's next-token distribution, in nats",
    "reference_kl": "KL of the policy from the reference, in nats per token",
    "approx_kl": "KL of the policy from itself before the step's updates, in nats per token",
    "clip_fraction": "share of tokens whose ratio was clipped",
    "ratio_max": "the largest ratio of a token",
    "rollout_mismatch": "mean of exp(|old_logprobs - rollout_logprobs|); 1 when engine and learner agree",
    "loss": "the loss that was minimised; of next tokens: nats per token",
    "accuracy": "share of comparisons that are judged right",
    "tokens": "tokens that were read in the step's updates",
    "epoch": "passes over the training data that lie behind",
    "grad_norm": "norm of the gradient before clipping",
    "learning_rate": "learning rate of the step's last update",
}
"""Deterministic: they go to metrics.jsonl."""

MEASUREMENTS: Mapping[str, str] = {
    "accuracy": "mean held-out score, or share of held-out comparisons that are judged right",
    "loss": "mean held-out loss; of next tokens: nats per token",
    "bits_per_byte": "that loss in bits over the text's length in bytes: comparable between tokenizers",
    "perplexity": "exp(loss)",
}
"""Held-out numbers: they go to evaluations.jsonl."""

TIMINGS: Mapping[str, str] = {
    "step_seconds": "the whole step",
    "generate_seconds": "generating responses",
    "score_seconds": "scoring them",
    "update_seconds": "logprobs and updates",
    "logprobs_seconds": "of these, the passes before the update: old logprobs, reference",
    "tokens_per_second": "response tokens generated per second of generating, or tokens trained on per second",
    "peak_memory_bytes": "largest memory so far",
}
"""Measured with a clock: they go to timings.jsonl."""


def finite(row: Mapping[str, Any], name: str) -> float | None:
    """The number called `name`, or None when the row lacks it, has None, or it is not finite."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def number_text(value: Any) -> str:
    """A number in about four characters of precision; "-" when there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-"
    if not math.isfinite(value):
        return str(float(value))
    if isinstance(value, int) or (abs(value) >= 1000 and abs(value) < 1e7):
        return f"{value:,.0f}"
    return f"{value:.3f}" if 0.01 <= abs(value) < 10 or value == 0 else f"{value:.3g}"


def count_text(count: float, what: str) -> str:
    """ "1 step", "12 steps", "0.5 epochs": a number of things whose plural ends in s."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:.3g}"
    return f"{number} {what}" if number == "1" else f"{number} {what}s"


def share_text(value: Any) -> str:
    """A share as per cent; "-" when there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-"
    return f"{100 * value:.1f}%" if math.isfinite(value) else str(float(value))


def duration_text(seconds: float | None) -> str:
    """ "45s", "12m 05s", "3h 07m", "2d 04h"; "-" when unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"
