"""Pages of images: predicted samples (right, wrong, most confident errors) and the mean image of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secondread.pages.style import BAD, GOOD, SOFT, blank, nothing, styled, words


@dataclass(frozen=True)
class Sample:
    """One image [H, W] or [H, W, 3] uint8 with what was true and what was decided."""

    image: NDArray[np.uint8]
    truth: str
    decision: str
    probability: float
    right: bool


@styled
def samples(rows: Mapping[str, Sequence[Sample]], across: int = 8) -> Figure:
    """One strip of images per heading; frames are blue where the decision was right and vermilion where wrong."""
    strips = {title: list(found)[:across] for title, found in rows.items() if found}
    if not strips:
        return nothing("There are no images to show.")
    drawn = blank(1.05 * across, 1.5 * len(strips) + 0.1)
    parts = drawn.subfigures(len(strips), 1, squeeze=False)
    for part, (title, found) in zip(parts[:, 0], strips.items(), strict=True):
        part.suptitle(title, fontsize=8.5, fontweight="bold", x=0.01, ha="left")
        grid = part.subplots(1, across, squeeze=False)[0]
        for axes in grid[len(found) :]:
            axes.set_visible(False)
        for axes, sample in zip(grid, found, strict=False):
            _picture(axes, sample.image, GOOD if sample.right else BAD)
            decided = f"{words(sample.decision, 15)} {100 * sample.probability:.0f} %"
            told = decided if sample.right else f"{decided}\ntrue: {words(sample.truth, 14)}"
            axes.set_xlabel(told, fontsize=5.8, labelpad=2)
    return drawn


@styled
def means(of_class: Mapping[str, NDArray[np.floating]], count: Mapping[str, int]) -> Figure:
    """Mean image [H, W] (0..255) of each class, on one grey scale: a difference at the border is a warning."""
    if not of_class:
        return nothing("There are no images to average.")
    across = min(len(of_class), 7)
    down = -(-len(of_class) // across)
    drawn = blank(1.25 * across, 1.5 * down)
    grid = drawn.subplots(down, across, squeeze=False).ravel()
    for axes in grid[len(of_class) :]:
        axes.set_visible(False)
    for axes, (name, image) in zip(grid, of_class.items(), strict=False):
        _picture(axes, image, SOFT)
        axes.set_title(words(name, 18), fontsize=7.2)
        axes.set_xlabel(f"n = {count[name]}", fontsize=6.5, labelpad=2)
    return drawn


def _picture(axes: Axes, image: NDArray[np.generic], frame: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=frame, linewidth=1.6)
