"""FID beside scipy's matrix square root: same number, how much faster. `python bench/fid.py [--dimensions 2048]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from secondread.metrics.distances import fid

Array = NDArray[np.float64]


def by_square_root(a: Array, b: Array) -> float:
    """The textbook form that most published code uses."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(first @ second).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root))


def by_eigenvalues(a: Array, b: Array) -> float:
    """The form of torchmetrics: the square roots of the eigenvalues of the product."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shared = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second) - 2 * shared)


def timed(work: Callable[[Array, Array], float], a: Array, b: Array) -> tuple[float, float]:
    start = time.perf_counter()
    value = work(a, b)
    return value, time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, default=2048)
    d = parser.parse_args().dimensions
    rng = np.random.default_rng(0)
    spread = np.sqrt(1 / np.arange(1, d + 1))
    print(f"features of {d} dimensions; seconds, and ratio to scipy.linalg.sqrtm")
    for n in (2 * d, 600):
        a, b = rng.normal(size=(n, d)) * spread, rng.normal(size=(n, d)) * spread + 0.1 * spread
        rows = [(name, *timed(work, a, b)) for name, work in
                (("secondread", fid), ("eigvals", by_eigenvalues), ("sqrtm", by_square_root))]  # fmt: skip
        slowest = rows[-1][2]
        for name, value, seconds in rows:
            print(f"n = {n:5d}  {name:11s} FID {value:12.8f}  {seconds:7.2f} s  {slowest / seconds:6.1f}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
