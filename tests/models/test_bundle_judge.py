"""Decisions, doubts and refusals: those of the operating point, and those of the gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.tiny_bundle import discs, opened
from secondread.core.tables import Task
from secondread.metrics.calibration import OperatingPoint, fit_operating_point
from secondread.models.bundle import Bundle
from secondread.models.bundle.card import BundleCard
from secondread.models.bundle.gate import (
    compressed,
    fit_cloud,
    fit_gate,
    looks,
    statistics_from,
    threshold_for,
    together,
)
from secondread.models.bundle.judge import Outputs, decide, in_doubt, judge

CLASSES = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "multilabel": ["x", "y", "z"]}


def card_of_point(point: OperatingPoint) -> BundleCard:
    return BundleCard(
        "n", "s", "a", "m", point.task, list(point.classes), 1, 32, "stretch", "full_range", 0.0,
        dict(zip(point.classes, point.thresholds, strict=True)),
        {name: list(band) for name, band in zip(point.classes, point.uncertain, strict=True)},
    )  # fmt: skip


def fitted(task: Task, seed: int) -> tuple[OperatingPoint, NDArray[np.float64]]:
    drawn = np.random.default_rng(seed)
    names = CLASSES[task]
    if task == "multilabel":
        truth = (drawn.random((300, 3)) < 0.4).astype(np.float64)
    else:
        truth = np.eye(len(names))[drawn.integers(0, len(names), 300)]
    logits = truth * 1.5 + drawn.normal(0, 1, truth.shape)
    point = fit_operating_point(logits, truth, task=task, classes=names, uncertain_share=0.2)
    return point, point.probabilities(drawn.normal(0, 2, (200, len(names))))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.sampled_from(["binary", "multiclass", "multilabel"]), st.integers(0, 10_000))
def test_decisions_and_doubts_are_those_of_the_operating_point(task: Task, seed: int) -> None:
    point, chances = fitted(task, seed)
    card = card_of_point(point)
    wanted, doubted = point.decide(chances), point.is_uncertain(chances).any(1)
    for at, row in enumerate(chances):
        told = dict(zip(point.classes, map(float, row), strict=True))
        decision = decide(card, told)
        names = decision if isinstance(decision, list) else [decision]
        assert names == [name for name, one in zip(point.classes, wanted[at], strict=True) if one == 1]
        assert bool(in_doubt(card, told, decision)) == doubted[at]


def outputs(probabilities: list[list[float]], features: NDArray[np.float32] | None = None) -> Outputs:
    chances = np.asarray(probabilities, np.float32)
    return Outputs(chances, chances, np.ones((len(chances), 4), np.float32) if features is None else features)


def test_statuses_and_reasons(tmp_path: Path) -> None:
    card = opened(tmp_path / "b").card
    sure, unsure, broken = judge(card, None, outputs([[0.1, 0.9], [0.48, 0.52], [np.nan, np.nan]]))
    assert (sure.status, sure.decision, sure.reason, sure.gate_distance) == ("read", "pneumonia", "", None)
    assert unsure.status == "uncertain"
    assert "0.52" in unsure.reason
    assert broken.status == "refused"
    assert broken.probabilities == {}


def test_the_gate_refuses_what_lies_outside(tmp_path: Path) -> None:
    bundle = opened(tmp_path / "b")
    disc = discs(1, 32, 1, seed=77)[0, 0]
    stripes = np.tile(np.array([0, 255], np.uint8), (32, 16))
    near, far = bundle.judge(bundle.run(np.stack([disc, stripes])[:, None]))
    assert near.status != "refused"
    assert near.gate_distance is not None
    assert near.gate_distance <= 1
    assert far.status == "refused"
    assert far.decision in bundle.card.classes
    assert far.gate_distance is not None
    assert far.gate_distance > 1
    assert "brightness and contrast" in far.reason


def kind(seed: int, centre: int, count: int = 400, width: int = 64) -> NDArray[np.float32]:
    """Features on a few directions of their own around a centre of their own."""
    of_kind, drawn = np.random.default_rng(centre), np.random.default_rng(seed)
    basis = of_kind.normal(size=(6, width))
    values = of_kind.normal(3, 1, width) + drawn.normal(size=(count, 6)) @ basis * 0.3
    return np.maximum(values + drawn.normal(0, 0.1, (count, width)), 0).astype(np.float32)


def test_the_gate_passes_its_own_kind_and_refuses_another_by_either_part() -> None:
    features, seen = (kind(0, 1), kind(1, 1)), (kind(2, 3, width=18), kind(3, 3, width=18))
    statistics, limit = fit_gate(features, seen, 0.98)

    def refused(of_features: int, of_looks: int) -> float:
        return float((statistics.distance(kind(4, of_features), kind(5, of_looks, width=18)) > limit).mean())

    assert refused(1, 3) <= 0.06
    assert refused(2, 3) >= 0.99
    assert refused(1, 4) >= 0.99


def test_what_is_a_little_strange_in_both_is_refused_but_not_by_gates_of_before() -> None:
    features, seen = (kind(0, 1), kind(1, 1)), (kind(2, 3, width=18), kind(3, 3, width=18))
    statistics, limit = fit_gate(features, seen, 0.98)
    larger = threshold_for(statistics.distance(features[1], seen[1], "mahalanobis"), 0.98)
    strange, usual = np.array([0.95], np.float32), np.array([0.1], np.float32)
    assert together(strange, strange, "mahalanobis_joint") > limit
    assert together(strange, usual, "mahalanobis_joint") < limit
    assert together(strange, strange, "mahalanobis") < larger


def test_a_bundle_of_before_is_judged_as_it_was(tmp_path: Path) -> None:
    """Its threshold was fitted to the larger of the two distances."""
    bundle = opened(tmp_path / "b")
    assert bundle.card.gate is not None
    assert bundle.gate is not None
    before = replace(bundle.card, gate=replace(bundle.card.gate, kind="mahalanobis", threshold=1.0))
    told = bundle.run(discs(1, 32, 20, seed=7))
    assert told.looks is not None
    apart = np.maximum(*bundle.gate.distances(told.features, told.looks))
    assert [one.gate_distance for one in judge(before, bundle.gate, told)] == pytest.approx(apart.tolist())


def test_the_distance_is_mahalanobis_s() -> None:
    """With all directions but one kept it is the textbook distance, in units of the validation's quantile."""
    values = np.random.default_rng(0).normal(size=(500, 5)).astype(np.float32) * [1, 2, 3, 4, 0.5] + 4
    cloud = fit_cloud(values.astype(np.float32), values.astype(np.float32), 0.9, kept=1.0)
    covariance = np.cov(values, rowvar=False)
    apart = values - values.mean(0)
    wanted = np.sqrt(np.einsum("nf,fg,ng->n", apart, np.linalg.inv(covariance), apart) / 5)
    found = cloud.distance(values.astype(np.float32)) * cloud.reach[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-2)
    assert (found <= cloud.reach[0]).mean() == pytest.approx(0.9, abs=0.01)


