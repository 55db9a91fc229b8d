"""The settings of the demo: few, since it shows one thing."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from posttrain.config.sections import Section


class DemoConfig(Section):
    """GRPO on 1-digit sums with the embedded model, from about 20 % right to at least 95 %."""

    output: Path = Path("runs/demo")
    """Folder of the run."""
    steps: int = Field(20, ge=1)
    """Rounds of generate, score, update."""
    seed: int = Field(0, ge=0)
    """Names every random number of the run."""
    model: str = "smollm2"
    """Another model than the embedded one; see `posttrain grpo --help`."""
    fresh: bool = False
    """Start over, where otherwise an unfinished demo is gone on with."""
