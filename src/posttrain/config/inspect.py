"""The settings of `posttrain inspect`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from posttrain.config.demonstrations import DemonstrationFormatSection


class InspectConfig(DemonstrationFormatSection):
    """Show what a model would be trained on: the tokens of each example, which are learned, and what is dropped."""

    path: Path
    """The data file: demonstrations, or comparisons (rankings, chosen and rejected). May stand first on the line."""
    model: str = "smollm2"
    """Whose tokenizer and chat template are used: smollm2, a Hub id, a local folder, or a GGUF file."""
    num_examples: int = Field(5, ge=0)
    """Examples that are shown, from the beginning of the file; all are counted."""
    output: Path | None = None
    """An HTML file for the view, instead of the terminal."""
