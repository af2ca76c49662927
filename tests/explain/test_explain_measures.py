"""Figures on made-up maps whose quality is known."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from secondread.core.tables import Dataset
from secondread.explain import quality
from secondread.explain.body import body_mask, share_outside
from secondread.explain.faithfulness import deletion_and_insertion, rank_correlation
from secondread.explain.localisation import (
    best_cut,
    centre_prior,
    enlarged,
    mass_inside,
    mean_of,
    measures,
    overlap,
    pointing_hit,
)
from secondread.explain.masks import Masks
from secondread.explain.selection import Judged, select


def square(size: int = 32, top: int = 8, side: int = 8) -> np.ndarray:  # type: ignore[type-arg]
    mask = np.zeros((size, size), bool)
    mask[top : top + side, top : top + side] = True
    return mask


def test_a_perfect_map_and_an_opposite_one() -> None:
    mask = square()
    good, bad = mask.astype(np.float32), (~mask).astype(np.float32)
    assert (pointing_hit(good, mask), mass_inside(good, mask), overlap(good, mask, 0.5)) == (1, 1, 1)
    assert (pointing_hit(bad, mask), mass_inside(bad, mask), overlap(bad, mask, 0.5)) == (0, 0, 0)
    empty = np.zeros_like(good)
    assert (pointing_hit(empty, mask), mass_inside(empty, mask), overlap(empty, mask, 0.5)) == (0, 0, 0)


def test_an_even_map_scores_its_area() -> None:
    mask, even = square(), np.ones((32, 32), np.float32)
    for one in (pointing_hit(even, mask), mass_inside(even, mask), overlap(even, mask, 0.5)):
        assert one == pytest.approx(mask.mean())


def test_the_best_cut_finds_the_mask_s_level() -> None:
    mask = square()
    heat = np.where(mask, 1.0, 0.55).astype(np.float32)
    assert best_cut([heat], [mask]) >= 0.6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert best_cut([], []) == 0.5  # validation without masks


def test_the_centre_prior_is_largest_in_the_middle() -> None:
    prior = centre_prior(33)
    assert np.unravel_index(prior.argmax(), prior.shape) == (16, 16)
    np.testing.assert_allclose(prior, prior[::-1, ::-1], rtol=1e-5)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 10))
def test_intervals_hold_the_mean_and_grow_with_grouping(values: list[float], groups: int) -> None:
    told = mean_of(values, [str(at % groups) for at in range(len(values))])
    assert told.low - 1e-9 <= told.value <= told.high + 1e-9
    assert told.n == len(values)


def test_no_cases_give_no_figure() -> None:
    told = measures([], [], [], 0.5)["iou"]
    assert told.n == 0
    assert np.isnan(told.value)


def test_enlarging_keeps_the_place_of_the_peak() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[1, 2] = 1
    large = enlarged(heat, 64)
    row, column = (int(at.mean()) for at in np.nonzero(large == large.max()))
    assert abs(row - 23.5) <= 2
    assert abs(column - 39.5) <= 2


def test_the_body_is_inside_dark_borders_and_keeps_dark_lungs() -> None:
    image = np.zeros((64, 64), np.uint8)
    image[8:56, 12:52] = 160
    image[20:40, 20:30] = 5  # a lung: dark, but not connected to the border
    body = body_mask(image)
    assert body[30, 25]
    assert body[50, 15]
    assert not body[2, 2]
    heat = np.zeros((64, 64), np.float32)
    heat[2, 2], heat[30, 25] = 1, 3
    assert share_outside(heat, body) == pytest.approx(0.25)
    assert share_outside(np.zeros((64, 64), np.float32), body) == 0


def test_a_map_of_what_matters_deletes_fast_and_inserts_fast() -> None:
    """A classifier that looks at one square: the true map beats its opposite in both."""
    mask = square()
    image = np.where(mask, 250, 10).astype(np.uint8)[None]

    def probabilities(images):  # type: ignore[no-untyped-def]
        lit = images.numpy()[:, 0][:, mask].mean(1) / 255.0
        return np.stack([1 - lit, lit], 1)

    good = deletion_and_insertion(probabilities, image, mask.astype(np.float32), 1)
    bad = deletion_and_insertion(probabilities, image, (~mask).astype(np.float32), 1)
    assert good[0] < bad[0] - 0.2
    assert good[1] > bad[1] + 0.2


def test_rank_correlation_is_spearman_s() -> None:
    from scipy.stats import spearmanr

    drawn = np.random.default_rng(0)
    one, other = drawn.random((5, 5)).round(1).astype(np.float32), drawn.random((5, 5)).astype(np.float32)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one.ravel(), other.ravel()).statistic)
    assert rank_correlation(one, np.zeros((5, 5), np.float32)) == 0


def judged(count: int = 60) -> Judged:
    drawn = np.random.default_rng(0)
    labels = np.eye(3)[drawn.choice(3, count, p=[0.8, 0.15, 0.05])]
    chances = drawn.dirichlet(np.ones(3), count)
    decisions = np.eye(3)[chances.argmax(1)]
    rows = pd.DataFrame({"row_id": [f"r{at}" for at in range(count)], "group": "g"})
    return Judged(rows, ("a", "b", "c"), labels, chances, decisions)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 80))
def test_selected_cases_are_what_they_are_called(count: int) -> None:
    shown = judged()
    groups = select(shown, count)
    wrong = shown.wrong.any(1)
    assert not wrong[groups["right"]].any()
    assert wrong[groups["wrong"]].all()
    assert wrong[groups["confident_error"]].all()
    everything = np.concatenate(list(groups.values()))
    assert len(set(everything)) == len(everything) <= count
    if len(groups["confident_error"]):
        least = shown.overconfidence[groups["confident_error"]].min()
        assert (shown.overconfidence[groups["wrong"]] <= least).all()


def test_rare_classes_are_among_the_right_cases() -> None:
    shown = judged(400)
    right = select(shown, 12)["right"]
    assert set(shown.labels[right].argmax(1)) == {0, 1, 2}


def test_a_network_that_finds_nothing_is_said_to_miss_all(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 255).save(tmp_path / "a.png")
    dataset = Dataset("binary", ["normal", "ill"], str(tmp_path), "test", "", {}, [])
    masks = Masks(tmp_path, dataset, 8, "stretch", 0.0)
    rows = pd.DataFrame({"row_id": ["a.png"], "group": ["p"]})
    missed = Judged(rows, ("normal", "ill"), np.array([[0.0, 1.0]]), np.array([[0.9, 0.1]]), np.array([[1.0, 0.0]]))
    told = quality._localisation(None, missed, missed, masks)  # type: ignore[arg-type]
    assert [(row["measure"], row["value"], row["n"]) for row in told] == [("missed", 1.0, 1)]


def test_of_many_masks_those_measured_are_of_every_class(tmp_path: Path) -> None:
    """Rows come in the order of their files, here one class after the other; no class of three is the negative one."""
    classes, each = ("glioma", "meningioma", "pituitary"), quality.MOST_CASES // 2
    rows = pd.DataFrame({"row_id": [f"{name}/{number:03}.png" for name in classes for number in range(each)]})
    for row_id in rows["row_id"]:
        shape = tmp_path / row_id.removesuffix(".png") / "tumour.png"
        shape.parent.mkdir(parents=True)
        Image.new("L", (8, 8), 255).save(shape)
    labels = np.repeat(np.eye(3), each, axis=0)
    shown = Judged(rows.assign(group=rows["row_id"]), classes, labels, labels, labels)
    masks = Masks(tmp_path, Dataset("multiclass", list(classes), str(tmp_path), "test", "", {}, []), 8, "stretch", 0.0)
    found, missed, where = quality._masked(shown, masks)
    assert len(found) == len(where) == quality.MOST_CASES
    assert not missed
    assert min(np.bincount([target.label for target in found])) > 0.8 * each / 2
