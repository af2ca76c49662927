"""Near duplicates: a perceptual hash proposes, correlation decides.

Candidates are pairs of images whose hashes (of the image, its mirror image, or their negatives) differ in few bits.
They are found by banding: of r + 1 bands of bits, two hashes within r bits agree in at least one; only images that
share a band, and are not joined by others yet, are compared, so the work does not grow with the square of their
number. A pair is a duplicate when the small pictures correlate after the mean picture of the set was taken out; without
that, all chests look alike. (A set of copies of one image has that image for its mean: see `NEARLY_USUAL`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.prepare.near_search import Joined, Pairs, candidate_pairs
from secondread.prepare.small import Small

FULL = np.uint64(0x7FFF_FFFF_FFFF_FFFF)
"""The 63 bits that carry the picture; the first stands for its mean and is left out."""
RADIUS, SMALL_RADIUS = 8, 4
FEW_IMAGES = 20_000
"""Up to this many images the wider radius is searched: gamma and crops move more bits."""
ALIKE = 0.935
NEARLY_USUAL, SAME = 0.98, 0.985
"""Of pictures that are the mean picture but for so little, nothing telling is left without it: they are compared as
they are. Where many pictures of a set are copies of one, the mean is that one; of chests none comes so close to it."""
COARSE, COARSE_ALIKE = 16, 0.85
TOGETHER = 512
"""Pairs compared at once where those before were mostly not alike."""


@dataclass(frozen=True)
class Near:
    """Pairs of rows [P, 2] that join all near duplicates, how alike they are [P], what turns one into the other [P].

    There are as many as it takes: one fewer than a group has images. Further pairs of a group may be alike too.
    """

    pairs: NDArray[np.int64]
    alike: NDArray[np.float32]
    kind: NDArray[np.object_]


NO_NEAR = Near(np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty(0, object))
VARIANTS = ("copy", "mirrored", "negative", "mirrored negative")


def near_duplicates(
    phash: NDArray[np.uint64], mirrored: NDArray[np.uint64], small: Small, *, alike: float = ALIKE
) -> Near:
    """Near duplicates among N images: hashes [N] of the image and its mirror image, small pictures uint8 [N, S, S]."""
    if len(phash) < 2:
        return NO_NEAR
    radius = RADIUS if len(phash) <= FEW_IMAGES else SMALL_RADIUS
    plain, turned = phash & FULL, mirrored & FULL
    asked = {"copy": plain, "mirrored": turned, "negative": plain ^ FULL, "mirrored negative": turned ^ FULL}
    pictures, joined = _Pictures(small), Joined(len(phash))
    found = [np.empty((0, 2), np.int64)]
    for kind in VARIANTS:
        for pairs in candidate_pairs(plain, asked[kind], radius, joined):
            found += _joining(pairs, pictures, kind, alike, joined)
    pairs = np.concatenate(found)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    values, kinds = np.zeros(len(pairs), np.float32), np.full(len(pairs), VARIANTS[0], object)
    for kind in VARIANTS:  # a picture that is its own mirror image is a copy and mirrored: the closer of the two counts
        close = np.flatnonzero(np.bitwise_count(plain[pairs[:, 0]] ^ asked[kind][pairs[:, 1]]) <= radius)
        hits, how = pictures.verified(pairs[close], kind, alike)
        better = how > values[close[hits]]
        values[close[hits[better]]], kinds[close[hits[better]]] = how[better], kind
    return Near(pairs, values, kinds)


def _joining(pairs: Pairs, pictures: _Pictures, kind: str, alike: float, joined: Joined) -> list[Pairs]:
    """Compare pairs until all that are alike are joined; those that joined something.

    First those that would join all by the fewest comparisons: where all are alike, nothing is left then. Where many
    are not, more and more are compared at once.
    """
    made, more = [], 0
    pairs = pairs[joined.apart(pairs)]
    while len(pairs):
        chosen = np.zeros(len(pairs), dtype=bool)
        chosen[:more] = True
        chosen[joined.forest(pairs)] = True
        tried = pairs[chosen]
        hits, _ = pictures.verified(tried, kind, alike)
        if len(hits):
            alikes = tried[hits]
            made.append(alikes[joined.forest(alikes)])
            joined.join(made[-1])
        more = 0 if 2 * len(hits) > len(tried) else max(TOGETHER, 2 * len(tried))
        pairs = pairs[~chosen]
        pairs = pairs[joined.apart(pairs)]
    return made


class _Pictures:
    """Small pictures at two sizes: a coarse one to sift, the full one to decide."""

    def __init__(self, small: Small) -> None:
        self.small = small
        step = max(1, len(small) // 5000)
        mean = small[::step].mean(axis=0, dtype=np.float64).astype(np.float32)
        self.usual = _unit(mean[None])[0]
        self.coarse = np.empty((len(small), COARSE, COARSE), np.float32)
        for place in _blocks(np.arange(len(small)), 4096):
            self.coarse[place] = _reduced(small[place])
        self.coarse_usual = _unit(_reduced(mean[None]))[0]

    def verified(self, pairs: Pairs, kind: str, alike: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Places of the pairs that are alike, and how alike they are."""
        hits, how = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for block in _blocks(np.arange(len(pairs)), 50_000):
            left, right = self.coarse[pairs[block, 0]], _turned(self.coarse[pairs[block, 1]], kind)
            close = block[_correlation(left, right, self.coarse_usual) > COARSE_ALIKE]
            for part in _blocks(close, 512):
                left = self.small[pairs[part, 0]].astype(np.float32)
                right = _turned(self.small[pairs[part, 1]].astype(np.float32), kind)
                values = _correlation(left, right, self.usual)
                hits.append(part[values >= alike])
                how.append(values[values >= alike])
        return np.concatenate(hits), np.concatenate(how)


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
    left_usual, right_usual = left @ usual, right @ usual
    whole = np.einsum("ij,ij->i", left, right)
    left, right = _unit(left - np.outer(left_usual, usual)), _unit(right - np.outer(right_usual, usual))
    as_they_are = (np.minimum(left_usual, right_usual) >= NEARLY_USUAL) & (whole >= SAME)
    return np.asarray(np.where(as_they_are, whole, np.einsum("ij,ij->i", left, right)))
