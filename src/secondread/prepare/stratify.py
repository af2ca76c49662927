"""Groups dealt out to bins so that each bin gets its share of every label, also where images have several labels.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) with whole groups instead of single images: groups with
the rarest label first, each to the bin that still wants most of that label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData


def label_counts(labels_NK: NDArray[np.float32]) -> NDArray[np.int64]:
    """Columns to balance [N, K + 1]: what is present, and last the images with nothing present."""
    present = labels_NK == 1.0
    return np.concatenate([present, ~present.any(axis=1, keepdims=True)], axis=1).astype(np.int64)


def deal(
    groups: pd.Series, labels_NK: NDArray[np.float32], shares: Sequence[float], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Bin 0 ... len(shares) - 1 of each row; rows of one group share a bin. `shares` sum to 1."""
    codes, names = pd.factorize(groups, sort=True)
    if len(names) < len(shares):
        raise BadData(
            f"{len(shares)} parts of a split need as many independent groups of images; there "
            f"{'is 1' if len(names) == 1 else f'are {len(names)}'}: more patients are needed"
        )
    sizes = np.bincount(codes, minlength=len(names))
    counts = np.zeros((len(names), labels_NK.shape[1] + 1), dtype=np.int64)
    np.add.at(counts, codes, label_counts(labels_NK))
    bins = _bins(counts, sizes, np.asarray(shares, dtype=np.float64), rng)
    return bins[codes]


def _bins(
    counts: NDArray[np.int64], sizes: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Bin of each group, given its images per label [G, L] and in all [G]."""
    totals = counts.sum(axis=0)
    wanted = shares[:, None] * totals[None, :].astype(np.float64)
    room = shares * float(sizes.sum())
    rarity = np.where(totals > 0, totals, np.iinfo(np.int64).max)
    rarest = np.where(counts > 0, rarity, np.iinfo(np.int64).max).argmin(axis=1)
    order = np.lexsort((rng.permutation(len(sizes)), -sizes, rarity[rarest]))
    bins = np.zeros(len(sizes), dtype=np.int64)
    tie = rng.random((len(sizes), len(shares))) * 1e-6 + 1e-4 * shares  # a label of one group goes to the largest bin
    relative = np.maximum(shares, 1e-9)
    for place in order.tolist():
        label = rarest[place]
        appetite = wanted[:, label] / relative + 1e-3 * room / relative / max(len(sizes), 1) + tie[place]
        chosen = int(np.argmax(np.where(shares > 0, appetite, -np.inf)))
        bins[place] = chosen
        wanted[chosen] -= counts[place]
        room[chosen] -= sizes[place]
    return _none_empty(bins, sizes, shares)


def _none_empty(bins: NDArray[np.int64], sizes: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Every bin that wants something gets at least the smallest group of the fullest bin."""
    for one in np.flatnonzero(shares > 0):
        if not (bins == one).any():
            fullest = int(np.bincount(bins, minlength=len(shares)).argmax())
            members = np.flatnonzero(bins == fullest)
            bins[members[sizes[members].argmin()]] = one
    return bins
