"""Near duplicates: a perceptual hash proposes, correlation decides.

Candidates are pairs of images whose hashes (of the image, its mirror image, or their negatives) differ in few bits.
They are found by banding: of r + 1 bands of bits, two hashes within r bits agree in at least one; only images that
share a band are compared, so the work does not grow with the square of their number. A pair is a duplicate when the
small pictures correlate after the mean picture of the set was taken out; without that, all chests look alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FULL = np.uint64(0x7FFF_FFFF_FFFF_FFFF)
"""The 63 bits that carry the picture; the first stands for its mean and is left out."""
RADIUS, SMALL_RADIUS = 8, 4
FEW_IMAGES = 20_000
"""Up to this many images the wider radius is searched: gamma and crops move more bits."""
ALIKE = 0.935
COARSE, COARSE_ALIKE = 16, 0.85
BLOCK = 2_000_000
ORDER = np.random.default_rng(20_11).permutation(63)
"""Bands are made of bits far apart, since neighbouring frequencies vary together."""


@dataclass(frozen=True)
class Near:
    """Pairs of rows [P, 2] that are near duplicates, how alike they are [P], and what turns one into the other [P]."""

    pairs: NDArray[np.int64]
    alike: NDArray[np.float32]
    kind: NDArray[np.object_]
    candidates: int


VARIANTS = ("copy", "mirrored", "negative", "mirrored negative")


def near_duplicates(
    phash: NDArray[np.uint64], mirrored: NDArray[np.uint64], small: NDArray[np.uint8], *, alike: float = ALIKE
) -> Near:
    """Near duplicates among N images: hashes [N] of the image and its mirror image, small pictures uint8 [N, S, S]."""
    radius = RADIUS if len(phash) <= FEW_IMAGES else SMALL_RADIUS
    plain, turned = phash & FULL, mirrored & FULL
    asked = {"copy": plain, "mirrored": turned, "negative": plain ^ FULL, "mirrored negative": turned ^ FULL}
    if len(phash) < 2:
        return Near(np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty(0, object), 0)
    pictures = _Pictures(small)
    found: dict[tuple[int, int], tuple[float, str]] = {}
    count = 0
    for kind in VARIANTS:
        for pairs in candidate_pairs(plain, asked[kind], radius):
            count += len(pairs)
            for (left, right), value in pictures.verified(pairs, kind, alike):
                key = (min(left, right), max(left, right))
                if value > found.get(key, (0.0, ""))[0]:
                    found[key] = (value, kind)
    ordered = sorted(found)
    return Near(
        np.array(ordered, np.int64).reshape(-1, 2),
        np.array([found[key][0] for key in ordered], np.float32),
        np.array([found[key][1] for key in ordered], object),
        count,
    )


def candidate_pairs(hashes: NDArray[np.uint64], others: NDArray[np.uint64], radius: int) -> Iterator[NDArray[np.int64]]:
    """Blocks of pairs (i, j), i < j, with at most `radius` bits between hashes[i] and others[j] (or hashes[j] and
    others[i], which is the same for mirror images and negatives). A pair comes once, with the
    first band that it shares: frames of one sequence agree in all bands, and comparing pictures is what takes long."""
    earlier: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
    for band in np.array_split(ORDER, radius + 1):
        keys, other_keys = _band(hashes, band), _band(others, band)
        order = np.argsort(other_keys, kind="stable")
        sorted_keys = other_keys[order]
        start, end = np.searchsorted(sorted_keys, keys, "left"), np.searchsorted(sorted_keys, keys, "right")
        for left, right in _expanded(start, end, order):
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


def _expanded(
    start: NDArray[np.int64], end: NDArray[np.int64], order: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All (row, order[k]) with start[row] <= k < end[row], in blocks."""
    lengths = end - start
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    row = 0
    while row < len(start):
        stop = max(int(np.searchsorted(bounds, bounds[row] + BLOCK, "right")) - 1, row + 1)
        own = lengths[row:stop]
        left = np.repeat(np.arange(row, stop), own)
        within = np.arange(len(left)) - np.repeat(bounds[row:stop] - bounds[row], own)
        yield left, order[np.repeat(start[row:stop], own) + within]
        row = stop


class _Pictures:
    """Small pictures at two sizes: a coarse one to sift, the full one to decide."""

    def __init__(self, small: NDArray[np.uint8]) -> None:
        self.small = small
        step = max(1, len(small) // 5000)
        mean = small[::step].mean(axis=0, dtype=np.float64).astype(np.float32)
        self.usual = _unit(mean[None])[0]
        self.coarse = np.concatenate([_reduced(part) for part in _blocks(small, 4096)])
        self.coarse_usual = _unit(_reduced(mean[None]))[0]

    def verified(self, pairs: NDArray[np.int64], kind: str, alike: float) -> Iterator[tuple[tuple[int, int], float]]:
        for block in _blocks(pairs, 50_000):
            left, right = self.coarse[block[:, 0]], _turned(self.coarse[block[:, 1]], kind)
            close = block[_correlation(left, right, self.coarse_usual) > COARSE_ALIKE]
            for part in _blocks(close, 512):
                left = self.small[part[:, 0]].astype(np.float32)
                right = _turned(self.small[part[:, 1]].astype(np.float32), kind)
                values = _correlation(left, right, self.usual)
                for (i, j), value in zip(part.tolist(), values.tolist(), strict=True):
                    if value >= alike:
                        yield (i, j), value


def _blocks(array: NDArray[Any], most: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(array), most):
        yield array[start : start + most]


def _reduced(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Pictures [P, S, S] at 16 x 16."""
    factor = pictures.shape[1] // COARSE
    blocks = pictures.reshape(len(pictures), COARSE, factor, COARSE, factor)
    return np.asarray(blocks.mean(axis=(2, 4), dtype=np.float32))


def _turned(pictures: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    pictures = pictures[:, :, ::-1] if "mirrored" in kind else pictures
    return np.float32(255.0) - pictures if "negative" in kind else pictures


def _unit(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pictures as vectors [P, S * S] of mean 0 and length 1."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.einsum("ij,ij->i", flat, flat))[:, None]
    return np.asarray(flat / np.maximum(norms, np.float32(1e-6)))


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32], usual: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlation of pictures [P, S, S], pair by pair, of what is left when the usual picture is taken out of each.

    Taken out by regression, not by subtraction, so that a negative or a faint image loses its own share of it.
    """
    left, right = _unit(a), _unit(b)
    left, right = _unit(left - np.outer(left @ usual, usual)), _unit(right - np.outer(right @ usual, usual))
    return np.asarray(np.einsum("ij,ij->i", left, right))
