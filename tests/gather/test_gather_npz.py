"""Arrays as people save them: labels of every kind, names given twice, nothing inside."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Gather
from secondread.gather.found import Found
from secondread.gather.labels import labelled
from secondread.gather.npz import npz

IMAGES = np.zeros((6, 8, 8), np.uint8)


def read(root: Path, classes: list[str] | None = None, **arrays: Any) -> Found:
    np.savez(root / "d.npz", **arrays)
    return npz(root, Gather(), classes=classes)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["a", "b"] * 3, "whole numbers"),
        (np.array([0, 1] * 2 + [0, 2**63 + 5], np.uint64), "whole numbers"),
        ([0, np.inf] * 3, "whole numbers"),
        (7, "whole numbers"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: Any, told: str) -> None:
    with pytest.raises(BadData, match=told):
        read(tmp_path, images=IMAGES, labels=np.array(labels))


def test_a_large_label_costs_no_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    found = read(tmp_path, images=IMAGES, labels=np.array([0, 2_000_000] * 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.classes == ["0", "2000000"]
    assert peak < 20e6  # a name for each smaller number would take five times as much


def test_arrays_without_images_or_of_two_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="hold no image"):
        read(tmp_path, images=IMAGES[:0], labels=np.zeros(0))
    with pytest.raises(BadData, match="0 by 8 pixels"):
        read(tmp_path, images=IMAGES[:, :, :0], labels=np.zeros(6))
    with pytest.raises(BadData, match="Fortran order"):
        read(tmp_path, images=np.asfortranarray(np.zeros((6, 8, 7), np.uint8)), labels=np.zeros(6))
    with pytest.raises(BadData, match="one column in one array and several in another"):
        read(tmp_path, train_images=IMAGES, train_labels=np.eye(6), test_images=IMAGES, test_labels=np.arange(6))


def test_one_hot_labels_are_exclusive_classes(tmp_path: Path) -> None:
    one_hot = np.eye(3, dtype=np.uint8)[[0, 1, 2, 0, 1, 2]]
    result = labelled(read(tmp_path, images=IMAGES, labels=one_hot), Gather())
    assert result.task == "multiclass"
    np.testing.assert_array_equal(result.values, one_hot)
    one_hot[0, 1] = 1
    assert labelled(read(tmp_path, images=IMAGES, labels=one_hot), Gather()).task == "multilabel"


def test_names_are_those_of_the_numbers_and_stand_once(tmp_path: Path) -> None:
    found = read(tmp_path, ["zero", "one", "two"], images=IMAGES, labels=np.array([0, 2] * 3))
    assert (found.classes, found.rows["label"].tolist()) == (["zero", "two"], ["zero", "two"] * 3)
    with pytest.raises(WrongRequest, match="one name to two labels"):
        read(tmp_path, ["x", "x"], images=IMAGES, labels=np.array([0, 1] * 3))
    with pytest.raises(WrongRequest, match="classes names 2 labels"):
        read(tmp_path, ["x", "y"], images=IMAGES, labels=np.array([0, 2] * 3))
