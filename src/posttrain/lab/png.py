"""A figure as the bytes of a small PNG, the same bytes for the same figure."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_COLOURS = 96
"""Enough for a few hues and their soft edges; a third of the bytes of full colour."""


def figure_as_png(figure: Figure) -> bytes:
    """The figure, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    pixels = BytesIO()
    canvas.print_raw(pixels)  # type: ignore[no-untyped-call]
    drawn = Image.frombytes("RGBA", canvas.get_width_height(), pixels.getvalue())
    image = drawn.convert("RGB").quantize(NUM_COLOURS)
    content = BytesIO()
    image.save(content, format="PNG", optimize=True)
    return content.getvalue()
