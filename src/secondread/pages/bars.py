"""Metrics of all arms and models as bars with intervals, and how they spread over seeds and folds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secondread.pages.numbers import MISSING
from secondread.pages.style import INK, Pen, legend_below, nothing, panels, pens, styled, words


@styled
def figure(scores: pd.DataFrame, baseline: str | None = None) -> Figure:
    """One panel per metric, one group per model, one bar per arm. `scores`: arm, model, metric, value, low, high."""
    metrics = list(dict.fromkeys(scores["metric"]))
    if not metrics:
        return nothing("There are no scores.")
    models = list(dict.fromkeys(scores["model"]))
    colours = pens(scores["arm"], baseline)
    width = max(2.2, 0.32 + 0.11 * len(models) * len(colours) + 0.12 * len(models))
    drawn, grid = panels(len(metrics), max(1, int(9.2 // width)), width, 1.85)
    for axes, metric in zip(grid, metrics, strict=True):
        _groups(axes, scores[scores["metric"] == metric], models, colours)
        axes.set_title(words(metric.replace("_", " "), 34))
    legend_below(drawn, grid)
    return drawn


def _groups(axes: Axes, scores: pd.DataFrame, models: list[str], colours: dict[str, Pen]) -> None:
    step = 0.82 / len(colours)
    for turn, (arm, pen) in enumerate(colours.items()):
        here = scores[scores["arm"] == arm].drop_duplicates("model").set_index("model").reindex(models)
        places = np.arange(len(models)) + (turn - (len(colours) - 1) / 2) * step
        value = here["value"].to_numpy(dtype=float)
        axes.bar(places, np.nan_to_num(value), width=step * 0.92, color=pen.colour, alpha=0.85, label=words(arm))
        whiskers = np.stack([value - here["low"].to_numpy(float), here["high"].to_numpy(float) - value])
        has = np.isfinite(whiskers).all(axis=0)
        axes.errorbar(
            places[has], value[has], yerr=np.maximum(whiskers[:, has], 0), fmt="none", ecolor=INK, elinewidth=0.8,
            capsize=1.5, capthick=0.8, clip_on=False,
        )  # fmt: skip
        for place in places[np.isnan(value)]:  # else what is not defined looks like a zero
            axes.text(place, 0, MISSING, ha="center", va="bottom", fontsize=7, color=pen.colour)
    axes.set_xticks(range(len(models)), [words(model, 16) for model in models])
    if sum(len(words(model, 16)) + 2 for model in models) > 26:  # names would run into each other
        for label in axes.get_xticklabels():
            label.set(rotation=25, ha="right", rotation_mode="anchor")
    axes.grid(axis="x", visible=False)
    top = np.nanmax(np.append(scores["high"].to_numpy(float), scores["value"].to_numpy(float)), initial=0.0)
    low = np.nanmin(np.append(scores["low"].to_numpy(float), scores["value"].to_numpy(float)), initial=0.0)
    axes.set_ylim(1.08 * low, 1 if top <= 1 and top > 0.5 else max(top * 1.08, 0.05))
    if low < 0:  # a correlation may lie below the zero at which bars start
        axes.axhline(0, color=INK, lw=0.8)


@styled
def spread(scores: pd.DataFrame, metric: str, baseline: str | None = None) -> Figure:
    """One dot per trial (seed, fold, repeat), a bar at the mean. `scores`: arm, model, split, value."""
    models, splits = list(dict.fromkeys(scores["model"])), list(dict.fromkeys(scores["split"]))
    if not models:
        return nothing("There are no scores.")
    colours = pens(scores["arm"], baseline)
    drawn, grid = panels(len(models), 4, 2.2, 1.2 + 0.16 * len(colours), sharex=True)
    for axes, model in zip(grid, models, strict=True):
        for row, (arm, pen) in enumerate(colours.items()):
            for split in splits:
                here = scores[(scores["model"] == model) & (scores["arm"] == arm) & (scores["split"] == split)]
                value, low = here["value"].to_numpy(dtype=float), 0.16 if split == "val" else -0.16
                if not np.isfinite(value).any():
                    continue
                face = pen.colour if split == "test" else "none"
                axes.scatter(value, np.full(len(value), row - low), s=13, facecolor=face, edgecolor=pen.colour, lw=0.9)
                axes.vlines(np.nanmean(value), row - low - 0.14, row - low + 0.14, color=pen.colour, lw=1.6)
        axes.set_yticks(range(len(colours)), [words(arm, 20) for arm in colours])
        axes.set_ylim(len(colours) - 0.5, -0.5)
        axes.set_title(words(model))
        axes.set_xlabel(words(metric.replace("_", " ")))
    marks = {"test (filled)": "full", "validation (open)": "none"}
    for label, fill in marks.items():
        grid[0].plot([], [], linestyle="none", marker="o", fillstyle=fill, color=INK, ms=4, label=label)  # type: ignore[arg-type]
    legend_below(drawn, grid[:1])
    return drawn
