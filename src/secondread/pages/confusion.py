"""Combined confusion matrices: every arm of every model side by side."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secondread.pages.style import blank, nothing, styled, words

WIDEST = 9.2
"""Inches of matrices side by side; more arms go on below."""


@styled
def figure(counts: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """A matrix per (model, arm), rows truth, columns decision, coloured by the share of the true class.

    `counts`: columns arm, model, truth, decision, count (summed over members when there are several).
    """
    models, arms = list(dict.fromkeys(counts["model"])), list(dict.fromkeys(counts["arm"]))
    if counts.empty:
        return nothing("There are no decisions to count.")
    side = max(1.35, 0.34 * len(classes) + 0.55)
    across = max(1, min(len(arms), int(WIDEST // side)))
    lines = [(model, arms[at : at + across]) for model in models for at in range(0, len(arms), across)]
    drawn = blank(side * across + 0.75, (side + 0.22) * len(lines) + 0.4)
    grid = drawn.subplots(len(lines), across, squeeze=False, sharex=True, sharey=True)
    there = set(zip(counts["model"], counts["arm"], strict=True))
    held = [[(model, arm) in there for arm in of_line] + [False] * (across - len(of_line)) for model, of_line in lines]
    for (row, column), axes in np.ndenumerate(grid):
        if not held[row][column]:
            axes.set_visible(False)
            continue
        model, arm = lines[row][0], lines[row][1][column]
        _matrix(axes, matrix_of(counts[(counts["model"] == model) & (counts["arm"] == arm)], classes), classes)
        above, below = ([one[column] for one in part] for part in (held[:row], held[row + 1 :]))
        if across < len(arms) or not any(above):
            axes.set_title(words(arm, min(20, int(side / 0.095))), fontsize=8)
        first = not any(held[row][:column])
        axes.set_ylabel(words(model, 22) if first else "", fontweight="bold")
        axes.tick_params(labelleft=first, labelbottom=not any(below))
    drawn.supxlabel("decision", fontsize=8)
    drawn.supylabel("truth", fontsize=8)
    return drawn


def matrix_of(counts: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    """[K, K]: rows truth, columns decision."""
    table = counts.pivot_table(index="truth", columns="decision", values="count", aggfunc="sum", fill_value=0)
    return table.reindex(index=list(classes), columns=list(classes), fill_value=0).to_numpy(dtype=np.float64)


def _matrix(axes: Axes, matrix: NDArray[np.float64], classes: Sequence[str]) -> None:
    of_truth = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, of_truth, out=np.zeros_like(matrix), where=of_truth > 0)
    colours = matplotlib.colormaps["Blues"]
    axes.imshow(share, cmap=colours, vmin=0, vmax=1.15, aspect="equal")
    for (i, j), count in np.ndenumerate(matrix):
        dark = share[i, j] > 0.6
        text = f"{count:.0f}\n{100 * share[i, j]:.0f} %" if len(classes) <= 6 else f"{count:.0f}"
        size = 6.5 if len(classes) <= 6 else 5.5
        axes.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if dark else "#1b1b1b")
    names = [words(name, 11) for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=6.5)
    axes.set_yticks(range(len(classes)), names, fontsize=6.5)
    axes.grid(False)
    axes.tick_params(length=0)


@styled
def per_label(rates: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """For labels that do not exclude each other: true and false positives and negatives of each, per model and arm.

    `rates`: columns arm, model, class, tp, fp, fn, tn. A bar is all cases of the label; its parts are shares.
    """
    pairs = list(dict.fromkeys(zip(rates["model"], rates["arm"], strict=True)))
    if not pairs:
        return nothing("There are no decisions to count.")
    across = min(len(pairs), 4)
    down = -(-len(pairs) // across)
    drawn = blank(1.75 * across + 1.1, (0.17 * len(classes) + 0.75) * down + 0.3)
    grid = drawn.subplots(down, across, squeeze=False, sharey=True)
    parts = (("tp", "found", "#0072b2"), ("fn", "missed", "#d55e00"), ("fp", "false alarm", "#e69f00"))
    for place, (model, arm) in enumerate(pairs):
        axes = grid[place // across][place % across]
        here = rates[(rates["model"] == model) & (rates["arm"] == arm)].set_index("class").reindex(list(classes))
        start = np.zeros(len(classes))
        for name, label, colour in parts:
            width = here[name].to_numpy(dtype=float)
            axes.barh(range(len(classes)), width, left=start, color=colour, height=0.72, label=label)
            start = start + np.nan_to_num(width)
        axes.set_title(f"{words(model, 14)} · {words(arm, 14)}", fontsize=7.5)
        axes.set_yticks(range(len(classes)), [words(name, 22) for name in classes], fontsize=6.5)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        if place + across >= len(pairs):
            axes.set_xlabel("images")
    for unused in range(len(pairs), across * down):
        grid[unused // across][unused % across].set_visible(False)
    handles, labels = grid[0][0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside lower center", ncols=3)
    return drawn
