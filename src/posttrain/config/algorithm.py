"""Settings of GRPO and its relatives, and presets that hold what each paper uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from posttrain.config.presets import PresetSection

PresetName = Literal["note", "grpo", "dr_grpo", "dapo", "gspo", "rloo"]

PRESETS: dict[str, dict[str, Any]] = {
    # The note: the ratio of whole responses, 1/N over responses, D_KL(policy || reference) in full.
    # It leaves w1 open; 0.04 is DeepSeekMath's.
    "note": {"ratio_level": "sequence", "aggregation": "sequence", "kl_coef": 0.04, "kl": "exact_reverse"},
    # DeepSeekMath, arXiv 2402.03300, eq. 3-4: token ratios, mean over each response, then over responses; k3.
    "grpo": {"ratio_level": "token", "aggregation": "sequence", "kl_coef": 0.04, "kl": "k3"},
    # Dr. GRPO, arXiv 2503.20783: neither the std nor the response's length divides; no KL.
    "dr_grpo": {"ratio_level": "token", "aggregation": "constant", "scale": "none", "kl_coef": 0.0},
    # DAPO, arXiv 2503.14476: clip-higher, token mean, dynamic sampling, soft overlong punishment; no KL.
    "dapo": {
        "ratio_level": "token",
        "aggregation": "token",
        "clip_high": 0.28,
        "kl_coef": 0.0,
        "zero_variance_groups": "resample",
        "overlong": "soft_penalty",
    },
    # GSPO, arXiv 2507.18071, section 5.1: geometric-mean ratio and its much narrower clip range; no KL.
    "gspo": {
        "ratio_level": "sequence_mean",
        "aggregation": "sequence",
        "clip_low": 3e-4,
        "clip_high": 4e-4,
        "kl_coef": 0.0,
    },
    # RLOO, arXiv 2402.14740: leave-one-out baseline, whole responses as one action, KL (k1) in the reward.
    # Its weight depends on the task; 0.05 is TRL's default.
    "rloo": {
        "ratio_level": "sequence",
        "aggregation": "sequence",
        "baseline": "leave_one_out",
        "scale": "none",
        "kl_coef": 0.05,
        "kl": "k1",
        "kl_in": "reward",
    },
}
"""Preset name -> the settings in which it differs from the defaults of `AlgorithmSection`."""


class AlgorithmSection(PresetSection):
    """Advantage x ratio level x clip rule x aggregation x KL; a preset names a paper, other keys override."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    preset: PresetName = "grpo"
    """note (the PPO & GRPO note), grpo (DeepSeekMath), dr_grpo, dapo, gspo, rloo."""
    baseline: Literal["group_mean", "leave_one_out"] = "group_mean"
    """What a response's reward is compared with."""
    scale: Literal["std", "none"] = "std"
    """Divide advantages by the group's standard deviation (n - 1), or not."""
    epsilon: float = Field(0.0, ge=0)
    """Added to that standard deviation."""
    ratio_level: Literal["token", "sequence", "sequence_mean"] = "token"
    """Probability ratio of each token, of the whole response (product), or its geometric mean."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Ratios below 1 - clip_low get no further push down."""
    clip_high: float = Field(0.2, gt=0)
    """Ratios above 1 + clip_high get no further push up."""
    dual_clip: float | None = Field(None, gt=1)
    """Bounds the loss of bad responses that became much more likely (arXiv 1912.09729); 3 is usual."""
    aggregation: Literal["token", "sequence", "sequence_sum", "constant"] = "sequence"
    """Mean over tokens; over responses of token means; of token sums; or of sums / max_new_tokens."""
    kl_coef: float = Field(0.0, ge=0)
    """Weight of the KL to the reference (the starting model); at 0 no reference is loaded or run."""
    kl: Literal["k1", "k2", "k3", "exact_forward", "exact_reverse"] = "k3"
    """exact_*: over the whole vocabulary. As a loss on the policy's own samples, k1 has zero gradient, k2 has
    that of the reverse KL, k3 that of the forward KL."""
    kl_in: Literal["loss", "reward"] = "loss"
    """Where the KL acts."""
    entropy_coef: float = Field(0.0, ge=0)
    """Weight of an exact entropy bonus; GRPO has none."""
    zero_variance_groups: Literal["keep", "drop", "resample"] = "keep"
    """Groups whose rewards are all equal teach nothing: count them, leave them out, or draw other prompts."""
    max_resample_rounds: int = Field(4, ge=1)
    """Rounds of further prompts when zero_variance_groups = "resample"."""
    overlong: Literal["score", "mask", "zero", "soft_penalty"] = "score"
    """Responses cut by length: score as they stand; do not train on them; reward 0; or DAPO's soft penalty,
    which starts before the limit."""
    overlong_cache: int | None = Field(None, ge=1)
    """Tokens before max_new_tokens where the soft penalty starts; default a fifth of max_new_tokens."""
    importance_cap: float | None = Field(None, gt=0)
    """Weighs tokens by min(learner / engine probability, cap), detached, for an engine that computes in other
    ways than the learner. The engine in this process does not, so the default is off; 2 is usual."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline == "leave_one_out" and self.scale == "std":
            raise ValueError(
                'algorithm.baseline = "leave_one_out" is not divided by a standard deviation. '
                'Set scale = "none".'
            )
        return self
