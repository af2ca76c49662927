"""GAN quality: what is measured of the synthetic images, beside what real images of the same number would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from secondread.pages.style import INK, legend_below, nothing, panels, pens, styled, words


@styled
def figure(quality: pd.DataFrame) -> Figure:
    """One panel per metric, one group per class, one bar per GAN; a black line is the floor (real against real).

    `quality`: columns gan, class, metric, value and, where known, low, high, floor. Several seeds: mean and range.
    """
    metrics = list(dict.fromkeys(quality["metric"]))
    if not metrics:
        return nothing("No GAN was judged.")
    targets, colours = list(dict.fromkeys(quality["class"])), pens(quality["gan"])
    drawn, grid = panels(len(metrics), 4, 2.2, 1.9)
    step = 0.8 / len(colours)
    for axes, metric in zip(grid, metrics, strict=True):
        here = quality[quality["metric"] == metric]
        for turn, (gan, pen) in enumerate(colours.items()):
            of_gan = here[here["gan"] == gan].groupby("class")
            value = of_gan["value"].mean().reindex(targets).to_numpy(dtype=float)
            low = of_gan["low"].min().reindex(targets).to_numpy(dtype=float)
            high = of_gan["high"].max().reindex(targets).to_numpy(dtype=float)
            places = np.arange(len(targets)) + (turn - (len(colours) - 1) / 2) * step
            axes.bar(places, np.nan_to_num(value), width=step * 0.9, color=pen.colour, alpha=0.85, label=words(gan))
            axes.vlines(places, low, high, color=INK, lw=0.9)
        floor = here.groupby("class")["floor"].mean().reindex(targets).to_numpy(dtype=float)
        axes.hlines(floor, np.arange(len(targets)) - 0.45, np.arange(len(targets)) + 0.45, color=INK, lw=1.3)
        axes.set_xticks(range(len(targets)), [words(name, 14) for name in targets])
        axes.set_title(words(metric, 30))
        axes.grid(axis="x", visible=False)
    legend_below(drawn, grid)
    return drawn


@styled
def training(curves: pd.DataFrame) -> Figure:
    """How good each GAN was while it trained: a panel for FID and one for KID, a line per GAN, class, fold and seed.

    `curves`: columns run (one line each), gan, step, fid, fid_floor, kid, kept (True at the update whose generator drew
    the samples, marked by a dot). The black line is the floor of the FID.
    """
    if curves.empty:
        return nothing("No GAN wrote a curve.")
    colours = pens(curves["gan"])
    drawn, grid = panels(2, 2, 3.2, 2.3)
    for axes, metric in zip(grid, ("fid", "kid"), strict=True):
        named = set()
        for (gan, _), line in curves.groupby(["gan", "run"], sort=False):
            label = None if gan in named else words(str(gan))
            axes.plot(line["step"], line[metric], color=colours[str(gan)].colour, lw=1.1, label=label)
            kept = line[line["kept"]]
            axes.plot(kept["step"], kept[metric], "o", color=colours[str(gan)].colour, ms=5)
            named.add(gan)
        axes.set_title(metric.upper())
        axes.set_xlabel("generator updates")
        axes.set_ylim(bottom=0)
    grid[0].axhline(float(curves["fid_floor"].mean()), color=INK, lw=1.3)
    legend_below(drawn, grid)
    return drawn


LOSSES = {"generator_loss": "generator loss", "critic_loss": "critic loss", "wasserstein": "critic: real − generated"}


@styled
def losses(told: pd.DataFrame) -> Figure:
    """What both networks said while they trained: a panel for each of `LOSSES`, a line per GAN, class, fold and seed.

    `told`: columns run (one line each), gan, step and those of `LOSSES`. The last one is the critic's estimate of the
    Wasserstein distance for the two GANs that have such a critic.
    """
    if told.empty:
        return nothing("No GAN wrote its losses.")
    colours = pens(told["gan"])
    drawn, grid = panels(3, 3, 2.4, 2.0)
    for axes, (column, title) in zip(grid, LOSSES.items(), strict=True):
        named = set()
        for (gan, _), line in told.groupby(["gan", "run"], sort=False):
            label = None if gan in named else words(str(gan))
            axes.plot(line["step"], line[column], color=colours[str(gan)].colour, lw=0.9, label=label)
            named.add(gan)
        axes.set_title(title)
        axes.set_xlabel("generator updates")
    legend_below(drawn, grid)
    return drawn
