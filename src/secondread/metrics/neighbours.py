"""What nearest neighbours say of generated images: precision, recall, density, coverage, and copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.core.errors import BadData
from secondread.metrics.distances import features
from secondread.metrics.resampling import patient_numbers

Array = NDArray[np.float64]
CHUNK = 1024


@dataclass(frozen=True)
class Prdc:
    """precision: generated images inside the real manifold; recall: real images inside the generated one (Kynkäänniemi
    2019); density, coverage: their steadier counterparts (Naeem 2020). A collapsed generator: high precision, low
    recall and coverage."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Copies:
    """Each generated image against the training images that its generator saw.

    nearest [n]: row of the nearest training image; distance [n]; copied [n]: nearer than `threshold`, the first
    percentile of the distances between training images and their nearest other one. closer_than_holdout: chance that a
    generated image lies nearer to training than a held-out real one does (0.5: no sign of memory; NaN without
    hold-out). authentic: share that is farther from its nearest training image than that one is from its nearest other
    (Alaa 2022).
    """

    nearest: NDArray[np.intp]
    distance: Array
    copied: NDArray[np.bool_]
    threshold: float
    closer_than_holdout: float
    authentic: float

    @property
    def share(self) -> float:
        return float(self.copied.mean())


def prdc(real: ArrayLike, generated: ArrayLike, *, k: int = 5, recall_k: int = 3) -> Prdc:
    """Precision and recall with balls to the `recall_k`-th neighbour, density and coverage to the `k`-th."""
    x, y = features(real, least=max(k, recall_k) + 1), features(generated, least=max(k, recall_k) + 1)
    around_real = neighbour_distances(x, (recall_k, k))
    around_generated = neighbour_distances(y, (recall_k,))
    inside_real = np.zeros(len(y), dtype=bool)
    inside_generated = np.zeros(len(x), dtype=bool)
    balls, covered = 0, np.zeros(len(x), dtype=bool)
    for rows, squared in _blocks(x, y):
        inside_real |= (squared <= around_real[rows, :1]).any(axis=0)
        inside_generated[rows] = (squared <= around_generated[:, 0]).any(axis=1)
        within = squared <= around_real[rows, 1:]
        balls += int(within.sum())
        covered[rows] = within.any(axis=1)
    density = balls / (k * len(y))
    return Prdc(float(inside_real.mean()), float(inside_generated.mean()), density, float(covered.mean()))


def copies(
    generated: ArrayLike, train: ArrayLike, holdout: ArrayLike | None = None, *, patients: ArrayLike | None = None
) -> Copies:
    """Look for memorised training images in feature space (or on pixels, flattened).

    generated, train, holdout [·, d]; patients [n_train]: images of one patient do not count as neighbours for the
    threshold, nor do exact twins.
    """
    y, x = features(generated, least=1), features(train, least=3)
    distance, nearest = nearest_rows(y, x)
    groups = None if patients is None else patient_numbers(patients, len(x))
    among = np.sqrt(neighbour_distances(x, (1,), groups)[:, 0])
    apart = among[(among > 0) & np.isfinite(among)]
    threshold = float(np.percentile(apart, 1)) if len(apart) else 0.0
    closer = float("nan")
    if holdout is not None:
        away, _ = nearest_rows(features(holdout, least=1), x)
        closer = _chance_below(distance, away)
    copied = (distance < threshold) | (distance == 0)
    return Copies(nearest, distance, copied, threshold, closer, float((distance > among[nearest]).mean()))


def nearest_rows(these: Array, those: Array) -> tuple[Array, NDArray[np.intp]]:
    """For each row of `these`: the Euclidean distance to its nearest row of `those`, and which one that is."""
    distance, nearest = np.empty(len(these)), np.empty(len(these), dtype=np.intp)
    for rows, squared in _blocks(these, those):
        nearest[rows] = squared.argmin(axis=1)
        distance[rows] = np.sqrt(np.take_along_axis(squared, nearest[rows, None], axis=1)[:, 0])
    return distance, nearest


def neighbour_distances(rows_nd: Array, ks: tuple[int, ...], groups: NDArray[np.int64] | None = None) -> Array:
    """[n, len(ks)]: squared distance of each row to its k-th nearest other one (∞ where there is none).

    groups [n]: rows of one group (images of one patient) are not each other's neighbours.
    """
    own = np.arange(len(rows_nd)) if groups is None else groups
    found = np.empty((len(rows_nd), len(ks)))
    for rows, squared in _blocks(rows_nd, rows_nd):
        squared[own[rows, None] == own] = np.inf
        found[rows] = np.partition(squared, [k - 1 for k in ks], axis=1)[:, [k - 1 for k in ks]]
    return found


def _blocks(these: Array, those: Array) -> Iterator[tuple[slice, Array]]:
    """Squared distances of a block of rows to all of `those`, block by block, so that memory stays constant."""
    if these.shape[1] != those.shape[1]:
        raise BadData(f"features of {these.shape[1]} and of {those.shape[1]} dimensions cannot be compared")
    centre = those.mean(axis=0)  # small numbers lose less in the expansion |a − b|² = |a|² + |b|² − 2ab
    those = those - centre
    lengths = (those**2).sum(axis=1)
    for start in range(0, len(these), CHUNK):
        block = these[start : start + CHUNK] - centre
        squared = (block**2).sum(axis=1)[:, None] + lengths - 2 * block @ those.T
        noise = 1e-12 * ((block**2).sum(axis=1)[:, None] + lengths)
        squared[squared < noise] = 0.0
        yield slice(start, start + len(block)), squared


def _chance_below(first: Array, second: Array) -> float:
    """P(a value of the first is below one of the second), ties half."""
    ordered = np.sort(second)
    above = len(second) - np.searchsorted(ordered, first, side="right")
    equal = len(second) - np.searchsorted(ordered, first, side="left") - above
    return float((above + equal / 2).mean() / len(second))
