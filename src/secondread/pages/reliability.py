"""Reliability diagrams: how often it was true when the model said p, with bands, before and after calibration."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from secondread.pages.style import FAINT, Pen, legend_below, nothing, panels, styled, unit_axis, words

PENS = {"before": Pen("#d55e00", (0, (2, 1.2)), "s"), "after": Pen("#0072b2", "-", "o")}


@styled
def figure(bins: pd.DataFrame) -> Figure:
    """One panel per `panel` (class or trial), a line before and one after calibration.

    `bins`: columns panel, line (`before` or `after`), predicted, observed, low, high, n: equal-mass bins.
    """
    names = list(dict.fromkeys(bins["panel"]))
    if not names:
        return nothing("No class has both cases with and without it.")
    drawn, grid = panels(len(names), 4, 2.15, 2.25, sharex=True, sharey=True)
    for axes, name in zip(grid, names, strict=True):
        axes.plot([0, 1], [0, 1], color=FAINT, lw=0.9, zorder=0)
        for line, points in bins[bins["panel"] == name].groupby("line", sort=False):
            pen = PENS[str(line)]
            points = points.sort_values("predicted")
            axes.plot(
                points["predicted"], points["observed"], label=f"{line} calibration", lw=1.1,
                color=pen.colour, linestyle=pen.dash, marker=pen.marker, ms=2.6,
            )  # fmt: skip
            if points["low"].notna().any():
                axes.fill_between(
                    points["predicted"], points["low"], points["high"], color=pen.colour, alpha=0.14, lw=0
                )
        unit_axis(axes)
        axes.set_aspect("equal")
        axes.set_title(words(name, 30))
        axes.set_xlabel("predicted probability")
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel("observed share")
    legend_below(drawn, grid)
    return drawn
