"""Is this an image of the kind the model was trained on? Two distances from the training images, taken together.

- of its features in the network, so that what the model sees must be what it knows;
- of its looks (brightness and contrast at several scales, see `looks`), because a network that never saw another kind
  of image may well give it familiar features.

Each is the Mahalanobis distance under a covariance with few free directions and one common variance for all others
(probabilistic PCA: Tipping & Bishop 1999, J. R. Statist. Soc. B 61, eq. 12), so that it exists for fewer images than
features. Feature distance as a guard: Lee et al. 2018, NeurIPS 31. The two are of different things, so they are put
together as such: by the root of the sum of squares, which also tells an image that is a little strange in both. Gates
of bundles from before (`mahalanobis`) go by the larger one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
DIRECTIONS = 64
LEAST_IMAGES = 32
GREYS = 8
SCALES = 4
FLOOR = 0.01
"""Least standard deviation of a look: what never varied in training may still vary by rounding."""


Kind = Literal["mahalanobis", "mahalanobis_joint"]
JOINT: Kind = "mahalanobis_joint"


@dataclass(frozen=True)
class Cloud:
    """Training values as a Gaussian cloud: centre [F], scale [F], directions [F,Q], their variances [Q], the variance
    `rest` [1] of every other direction, and `reach` [1], the distance that most validation images stay within."""

    centre: Floats
    scale: Floats
    directions: Floats
    variances: Floats
    rest: Floats
    reach: Floats

    def distance(self, values_NF: Floats) -> Floats:
        """[N], in units of `reach`."""
        apart = (values_NF - self.centre) / self.scale
        along = apart @ self.directions
        outside = np.maximum((apart**2).sum(1) - (along**2).sum(1), 0.0)
        squared = (along**2 / self.variances).sum(1) + outside / self.rest
        distances: Floats = (np.sqrt(squared / values_NF.shape[1]) / self.reach).astype(np.float32)
        return distances


@dataclass(frozen=True)
class GateStatistics:
    features: Cloud
    looks: Cloud

    def distances(self, features_NF: Floats, looks_ND: Floats) -> tuple[Floats, Floats]:
        """[N] of the features and of the looks, each about 1 for the farthest of most validation images."""
        return self.features.distance(compressed(features_NF)), self.looks.distance(looks_ND)

    def distance(self, features_NF: Floats, looks_ND: Floats, kind: Kind = JOINT) -> Floats:
        """[N]: the two together, as gates of this kind do it."""
        return together(*self.distances(features_NF, looks_ND), kind)

    def arrays(self) -> dict[str, Floats]:
        """As stored in reference.npz."""
        return {
            f"gate_{name}_{field.name}": getattr(cloud, field.name)
            for name, cloud in (("features", self.features), ("looks", self.looks))
            for field in fields(Cloud)
        }


def together(features_N: Floats, looks_N: Floats, kind: Kind) -> Floats:
    """[N]: one distance from that of the features and that of the looks."""
    joint: Floats = np.hypot(features_N, looks_N) if kind == JOINT else np.maximum(features_N, looks_N)
    return joint


def statistics_from(arrays: Mapping[str, NDArray[Any]]) -> GateStatistics:
    """The statistics that `arrays` told; raises `KeyError` when one is missing."""
    clouds = [
        Cloud(*(arrays[f"gate_{name}_{field.name}"] for field in fields(Cloud))) for name in ("features", "looks")
    ]
    return GateStatistics(*clouds)


def fit_gate(
    features: tuple[Floats, Floats], looks: tuple[Floats, Floats], quantile: float
) -> tuple[GateStatistics, float]:
    """The statistics and the distance that a share `quantile` of new images of the same kind stays within.

    `features` and `looks`: values of training images and of validation images, at least `LEAST_IMAGES` of each.
    """
    of_features = fit_cloud(compressed(features[0]), compressed(features[1]), quantile, kept=0.95)
    of_looks = fit_cloud(looks[0], looks[1], quantile, kept=0.99, scaled=True)
    statistics = GateStatistics(of_features, of_looks)
    return statistics, threshold_for(statistics.distance(features[1], looks[1]), quantile)


def fit_cloud(train_NF: Floats, val_NF: Floats, quantile: float, *, kept: float, scaled: bool = False) -> Cloud:
    """`kept`: share of the variance that gets directions of its own; `scaled`: bring every value to variance one."""
    values = train_NF.astype(np.float64)
    centre, count, width = values.mean(0), *values.shape
    scale = np.maximum(values.std(0), FLOOR) if scaled else np.ones(width)
    _, singular, basis = np.linalg.svd((values - centre) / scale, full_matrices=False)
    spectrum = singular**2 / max(count - 1, 1)
    share = np.cumsum(spectrum) / max(spectrum.sum(), 1e-30)
    most = int(min(DIRECTIONS, np.searchsorted(share, kept) + 1, count // 4, width - 1))
    rest = max(float(spectrum[most:].sum()) / (width - most), 1e-12)
    arrays = (centre, scale, basis[:most].T, np.maximum(spectrum[:most], rest), [rest], [1.0])
    cloud = Cloud(*(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))
    reach = max(threshold_for(cloud.distance(val_NF), quantile), 1e-6)
    return replace(cloud, reach=np.asarray([reach], np.float32))


def threshold_for(distances: Floats, quantile: float) -> float:
    """The distance that a share `quantile` of new images of the same kind stays within (split-conformal quantile)."""
    ordered = np.sort(distances)
    rank = int(np.ceil((len(ordered) + 1) * quantile))
    return float(ordered[min(rank, len(ordered)) - 1])


def compressed(features_NF: Floats) -> Floats:
    """Signed square roots, scaled to length one: a few large features no longer drown the others."""
    roots = np.sign(features_NF) * np.sqrt(np.abs(features_NF))
    scaled: Floats = roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12)
    return scaled


def looks(images_NCHW: NDArray[np.uint8]) -> Floats:
    """[N,D]: how images look, whatever they show: brightness, contrast, edges at four scales, grey levels, colour."""
    channels = images_NCHW.shape[1]
    colour = images_NCHW.astype(np.float32) / np.float32(255.0)
    grey = colour[:, 0] if channels == 1 else colour.mean(1)
    told = [grey.mean((1, 2)), grey.std((1, 2))]
    coarse = grey
    for scale in range(SCALES):
        coarse = _halved(coarse) if scale else coarse
        told += [np.abs(np.diff(coarse, axis=axis)).mean((1, 2)) for axis in (1, 2)]
    if channels == 3:
        told += [np.abs(colour[:, at] - colour[:, at + 1]).mean((1, 2)) for at in (0, 1)]
    levels = np.minimum((grey * GREYS).astype(np.uint8), GREYS - 1).reshape(len(grey), -1)
    shares = [np.bincount(one, minlength=GREYS) / one.size for one in levels]
    values: Floats = np.concatenate([np.log(np.stack(told, 1) + 0.01), np.sqrt(np.stack(shares))], 1).astype(np.float32)
    return values


def _halved(grey_NHW: Floats) -> Floats:
    """Means of 2×2 places; an odd last row or column is left out."""
    height, width = (side // 2 * 2 for side in grey_NHW.shape[1:])
    rows = grey_NHW[:, 0:height:2, :width] + grey_NHW[:, 1:height:2, :width]
    halved: Floats = (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
    return halved
