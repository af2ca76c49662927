"""FID, KID and PRDC against torchmetrics and definitions; the floor; copies; a collapsed generator."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from secondread.core.errors import BadData
from secondread.metrics import neighbours
from secondread.metrics.distances import fid, kid
from secondread.metrics.neighbours import copies, prdc


def clouds(n: int = 400, m: int = 300, d: int = 24, shift: float = 0.4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=(n, d)) @ mix + 3, rng.normal(size=(m, d)) @ (mix * 1.2) + 3 + shift


class Same(torch.nn.Module):
    """Gives the features back that it is fed as images."""

    num_features = 24

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.reshape(len(images), -1)


@pytest.mark.parametrize("n", [400, 20])
def test_fid_equals_torchmetrics(n: int) -> None:
    real, made = clouds(n, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = FrechetInceptionDistance(feature=Same(), normalize=True, input_img_size=(3, 2, 4)).set_dtype(
            torch.float64
        )
        peer.update(torch.tensor(real), real=True)
        peer.update(torch.tensor(made), real=False)
        expected = float(peer.compute())
    assert_allclose(fid(real, made), expected, rtol=1e-3 if n > 24 else 1e-2)


def textbook(a: np.ndarray, b: np.ndarray) -> float:
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one + other - 2 * sqrtm(one @ other).real))


def test_both_forms_of_fid_equal_the_textbook() -> None:
    real, made = clouds()
    assert_allclose(fid(real, made), textbook(real, made), rtol=1e-9)
    assert_allclose(fid(real, made), fid(made, real), rtol=1e-9)
    few = real[:15], made[:18]  # fewer rows than dimensions: the cross-Gram
    assert_allclose(fid(*few), textbook(*few), rtol=1e-4)
    assert_allclose(fid(real[:10], made), textbook(real[:10], made), rtol=1e-4)
    dead = real.copy(), made.copy()
    dead[0][:, 3] = dead[1][:, 3] = 0.5  # a feature that never fires leaves the covariance singular
    alive = np.delete(real, 3, 1), np.delete(made, 3, 1)
    assert_allclose(fid(*dead), fid(*alive), rtol=1e-6)


def test_fid_of_a_set_with_itself_is_nothing() -> None:
    real, _ = clouds(n=200)
    assert abs(fid(real, real)) < 1e-9
    same = clouds(n=50, m=50, shift=0, seed=5)[0]
    twin = clouds(n=50, m=50, shift=0, seed=5)[0] + 0.0
    assert abs(fid(same, twin)) < 1e-9


def test_kid_equals_torchmetrics() -> None:
    real, made = clouds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = KernelInceptionDistance(feature=Same(), subsets=1, subset_size=300, normalize=True).set_dtype(
            torch.float64
        )
        peer.update(torch.tensor(real[:300]), real=True)
        peer.update(torch.tensor(made), real=False)
        expected, _ = peer.compute()
    found = kid(real[:300], made, subsets=1, subset_size=300)
    assert_allclose(found.value, float(expected), rtol=1e-3)


def test_kid_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    found = [kid(rng.normal(size=(40, 8)), rng.normal(size=(40, 8)), subsets=1).value for _ in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)
    real, made = clouds(80, 60)
    assert kid(real, made, subsets=20, subset_size=50).sd > 0
    assert kid(real, made, subsets=3, seed=1) == kid(real, made, subsets=3, seed=1)


def by_definition(real: np.ndarray, made: np.ndarray, k: int, recall_k: int) -> list[float]:
    """PRDC from full distance matrices, as its authors define it."""

    def radius(x: np.ndarray, which: int) -> np.ndarray:
        return np.sort(pairwise_distances(x), axis=1)[:, which]  # column 0 is the row itself

    between = pairwise_distances(real, made)
    return [
        (between < radius(real, recall_k)[:, None]).any(0).mean(),
        (between < radius(made, recall_k)[None]).any(1).mean(),
        (between < radius(real, k)[:, None]).sum(0).mean() / k,
        (between.min(1) < radius(real, k)).mean(),
    ]


@pytest.mark.parametrize(("k", "recall_k"), [(5, 3), (3, 3)])
def test_prdc_equals_its_definition_in_one_block_or_many(
    k: int, recall_k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = clouds()
    expected = by_definition(real, made, k, recall_k)
    for chunk in (1024, 37):
        monkeypatch.setattr(neighbours, "CHUNK", chunk)
        found = prdc(real, made, k=k, recall_k=recall_k)
        assert_allclose([found.precision, found.recall, found.density, found.coverage], expected, atol=1e-9)


def test_a_collapsed_generator_has_high_precision_and_low_recall() -> None:
    real, _ = clouds(d=8)
    inside = real[np.argsort(((real - real.mean(0)) ** 2).sum(1))[:3]]
    made = np.repeat(inside, 100, axis=0) + 0.05 * np.random.default_rng(0).normal(size=(300, 8))
    found = prdc(real, made)
    assert found.precision > 0.95
    assert found.recall < 0.05
    assert found.coverage < 0.3
    other = prdc(real, real[:300] + 0.01)
    assert other.recall > 0.6
    assert other.coverage > 0.6


def test_copies_are_found_and_new_images_are_not() -> None:
    rng = np.random.default_rng(0)
    train, holdout, fresh = (rng.normal(size=(n, 16)) for n in (400, 200, 200))
    stolen = train[:20] + 0.001 * rng.normal(size=(20, 16))
    found = copies(np.concatenate([stolen, fresh]), train, holdout)
    assert found.copied[:20].all()
    assert found.nearest[:20].tolist() == list(range(20))
    assert found.copied[20:].mean() < 0.04
    distance, nearest = NearestNeighbors(n_neighbors=1).fit(train).kneighbors(np.concatenate([stolen, fresh]))
    assert_allclose(found.distance, distance[:, 0], atol=1e-9)
    assert np.array_equal(found.nearest, nearest[:, 0])
    assert 0.4 < copies(fresh, train, holdout).closer_than_holdout < 0.6
    assert copies(stolen, train, holdout).closer_than_holdout == 1.0
    assert copies(stolen, train).authentic == 0.0
    assert math.isnan(copies(fresh, train).closer_than_holdout)


def test_images_of_one_patient_do_not_lower_the_threshold() -> None:
    rng = np.random.default_rng(0)
    train = np.repeat(rng.normal(size=(150, 16)), 2, axis=0) + 0.01 * rng.normal(size=(300, 16))
    patients = np.repeat(np.arange(150), 2)
    near = train[:30] + 0.1 * rng.normal(size=(30, 16))
    assert not copies(near, train).copied.any()  # two exposures of a patient are nearer to each other than that
    assert copies(near, train, patients=patients).copied.all()
    twins = np.concatenate([train, train[:1]])
    assert copies(train[:1], twins).copied.all()


def test_features_that_cannot_be_compared_are_refused() -> None:
    real, made = clouds(30, 30)
    for function in (fid, kid, prdc, copies):
        with pytest.raises(BadData, match="dimensions"):
            function(real, made[:, :5])
        with pytest.raises(BadData, match="no numbers"):
            function(real, np.where(made > 4, np.nan, made))
    with pytest.raises(BadData, match="at least 6"):
        prdc(real[:4], made)
    with pytest.raises(BadData, match="at least 2"):
        fid(real[:1], made)
    with pytest.raises(BadData, match=r"\[n, d\]"):
        fid(real[0], made)
