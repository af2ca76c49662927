"""Figures of the report: drawn once, saved as PNG and SVG, embedded in the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from secondread.pages.blocks import Shown
from secondread.pages.document import embedded
from secondread.pages.style import BAD, save, words

CSS_INCH = 96
ENLARGED = 1.12
"""Figures are drawn for print at 8 points; on a screen they are shown a little larger."""
STAMP_INCH = 0.13


class Gallery:
    """Saves each figure in a folder under its name."""

    def __init__(self, folder: Path, stamp: str = "") -> None:
        """`stamp` is written over every figure, such as LEAKY PROTOCOL."""
        self.folder, self.stamp = folder, stamp

    def show(self, name: str, title: str, caption: str, draw: Callable[[], Figure]) -> Shown:
        """Draw, save and embed; `name` is the file's name in figures/."""
        figure = draw()
        if self.stamp:
            self._stamp(figure)
        png, svg = save(figure, self.folder, name)
        source = embedded(svg.read_bytes(), png.read_bytes())
        width = round(float(figure.get_size_inches()[0]) * CSS_INCH * ENLARGED)
        return Shown(name, title, caption, source, source.startswith("data:image/png"), width)

    def _stamp(self, figure: Figure) -> None:
        """Over the figure, in a strip that the layout leaves free."""
        layout = figure.get_layout_engine()
        if isinstance(layout, ConstrainedLayoutEngine):
            layout.set(rect=(0, 0, 1, 1 - STAMP_INCH / float(figure.get_size_inches()[1])))
        mark = words(self.stamp, 60)
        figure.text(0.995, 0.995, mark, ha="right", va="top", color=BAD, fontsize=7, fontweight="bold")
