"""Do the maps point at the finding? Pointing game, mass in the mask and overlap, beside what no model would score.

Maps and masks are in the model's square view [S,S]. All measures are per case; intervals resample patients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
CENTRE_WIDTH = 0.25
"""Standard deviation of the centre prior as a share of the image's side."""
CUTS = tuple(np.round(np.arange(0.1, 0.95, 0.1), 2))
REPLICATES = 1000


@dataclass(frozen=True)
class Measure:
    """A mean over cases with its 95 % interval; NaN with n = 0 when nothing could be measured."""

    value: float
    low: float
    high: float
    n: int


def enlarged(heat_hw: Floats, size: int) -> Floats:
    """The map at the size of the model's view, between places linear."""
    image = Image.fromarray(np.ascontiguousarray(heat_hw, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)


def pointing_hit(heat: Floats, mask: Mask) -> float:
    """1 when the largest value lies inside the mask (Zhang 2016); an empty map points nowhere. Ties share."""
    top = heat.max()
    return float(mask[heat == top].mean()) if top > 0 else 0.0


def mass_inside(heat: Floats, mask: Mask) -> float:
    """Share of the map's sum inside the mask; 0 for an empty map."""
    total = float(heat.sum())
    return float(heat[mask].sum()) / total if total > 0 else 0.0


def overlap(heat: Floats, mask: Mask, cut: float) -> float:
    """Intersection over union of the mask and where the map exceeds `cut` times its maximum."""
    top = float(heat.max())
    shown = heat > cut * top if top > 0 else np.zeros_like(mask)
    return float((shown & mask).sum() / (shown | mask).sum())


def best_cut(heats: Sequence[Floats], masks: Sequence[Mask]) -> float:
    """The cut with the largest mean overlap; chosen on validation, the middle where that has no masks."""
    if not heats:
        return 0.5
    means = [np.mean([overlap(h, m, cut) for h, m in zip(heats, masks, strict=True)]) for cut in CUTS]
    return float(CUTS[int(np.argmax(means))])


def centre_prior(size: int) -> Floats:
    """A Gaussian in the middle of the image: where a finding most often is, whatever the image."""
    across = (np.arange(size) + 0.5) / size - 0.5
    bell = np.exp(-0.5 * (across / CENTRE_WIDTH) ** 2)
    return np.asarray(np.outer(bell, bell), dtype=np.float32)


def measures(heats: Sequence[Floats], masks: Sequence[Mask], groups: Sequence[str], cut: float) -> dict[str, Measure]:
    """Pointing game, mass in the mask and overlap of these maps, intervals over the groups (patients)."""
    of: dict[str, Callable[[Floats, Mask], float]] = {
        "pointing_game": pointing_hit, "mass_in_mask": mass_inside, "iou": lambda h, m: overlap(h, m, cut),
    }  # fmt: skip
    return {name: mean_of([one(h, m) for h, m in zip(heats, masks, strict=True)], groups) for name, one in of.items()}


def mean_of(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Measure:
    """The mean with a percentile bootstrap interval over whole groups."""
    if len(values) == 0:
        return Measure(math.nan, math.nan, math.nan, 0)
    _, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    sums, counts = np.bincount(member, np.asarray(values, np.float64)), np.bincount(member)
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), REPLICATES)
    low, high = np.percentile((drawn @ sums) / (drawn @ counts), [2.5, 97.5])
    return Measure(float(np.mean(values)), float(low), float(high), len(values))
