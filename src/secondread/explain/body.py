"""Where the body is in an image, to see how much of a map lies beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMOOTH = 0.02
"""Standard deviation of the blur as a share of the side."""
DARK = 0.12
"""Of the range from the 1st to the 99th percentile: below, and reached from the border, is background."""


def body_mask(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[S,S]: everything but the dark ground that is connected to the image's border (lungs are dark but inside)."""
    grey = pixels.mean(2) if pixels.ndim == 3 else pixels.astype(np.float64)
    blurred = ndimage.gaussian_filter(grey.astype(np.float64), SMOOTH * len(grey))
    low, high = np.percentile(blurred, [1, 99])
    dark = blurred <= low + DARK * (high - low)
    labelled, _ = ndimage.label(dark)
    edge = np.unique(np.concatenate([labelled[0], labelled[-1], labelled[:, 0], labelled[:, -1]]))
    return np.asarray(~np.isin(labelled, edge[edge > 0]))


def share_outside(heat: NDArray[np.float32], body: NDArray[np.bool_]) -> float:
    """Share of the map's sum outside the body; 0 for an empty map."""
    total = float(heat.sum())
    return float(heat[~body].sum()) / total if total > 0 else 0.0
