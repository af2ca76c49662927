"""ROC, precision-recall and decision curves with bands: one panel per model or class, one line per arm."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondread.pages.style import FAINT, SOFT, legend_below, nothing, panels, pens, styled, unit_axis, words

ACROSS = 4
WITHOUT_MODEL = {"treat all": "--", "treat none": "-"}
"""Lines of a decision curve that no model draws, and their dashes."""


@styled
def roc(curves: pd.DataFrame, baseline: str | None = None) -> Figure:
    """`curves`: columns panel, line, x (1 − specificity), y (sensitivity), low, high (band, may be NaN)."""
    drawn = _combined(curves, "1 − specificity", "sensitivity", baseline)
    for axes in drawn.axes:
        axes.plot([0, 1], [0, 1], color=FAINT, lw=0.8, zorder=0)
    return drawn


@styled
def precision_recall(curves: pd.DataFrame, baseline: str | None = None) -> Figure:
    """`curves`: columns panel, line, x (recall), y (precision), low, high, prevalence (drawn as the floor)."""
    drawn = _combined(curves, "recall (sensitivity)", "precision", baseline)
    floors = curves.groupby("panel", sort=False)["prevalence"].first() if "prevalence" in curves else pd.Series()
    for axes, floor in zip(drawn.axes, floors, strict=False):
        axes.axhline(floor, color=SOFT, lw=0.8, linestyle=":", zorder=0)
    return drawn


def _combined(curves: pd.DataFrame, across: str, up: str, baseline: str | None) -> Figure:
    names = list(dict.fromkeys(curves["panel"]))
    if not names:
        return nothing("No class has both cases with and without it.")
    drawn, grid = panels(len(names), ACROSS, 2.15, 2.2, sharex=True, sharey=True)
    colours = pens(curves["line"], baseline)
    for axes, name in zip(grid, names, strict=True):
        for line, points in curves[curves["panel"] == name].groupby("line", sort=False):
            pen = colours[str(line)]
            axes.plot(points["x"], points["y"], color=pen.colour, linestyle=pen.dash, label=words(line, 34))
            if points["low"].notna().any():
                axes.fill_between(points["x"], points["low"], points["high"], color=pen.colour, alpha=0.13, lw=0)
        _frame(axes, words(name))
    for axes in grid:
        if axes.get_subplotspec().is_last_row() or axes is grid[-1]:  # type: ignore[union-attr]
            axes.set_xlabel(across)
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel(up)
    legend_below(drawn, grid)
    return drawn


def _frame(axes: Axes, title: str) -> None:
    unit_axis(axes)
    axes.set_aspect("equal")
    axes.set_title(title)


@styled
def decision(curves: pd.DataFrame, baseline: str | None = None) -> Figure:
    """Decision curves (Vickers and Elkin, 2006): net benefit over the threshold probability.

    `curves`: columns panel, line, x (threshold), y (net benefit); the lines `treat all` and `treat none` are grey.
    """
    names = list(dict.fromkeys(curves["panel"]))
    if not names:
        return nothing("No class has both cases with and without it.")
    drawn, grid = panels(len(names), ACROSS, 2.3, 2.0)
    colours = pens([line for line in curves["line"] if line not in WITHOUT_MODEL], baseline)
    for axes, name in zip(grid, names, strict=True):
        here = curves[curves["panel"] == name]
        for line, points in here.groupby("line", sort=False):
            if line in colours:
                pen = colours[str(line)]
                axes.plot(points["x"], points["y"], color=pen.colour, linestyle=pen.dash, label=words(line, 34))
            else:
                dash = WITHOUT_MODEL[str(line)]
                axes.plot(points["x"], points["y"], color=SOFT, lw=0.9, linestyle=dash, label=str(line), zorder=0)
        best = np.nanmax(here["y"].to_numpy(dtype=float)) if here["y"].notna().any() else 1.0
        axes.set_ylim(-0.12 * max(best, 0.05), 1.1 * max(best, 0.05))
        axes.set_title(words(name))
        axes.set_xlabel("threshold probability")
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel("net benefit")
    legend_below(drawn, grid)
    return drawn
