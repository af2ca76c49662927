"""Which pairs of rows are worth a comparison: hashes that differ in few bits, of rows that are not joined yet.

Frames of one sequence are all alike, and their pairs grow with the square of their number. What counts is which rows
belong together, so that a pair whose rows were joined by others is passed over, and is not even listed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

Pairs = NDArray[np.int64]
BLOCK = 2_000_000
ORDER = np.random.default_rng(20_11).permutation(63)
"""Bands are made of bits far apart, since neighbouring frequencies vary together."""


class Joined:
    """Which rows belong together so far: rows of one `label` [N] do."""

    def __init__(self, count: int) -> None:
        self.label = np.arange(count, dtype=np.int64)
        self.times = 0
        """How often rows were joined."""

    def apart(self, pairs: Pairs) -> NDArray[np.bool_]:
        return np.asarray(self.label[pairs[:, 0]] != self.label[pairs[:, 1]])

    def forest(self, pairs: Pairs) -> NDArray[np.int64]:
        """Places of the fewest of these pairs that join all that they all would join; the earlier ones first."""
        ends = np.sort(self.label[pairs], axis=1)
        known, inverse = np.unique(ends, return_inverse=True)
        inverse, count = inverse.reshape(-1, 2), len(known)
        edges, first = np.unique(inverse[:, 0] * count + inverse[:, 1], return_index=True)
        weights = first.astype(np.float64) + 1.0  # a place of 0 would be no edge
        ends_of = ((edges // count).astype(np.int32), (edges % count).astype(np.int32))  # SciPy 1.15 takes no others
        graph = coo_array((weights, ends_of), shape=(count, count))
        return np.sort(minimum_spanning_tree(graph.tocsr()).data.astype(np.int64) - 1)

    def join(self, pairs: Pairs) -> None:
        count = len(self.label)
        ends = self.label[pairs]
        graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
        self.label = connected_components(graph, directed=False)[1].astype(np.int64)[self.label]
        self.times += 1


def candidate_pairs(
    hashes: NDArray[np.uint64], others: NDArray[np.uint64], radius: int, joined: Joined | None = None
) -> Iterator[Pairs]:
    """Blocks of pairs (i, j), i < j, with at most `radius` bits between hashes[i] and others[j] (or hashes[j] and
    others[i], which is the same for mirror images and negatives). A pair comes once, with the first band that it
    shares, and not at all when it was joined before its block."""
    joined = joined or Joined(len(hashes))
    earlier: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
    for band in np.array_split(ORDER, radius + 1):
        keys, other_keys = _band(hashes, band), _band(others, band)
        for left, right in _sharing(keys, other_keys, joined):
            close = (left < right) & (np.bitwise_count(hashes[left] ^ others[right]) <= radius)
            left, right = left[close], right[close]
            new = np.ones(len(left), dtype=bool)
            for one, other in earlier:
                new &= one[left] != other[right]
            if new.any():
                yield np.stack([left[new], right[new]], axis=1)
        earlier.append((keys, other_keys))


def _band(hashes: NDArray[np.uint64], bits: NDArray[np.int64]) -> NDArray[np.uint64]:
    key = np.zeros(len(hashes), np.uint64)
    for place, bit in enumerate(bits.tolist()):
        key |= ((hashes >> np.uint64(bit)) & np.uint64(1)) << np.uint64(place)
    return key


def _sharing(
    keys: NDArray[np.uint64], other_keys: NDArray[np.uint64], joined: Joined
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All (i, j) with keys[i] == other_keys[j] that are not joined, in blocks; planned anew when rows were joined."""
    count, row = len(keys), 0
    while row < count:
        place = other_keys.astype(np.int64) * count + joined.label  # sorted so, what a row is joined with is one range
        order = np.argsort(place, kind="stable")
        place, key = place[order], keys[row:].astype(np.int64) * count
        start, end = np.searchsorted(place, key), np.searchsorted(place, key + count)
        own = np.searchsorted(place, key + joined.label[row:])
        skipped = np.searchsorted(place, key + joined.label[row:], "right") - own
        bounds = np.concatenate([[0], np.cumsum(end - start - skipped)])
        planned, first, at = joined.times, row, 0
        while row < count and joined.times == planned:
            stop = max(int(np.searchsorted(bounds, bounds[at] + BLOCK, "right")) - 1, at + 1)
            lengths = np.diff(bounds[at : stop + 1])
            near = np.repeat(np.arange(at, stop), lengths)
            position = start[near] + np.arange(len(near)) - np.repeat(bounds[at:stop] - bounds[at], lengths)
            position += np.where(position >= own[near], skipped[near], 0)
            at, row = stop, first + stop
            yield near + first, order[position]
