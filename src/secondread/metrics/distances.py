"""How far generated images are from real ones, on feature arrays [n, d]: FID and KID, with what they cost in samples.

A FID of few images is mostly bias: it is only ever read beside the floor of real against real at the same n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.core.errors import BadData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MeanAndSpread:
    value: float
    sd: float


@dataclass(frozen=True)
class Floor:
    """FID of real against real: n per side, its mean and standard deviation over random halves."""

    n: int
    value: float
    sd: float


@dataclass(frozen=True)
class Extrapolated:
    """FID at infinitely many samples by a line over 1/n; points: (n, FID) that it was fitted to."""

    value: float
    slope: float
    points: tuple[tuple[int, float], ...]


def features(values: ArrayLike, least: int = 2) -> Array:
    """Feature rows as float64 [n, d]; raises `BadData` when they are too few, of another shape, or not all finite."""
    made = np.asarray(values, dtype=np.float64)
    if made.ndim != 2 or len(made) < least:
        raise BadData(f"features must be [n, d] with n of at least {least}, not {made.shape}")
    if not np.isfinite(made).all():
        raise BadData("features hold values that are no numbers")
    return made


def fid(first: ArrayLike, second: ArrayLike) -> float:
    """Fréchet distance of two Gaussians, ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) (Heusel 2017), in float64.

    tr (Σ₁Σ₂)^½ is the sum of the singular values of A₁A₂ᵀ where Σ = AᵀA: of the n₁ × n₂ cross-Gram of the centred
    rows where that is the smaller work, else by the eigenvalues of R₁Σ₂R₁ᵀ, which is
    symmetric (RᵀR = Σ).
    """
    a, b = features(first), features(second)
    if a.shape[1] != b.shape[1]:
        raise BadData(f"features of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared")
    means = a.mean(axis=0), b.mean(axis=0)
    rows_a = (a - means[0]) / np.sqrt(len(a) - 1)
    rows_b = (b - means[1]) / np.sqrt(len(b) - 1)
    apart = float(((means[0] - means[1]) ** 2).sum())
    spread = float((rows_a**2).sum() + (rows_b**2).sum())
    return apart + spread - 2 * _shared(rows_a, rows_b)


def _shared(rows_a: Array, rows_b: Array) -> float:
    """tr (Σ₁Σ₂)^½ for Σ = rowsᵀ rows."""
    n, m, d = len(rows_a), len(rows_b), rows_a.shape[1]
    if min(n, m) ** 2 * max(n, m) < 2 * d**3:
        return float(np.linalg.svd(rows_a @ rows_b.T, compute_uv=False).sum())
    root = _root(rows_a.T @ rows_a)
    inner = root @ (rows_b.T @ (rows_b @ root.T)) if m < d else root @ (rows_b.T @ rows_b) @ root.T
    return float(np.sqrt(np.clip(np.linalg.eigvalsh(inner), 0, None)).sum())


def _root(covariance: Array) -> Array:
    """R with RᵀR = covariance: Cholesky's, or the symmetric one where dead features leave no Cholesky factor."""
    try:
        return np.asarray(np.linalg.cholesky(covariance).T, dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))).T)


def fid_floor(real: ArrayLike, n: int | None = None, *, repeats: int = 5, seed: int = 0) -> Floor:
    """FID between two disjoint random sets of n real images each (half of them when n is not given or not to be had).

    A generator cannot be told from the real images by FID once it comes down to this.
    """
    rows = features(real, least=4)
    n = min(n or len(rows) // 2, len(rows) // 2)
    if n < 2:
        raise BadData("a FID floor needs at least two images on each side")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        order = rng.permutation(len(rows))
        found.append(fid(rows[order[:n]], rows[order[n : 2 * n]]))
    return Floor(n, float(np.mean(found)), float(np.std(found, ddof=1)) if repeats > 1 else float("nan"))


def fid_infinity(
    real: ArrayLike, generated: ArrayLike, *, steps: int = 8, repeats: int = 3, seed: int = 0
) -> Extrapolated:
    """FID for n → ∞: equal random sets of n from both sides, n from a fifth to all, fitted by a line over 1/n.

    Chong & Forsyth 2020 (arXiv 1911.07023) extrapolate the generated side; real images are few here as well, so both
    sides shrink together.
    """
    a, b = features(real, least=20), features(generated, least=20)
    most = min(len(a), len(b))
    rng = np.random.default_rng(seed)
    sizes = np.unique((1 / np.linspace(5 / most, 1 / most, steps)).round().astype(int))
    points = []
    for n in sizes:
        for _ in range(repeats):
            chosen = rng.permutation(len(a))[:n], rng.permutation(len(b))[:n]
            points.append((int(n), fid(a[chosen[0]], b[chosen[1]])))
    inverse = np.array([1 / n for n, _ in points])
    slope, value = np.polyfit(inverse, np.array([found for _, found in points]), 1)
    return Extrapolated(float(value), float(slope), tuple(points))


def kid(
    first: ArrayLike, second: ArrayLike, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> MeanAndSpread:
    """Kernel distance: unbiased squared MMD of the kernel (x·y / d + 1)³ (Bińkowski 2018), mean and sd over subsets.

    Subsets are drawn without replacement and hold as many as the smaller side at most; the value may be below 0.
    """
    a, b = features(first), features(second)
    if a.shape[1] != b.shape[1]:
        raise BadData(f"features of {a.shape[1]} and of {b.shape[1]} dimensions cannot be compared")
    size = min(subset_size, len(a), len(b))
    rng = np.random.default_rng(seed)
    found = [mmd(a[rng.permutation(len(a))[:size]], b[rng.permutation(len(b))[:size]]) for _ in range(max(1, subsets))]
    return MeanAndSpread(float(np.mean(found)), float(np.std(found)))


def mmd(first: Array, second: Array) -> float:
    """Unbiased squared maximum mean discrepancy of two sets, kernel (x·y / d + 1)³."""
    d = first.shape[1]
    n, m = len(first), len(second)

    def kernel(x: Array, y: Array) -> Array:
        return np.asarray((x @ y.T / d + 1) ** 3)

    within_first, within_second = kernel(first, first), kernel(second, second)
    own = (within_first.sum() - np.trace(within_first)) / (n * (n - 1))
    other = (within_second.sum() - np.trace(within_second)) / (m * (m - 1))
    return float(own + other - 2 * kernel(first, second).mean())
