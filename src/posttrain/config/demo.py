"""The settings of the demo: few, since it shows one thing."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from posttrain.config.sections import Section


class DemoConfig(Section):
    """From sampled answers to human feedback, PPO and GRPO on 1-digit sums, from about 20 % right to over 90 %."""

    output: Path = Path("runs/demo")
    """Folder of the demo: the configuration files that it runs, and what they leave."""
    steps: int | None = Field(None, ge=1)
    """Rounds of generate, score, update of each algorithm; by default 15, or 20 with only_grpo."""
    seed: int = Field(0, ge=0)
    """Names every random number."""
    model: str = "smollm2"
    """Another model than the embedded one; see `posttrain grpo --help`."""
    only_grpo: bool = False
    """Leave out ranking, reward model and PPO: GRPO with a verifier alone, in a third of the time."""
    fresh: bool = False
    """Start over, where otherwise an unfinished demo is resumed."""
