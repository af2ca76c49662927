"""Figures of the report: drawn once, saved as PNG and SVG, embedded in the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from secondread.pages.blocks import Shown
from secondread.pages.document import embedded
from secondread.pages.style import BAD, save, words

CSS_INCH = 96
ENLARGED = 1.12
"""Figures are drawn for print at 8 points; on a screen they are shown a little larger."""


class Gallery:
    """Saves each figure in a folder under its name."""

    def __init__(self, folder: Path, stamp: str = "") -> None:
        """`stamp` is written over every figure, such as LEAKY PROTOCOL."""
        self.folder, self.stamp = folder, stamp

    def show(self, name: str, title: str, caption: str, draw: Callable[[], Figure]) -> Shown:
        """Draw, save and embed; `name` is the file's name in figures/."""
        figure = draw()
        if self.stamp:
            mark = words(self.stamp, 60)
            figure.text(0.995, 0.995, mark, ha="right", va="top", color=BAD, fontsize=7, fontweight="bold")
        png, svg = save(figure, self.folder, name)
        source = embedded(svg.read_bytes(), png.read_bytes())
        width = round(float(figure.get_size_inches()[0]) * CSS_INCH * ENLARGED)
        return Shown(name, title, caption, source, source.startswith("data:image/png"), width)
