"""How good are generated images? Distances with their floor, two baselines to be beaten, and copies of training images.

Every figure stands beside real-against-real at the same number of images, because FID of few images is mostly bias
(Chong and Forsyth 2019, arXiv 1911.07023).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from secondread.metrics import distances
from secondread.metrics.neighbours import Copies, copies, prdc
from secondread.metrics.spectrum import spectral_distance
from secondread.synthesize.extractors import Extractor

Images = NDArray[np.uint8]
Floats = NDArray[np.float64]
COPY_CORRELATION = 0.98
QUALITY_COLUMNS = ["gan", "target", "repeat", "fold", "seed", "extractor", "extractor_sha256", "metric", "value",
                   "spread", "floor", "n_real", "n_generated"]  # fmt: skip


def measure(real: Images, generated: Images, extractor: Extractor, seed: int) -> list[dict[str, Any]]:
    """FID, KID, PRDC and the distance of spectra of equally many real and generated images, with floors."""
    count = min(len(real), len(generated))
    draws = np.random.default_rng(seed)
    chosen, made = real[draws.permutation(len(real))[:count]], generated[draws.permutation(len(generated))[:count]]
    ours, theirs = extractor(chosen), extractor(made)
    found = _distances(ours, theirs, seed)
    half = draws.permutation(count)
    first, second = half[: count // 2], half[count // 2 : 2 * (count // 2)]
    floor = _distances(ours[first], ours[second], seed)
    shared = {"extractor": extractor.name, "extractor_sha256": extractor.sha256, "n_real": count, "n_generated": count}
    rows = [
        shared | {"metric": metric, "value": value, "spread": spread, "floor": floor[metric][0]}
        for metric, (value, spread) in found.items()
    ]
    # the floor is of half the images, so FID stands beside it once more at that number
    at_half = {"metric": "fid_at_half_n", "value": distances.fid(ours[first], theirs[second]), "spread": np.nan}
    sharp = {"metric": "spectrum", "value": spectral_distance(chosen, made), "spread": np.nan}
    rows.append(shared | sharp | {"floor": spectral_distance(chosen[first], chosen[second])})
    return [*rows, shared | at_half | {"floor": floor["fid"][0], "n_real": count // 2, "n_generated": count // 2}]


def baselines(real: Images, seed: int) -> dict[str, Images]:
    """What any GAN must beat: uniform noise, and every pixel drawn from its own Gaussian over the real images."""
    draws = np.random.default_rng(seed)
    noise = draws.integers(0, 256, real.shape, dtype=np.uint8)
    mean, spread = real.mean(axis=0), real.std(axis=0)
    gaussian = np.clip(draws.normal(mean, spread, real.shape), 0, 255).astype(np.uint8)
    return {"noise": noise, "pixel_gaussian": gaussian}


def find_copies(
    generated: Images,
    train: Images,
    extractor: Extractor,
    unseen: Images | None = None,
    patients: ArrayLike | None = None,
) -> tuple[Copies, NDArray[np.bool_]]:
    """The nearest training image of each generated one, and which generated images repeat it.

    A candidate lies closer in feature space to a training image than the first percentile of training images of
    different `patients` lie to each other; it is a copy when the pixels also correlate above 0.98. `unseen` are
    validation images of the class.
    """
    held_out = None if unseen is None else extractor(unseen)
    found = copies(extractor(generated), extractor(train), held_out, patients=patients)
    return found, found.copied & (_correlation(generated, train[found.nearest]) > COPY_CORRELATION)


def closest_pairs(found: Copies, count: int = 16) -> NDArray[np.intp]:
    """The generated images nearest to a training image, nearest first."""
    return np.argsort(found.distance, kind="stable")[:count]


def quality_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=QUALITY_COLUMNS)


def _distances(ours: Floats, theirs: Floats, seed: int) -> dict[str, tuple[float, float]]:
    """Each metric with its spread over subsets of half the images, where it has one."""
    kid = distances.kid(ours, theirs, subset_size=max(len(ours) // 2, 2), seed=seed)
    around = prdc(ours, theirs, k=min(5, len(ours) - 1), recall_k=min(3, len(ours) - 1))
    found = {"fid": (distances.fid(ours, theirs), np.nan), "kid": (kid.value, kid.sd)}
    shares = ("precision", "recall", "density", "coverage")
    return found | {name: (float(getattr(around, name)), np.nan) for name in shares}


def _correlation(first: Images, second: Images) -> Floats:
    """Pearson correlation of the pixels of each pair of images."""
    a = first.reshape(len(first), -1).astype(np.float64)
    b = second.reshape(len(second), -1).astype(np.float64)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    correlation: Floats = np.divide((a * b).sum(axis=1), scale, out=np.zeros(len(a)), where=scale > 0)
    return correlation
