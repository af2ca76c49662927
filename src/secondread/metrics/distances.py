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
