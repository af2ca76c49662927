"""What the data set holds: labels per split, and which labels go together."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from secondread.pages.style import COLOURS, INK, blank, nothing, styled, words

SPLIT_COLOURS = {"all": COLOURS[0], "train": "#4d565e", "val": COLOURS[4], "test": COLOURS[0]}


@styled
def distribution(counts: pd.DataFrame) -> Figure:
    """Images per class and split. `counts`: columns class, split, count."""
    if counts.empty:
        return nothing("There are no labels.")
    table = counts.pivot_table(index="class", columns="split", values="count", aggfunc="sum", fill_value=0, sort=False)
    table = table[[split for split in SPLIT_COLOURS if split in table]]
    drawn = blank(5.2, 0.24 * len(table) + 0.85)
    axes = drawn.add_subplot()
    start = np.zeros(len(table))
    for split in table:
        width = table[split].to_numpy(dtype=float)
        axes.barh(range(len(table)), width, left=start, color=SPLIT_COLOURS[str(split)], height=0.72, label=str(split))
        start = start + width
    for row, total in enumerate(start):
        axes.text(total, row, f" {total:,.0f}".replace(",", "\u202f"), va="center", fontsize=7, color=INK)
    axes.set_yticks(range(len(table)), [words(name, 30) for name in table.index])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    axes.set_xlabel("images")
    if len(table.columns) > 1:
        drawn.legend(loc="outside lower center", ncols=3)
    return drawn


@styled
def correlation(matrix: pd.DataFrame) -> Figure:
    """Pearson (phi) correlation of labels that may occur together; a square table indexed by class."""
    count = len(matrix)
    if count < 2:
        return nothing("There are fewer than two labels to correlate.")
    side = max(2.4, 0.3 * count + 1.2)
    drawn = blank(side + 0.6, side)
    axes = drawn.add_subplot()
    values = matrix.to_numpy(dtype=float)
    shown = axes.imshow(np.where(np.eye(count, dtype=bool), np.nan, values), cmap="PuOr", vmin=-1, vmax=1)
    if count <= 15:
        for (i, j), value in np.ndenumerate(values):
            if i != j and np.isfinite(value):
                colour = "white" if abs(value) > 0.6 else "#1b1b1b"
                axes.text(j, i, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=5.8, color=colour)
    names = [words(name, 20) for name in matrix.index]
    axes.set_xticks(range(count), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=6.8)
    axes.set_yticks(range(count), names, fontsize=6.8)
    axes.grid(False)
    axes.tick_params(length=0)
    drawn.colorbar(shown, ax=axes, shrink=0.75, label="correlation")
    return drawn
