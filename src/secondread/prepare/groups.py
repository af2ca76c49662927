"""Which images belong together: the same patient, the same content, or near duplicates of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Pairs = NDArray[np.int64]


def clusters(count: int, links: Sequence[Pairs]) -> NDArray[np.int64]:
    """Number of the connected component of each of `count` rows, given pairs of rows [P, 2] that belong together."""
    pairs = np.concatenate([np.empty((0, 2), np.int64), *links])
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def same(names: pd.Series) -> Pairs:
    """Pairs that link all rows of one name; rows without a name are linked to nothing."""
    known = np.flatnonzero(names.notna().to_numpy())
    codes = pd.factorize(names.iloc[known])[0]
    order = np.argsort(codes, kind="stable")
    sorted_codes, places = codes[order], known[order]
    linked = sorted_codes[1:] == sorted_codes[:-1]
    return np.stack([places[:-1][linked], places[1:][linked]], axis=1).astype(np.int64)


def named_clusters(numbers: NDArray[np.int64], names: pd.Series, prefix: str) -> pd.Series:
    """A stable name for each cluster: that of its first member in alphabetical order."""
    first = names.groupby(numbers).min()
    return prefix + pd.Series(first.to_numpy()[numbers], index=names.index).astype("string")


def several(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a row's cluster has more than one row."""
    return np.bincount(numbers)[numbers] > 1
