"""Training and validation curves of all arms, and the learning-rate schedule."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from secondread.pages.style import Pen, blank, legend_below, nothing, pens, styled, words

PANELS = (
    ("loss", "train_loss", "val_loss"),
    ("accuracy", "train_accuracy", "val_accuracy"),
    ("mean recall, validation", None, "val_recall"),
    ("AUROC, validation", None, "val_auroc"),
)


@styled
def figure(epochs: pd.DataFrame, baseline: str | None = None) -> Figure:
    """One row of panels per model, one colour per arm; validation solid, training dotted, each member faint.

    `epochs`: columns arm, model, member, epoch and those of epochs.csv. The line is the mean over members (seeds and
    folds) that reached the epoch.
    """
    shown = [panel for panel in PANELS if panel[2] in epochs and epochs[panel[2]].notna().any()]
    models = list(dict.fromkeys(epochs["model"]))
    if not shown or not models:
        return nothing("No trial left an epochs.csv.")
    drawn = blank(2.15 * len(shown), 1.75 * len(models) + 0.35)
    grid = drawn.subplots(len(models), len(shown), squeeze=False, sharex="row")
    colours = pens(epochs["arm"], baseline)
    for row, model in enumerate(models):
        of_model = epochs[epochs["model"] == model]
        for column, (title, train, validation) in enumerate(shown):
            axes = grid[row][column]
            for arm, pen in colours.items():
                _lines(axes, of_model[of_model["arm"] == arm], train, validation, pen, words(arm))
            if row == 0:
                axes.set_title(title)
            if column == 0:
                axes.set_ylabel(words(model), fontweight="bold")
            if row == len(models) - 1:
                axes.set_xlabel("epoch")
            axes.margins(x=0.02)
    legend_below(drawn, [axes for line in grid for axes in line])
    return drawn


def _lines(axes: Axes, trials: pd.DataFrame, train: str | None, validation: str, pen: Pen, label: str) -> None:
    for _, member in trials.groupby("member", sort=False):
        axes.plot(member["epoch"], member[validation], color=pen.colour, lw=0.6, alpha=0.3)
    mean = trials.groupby("epoch")[[name for name in (train, validation) if name]].mean()
    if mean.empty:
        return
    axes.plot(mean.index, mean[validation], color=pen.colour, linestyle=pen.dash, label=label)
    if train:
        axes.plot(mean.index, mean[train], color=pen.colour, linestyle=":", lw=1.0, alpha=0.8)


@styled
def schedule(epochs: pd.DataFrame, baseline: str | None = None) -> Figure:
    """Learning rate over optimiser steps; arms and models that share a schedule share a line."""
    told = epochs.dropna(subset=["lr"]) if "lr" in epochs else epochs.iloc[:0]
    if told.empty:
        return nothing("No learning rate was recorded.")
    known: dict[tuple[float, ...], list[str]] = {}
    lines: dict[tuple[float, ...], pd.DataFrame] = {}
    for (arm, model), trial in told.groupby(["arm", "model"], sort=False):
        longest = trial[trial["member"] == trial.groupby("member").size().idxmax()]
        key = tuple(np.round(np.asarray(longest[["step", "lr"]], dtype=float), 12).ravel())
        known.setdefault(key, []).append(f"{arm} · {model}")
        lines[key] = longest
    drawn = blank(4.6, 2.1)
    axes = drawn.add_subplot()
    everyone = len(known) == 1
    colours = pens([who[0] for who in known.values()])
    for key, who in known.items():
        label = "all trials" if everyone else words(who[0], 40) + (f" and {len(who) - 1} more" if len(who) > 1 else "")
        pen = colours[who[0]]
        axes.plot(lines[key]["step"], lines[key]["lr"], color=pen.colour, linestyle=pen.dash, label=label, marker=".")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes.legend(loc="best")
    return drawn


@styled
def reconstruction(epochs: pd.DataFrame) -> Figure:
    """The error of each autoencoder over its epochs, validation solid and training dotted; folds share a colour.

    `epochs`: columns coder, member, epoch, train_loss, val_loss.
    """
    if epochs.empty:
        return nothing("No autoencoder was trained.")
    drawn = blank(4.6, 2.4)
    axes, colours, named = drawn.add_subplot(), pens(epochs["coder"]), set[str]()
    for (coder, _), line in epochs.groupby(["coder", "member"], sort=False):
        pen, label = colours[str(coder)], None if coder in named else words(coder, 40)
        axes.plot(line["epoch"], line["val_loss"], color=pen.colour, linestyle=pen.dash, label=label, marker=".")
        axes.plot(line["epoch"], line["train_loss"], color=pen.colour, linestyle=":", lw=1.0, alpha=0.8)
        named.add(str(coder))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("mean squared error")
    axes.set_ylim(bottom=0)
    legend_below(drawn, [axes])
    return drawn