def test_the_gate_needs_fewer_images_than_features_and_survives_storage() -> None:
    features, seen = (kind(0, 1, 40, 300), kind(1, 1, 40, 300)), (kind(2, 3, 40, 18), kind(3, 3, 40, 18))
    statistics, _ = fit_gate(features, seen, 0.98)
    again = statistics_from(statistics.arrays())
    distances = statistics.distance(features[1], seen[1])
    np.testing.assert_array_equal(again.distance(features[1], seen[1]), distances)
    assert np.isfinite(distances).all()


def test_what_never_varied_in_training_may_not_vary_much() -> None:
    grey = np.random.default_rng(0).integers(60, 200, (80, 1, 32, 32)).astype(np.uint8)
    same = np.repeat(grey, 3, axis=1)  # grey images of a study in colour
    tinted = same.copy()
    tinted[:, 0] += 40
    features = kind(0, 1, 80)
    statistics, limit = fit_gate((features[:40], features[40:]), (looks(same[:40]), looks(same[40:])), 0.98)
    assert (statistics.distance(features[40:], looks(tinted[40:])) > limit).all()


@pytest.mark.parametrize(("channels", "size"), [(1, 16), (1, 33), (3, 64)])
def test_looks_are_numbers_of_the_image_alone(channels: int, size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, channels, size, size)).astype(np.uint8)
    told = looks(images)
    assert np.isfinite(told).all()
    np.testing.assert_allclose(looks(images[2:3])[0], told[2], rtol=1e-5)
    flat = looks(np.full((1, channels, size, size), 255, np.uint8))
    assert np.isfinite(flat).all()
    assert told.shape[1] == flat.shape[1]


def test_compressed_features_have_length_one_and_keep_their_signs() -> None:
    values = np.array([[4.0, -9.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(compressed(values) * np.sqrt(13), [[2, -3, 0], [0, 0, 0]], rtol=1e-6)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.floats(0.5, 0.999))
def test_the_threshold_leaves_the_asked_share_within(distances: list[float], share: float) -> None:
    values = np.asarray(distances, np.float32)
    assert (values <= threshold_for(values, share)).mean() >= min(share, 1 - 1 / len(values))


def test_one_bundle_serves_several_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    bundle: Bundle = opened(tmp_path / "b")
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 32, 32)).astype(np.uint8)
    alone: Any = bundle.run(images).logits
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: bundle.run(images).logits, range(16)):
            np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize(("task", "channels"), [("binary", 1), ("multiclass", 3), ("multilabel", 1)])
def test_every_task_and_channel_count(tmp_path: Path, task: Any, channels: Any) -> None:
    bundle = opened(tmp_path / "b", task=task, channels=channels)
    images = np.random.default_rng(0).integers(0, 256, (3, channels, 32, 32)).astype(np.uint8)
    made = bundle.run(images, heatmaps=True)
    assert made.logits.shape == made.probabilities.shape == (3, len(bundle.card.classes))
    assert made.heatmaps is not None
    assert made.heatmaps.shape == (3, len(bundle.card.classes), 8, 8)
    for reading in bundle.judge(made):
        assert isinstance(reading.decision, list) == (task == "multilabel")
