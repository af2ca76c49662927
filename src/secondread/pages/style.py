"""One look for all figures: a colour-blind safe palette (Okabe and Ito, 2008), sober axes, text that cannot do harm."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager

from secondread.core.files import write_with
from secondread.core.progress import say
from secondread.images.lettering import dejavu, letters_of, wider_fonts

INK, SOFT, FAINT, PAPER = "#1c2126", "#66707a", "#d5dade", "#ffffff"
"""Text and axes, secondary text, grid, background. The report replaces the first three in dark mode."""
GOOD, BAD, NEUTRAL = "#0072b2", "#d55e00", "#7a838b"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#5b4a9e")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.2, 1, 1.2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = "osD^vPX*"

LARGER = {1: 1.45, 2: 1.25, 3: 1.12}
"""Panels of a figure that has this few."""
LEGEND_LINE, LEGEND_LINES = 0.16, 2
"""Inches of a line of the key, and the lines that the height of every figure has room for."""
RC: Any = {
    "font.size": 8.0, "text.color": INK, "text.parse_math": False,
    "axes.labelsize": 8.0, "axes.titlesize": 8.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.edgecolor": SOFT, "axes.facecolor": "none", "axes.labelcolor": INK,
    "axes.linewidth": 0.7, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True, "axes.grid": True, "grid.color": FAINT, "grid.linewidth": 0.5,
    "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "legend.frameon": False, "legend.fontsize": 7.5, "lines.linewidth": 1.4, "lines.solid_capstyle": "round",
    "figure.facecolor": PAPER, "savefig.facecolor": PAPER, "figure.dpi": 100.0,
    "svg.fonttype": "path", "svg.hashsalt": "secondread", "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.06, "figure.constrained_layout.w_pad": 0.06,
}  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw under the house style without touching matplotlib's global settings."""

    @functools.wraps(draw)
    def under_style(*given: P.args, **options: P.kwargs) -> R:
        with matplotlib.rc_context(RC | {"font.family": _families()}):
            return draw(*given, **options)

    return under_style


@dataclass(frozen=True)
class Pen:
    """How one named series looks wherever it is drawn."""

    colour: str
    dash: Any
    marker: str


def pens(names: Iterable[str], baseline: str | None = None) -> dict[str, Pen]:
    """A pen for each name, in order; a baseline among others is grey. Colours repeat only with another dash."""
    found: dict[str, Pen] = {}
    known, turn = list(dict.fromkeys(names)), 0
    for name in known:
        if name == baseline and len(known) > 1:
            found[name] = Pen("#4d565e", "-", "o")
            continue
        colour = COLOURS[turn % len(COLOURS)]
        dash = DASHES[(turn // len(COLOURS)) % len(DASHES)]
        found[name] = Pen(colour, dash, MARKERS[turn % len(MARKERS)])
        turn += 1
    return found


def blank(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, tied to no window system."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, across: int, width: float, height: float, **shared: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, each `width` × `height` inches (few are drawn larger), at most `across` in a row."""
    across = max(1, min(across, count))
    down = -(-max(count, 1) // across)
    scale = LARGER.get(count, 1.0)
    figure = blank(width * across * scale, height * down * scale)
    grid = figure.subplots(down, across, squeeze=False, **shared)
    axes = list(grid.ravel())
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[: max(count, 1)]


@functools.cache
def _families() -> list[str]:
    """DejaVu Sans, then the fonts of this machine that have what it lacks: each letter is drawn by the first."""
    for font in wider_fonts():
        fontManager.addfont(font)
    known = [entry for entry in fontManager.ttflist if Path(entry.fname) in wider_fonts()]
    fontManager.ttflist += [replace(entry, weight=700) for entry in known]  # else each bold title is warned about
    return ["DejaVu Sans", *(FontProperties(fname=font).get_name() for font in wider_fonts())]


def _drawable(letter: str) -> bool:
    return any(ord(letter) in letters_of(font) for font in (dejavu(), *wider_fonts()))


def words(text: object, limit: int = 28) -> str:
    """A name as it may stand in a figure: no control characters, none the fonts lack, shortened in the middle.

    A letter as wide as two, such as a Chinese one, counts as two.
    """
    plain = "".join(" " if unicodedata.category(char).startswith("C") else char for char in str(text))
    known = "".join(char if _drawable(char) else "□" for char in plain).strip()
    if known.count("□") > plain.count("□"):
        _tell_of_boxes()
    if _columns(known) <= limit:
        return known
    keep = limit - 1
    return _within(known, keep - keep // 3).rstrip() + "…" + _within(known[::-1], keep // 3)[::-1].lstrip()


@functools.cache
def _tell_of_boxes() -> None:
    """Once in a process."""
    say("figures: no font of this machine has some letters of the names; boxes stand for them")


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _within(text: str, columns: int) -> str:
    """The longest beginning that takes no more than so many columns."""
    return next(text[:at] for at in range(len(text), -1, -1) if _columns(text[:at]) <= columns)


def unit_axis(axes: Axes, which: str = "both") -> None:
    """A 0–1 axis with ticks at quarters."""
    ticks = np.linspace(0, 1, 5)
    for name in ("x", "y"):
        if which in (name, "both"):
            getattr(axes, f"set_{name}lim")(-0.015, 1.015)
            getattr(axes, f"set_{name}ticks")(ticks, ["0", "0.25", "0.5", "0.75", "1"])


def legend_below(figure: Figure, axes: Sequence[Axes], most: int = 6) -> None:
    """One legend for all panels, under them, in as many columns as the figure is wide enough for."""
    known: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    if known:
        entry = 0.6 + 0.062 * max(len(label) for label in known)  # inches: the handle, then letters of 7.5 points
        width, height = figure.get_size_inches()
        columns = max(1, min(most, len(known), int(width / entry)))
        lines = -(-len(known) // columns)
        # a longer key makes the figure taller, not its panels flatter
        figure.set_size_inches(width, height + LEGEND_LINE * max(0, lines - LEGEND_LINES))
        figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=columns)


@styled
def nothing(why: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = blank(4.0, 1.0)
    figure.text(0.5, 0.5, words(why, 90), ha="center", va="center", color=SOFT)
    return figure


@styled
def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.png (200 dpi) and `name`.svg; the same figure gives the same bytes.

    The layout is worked out once for both; `savefig` would draw twice for each file to find it again.
    """
    figure.set_dpi(200)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    raster: Any = FigureCanvasAgg(figure)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    write_with(png, lambda temporary: raster.print_png(temporary, metadata={"Software": None}))
    vector: Any = FigureCanvasSVG(figure)
    write_with(svg, lambda temporary: vector.print_svg(temporary, metadata={"Date": None}))
    return [png, svg]
