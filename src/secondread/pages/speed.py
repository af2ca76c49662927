"""Speed of the engines a bundle runs on: latency with its tail, and throughput."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from secondread.pages.style import COLOURS, INK, blank, nothing, styled, words


@styled
def figure(bench: pd.DataFrame) -> Figure:
    """`bench`: columns of `secondread bench --json` (bundle, engine, precision, batch, threads, p50_ms, p95_ms,
    images_per_s); of several bundles each line begins with its own."""
    if bench.empty:
        return nothing("No bundle was timed.")
    bench = bench.reset_index(drop=True)
    labels = [
        words(f"{row.engine} {row.precision}, batch {row.batch}, {row.threads} thr.", 44) for row in bench.itertuples()
    ]
    if bench["bundle"].nunique() > 1:
        labels = [f"{words(name, 40)}\n{told}" for name, told in zip(bench["bundle"], labels, strict=True)]
    names = list(dict.fromkeys(bench["engine"]))
    colours = [COLOURS[names.index(name) % len(COLOURS)] for name in bench["engine"]]
    drawn = blank(7.2, 0.22 * sum(label.count("\n") + 1 for label in labels) + 0.7)
    left, right = drawn.subplots(1, 2, sharey=True)
    places = np.arange(len(bench))
    left.barh(places, bench["p50_ms"], color=colours, height=0.7)
    left.hlines(places, bench["p50_ms"], bench["p95_ms"], color=INK, lw=0.9)
    left.set_xlabel("milliseconds per batch: median, line to 95 %")
    right.barh(places, bench["images_per_s"], color=colours, height=0.7)
    right.set_xlabel("images per second")
    left.set_yticks(places, labels)
    left.invert_yaxis()
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
        axes.set_xlim(left=0)
    return drawn
