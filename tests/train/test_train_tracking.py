"""TensorBoard holds what system C shows: scalars, images, PR curves, graph, histograms, settings, embedding."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from secondread.core.errors import Absent
from small_study import plan_and_train, small_directory, small_study

TRIAL = "plain/plain_cnn/r0f0s0"


def tags(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for events in folder.rglob("events.*"):
        read = EventAccumulator(str(events))
        read.Reload()
        for kind, names in read.Tags().items():
            found.setdefault(kind, []).extend(names if isinstance(names, list) else [kind] * bool(names))
    return found


def test_everything_is_there_in_full(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    plan_and_train(small_study(tmp_path, {"track": {"tensorboard": "full"}, "augment": "light"}), where)
    found = tags(where.trial(TRIAL) / "tensorboard")
    assert {"loss/train", "loss/val", "accuracy/train", "accuracy/val", "recall/val", "auroc/val"} <= set(
        found["scalars"]
    )
    assert {name.split("/")[0] for name in found["histograms"]} == {"weights", "gradients"}
    assert {name.split("/")[1] for name in found["images"] if name.startswith("images/")} == {"plain", "augmented"}
    assert {"precision-recall/c0", "precision-recall/c1"} <= set(found["tensors"])
    assert found["graph"]
    assert list((where.trial(TRIAL) / "tensorboard").rglob("tensors.tsv"))


def test_watching_changes_nothing_of_the_training(tmp_path: Path) -> None:
    weights = []
    for level in ("off", "full"):
        where = small_directory(tmp_path / level)
        plan_and_train(small_study(tmp_path / level, {"track": {"tensorboard": level}, "augment": "strong"}), where)
        weights.append((where.trial(TRIAL) / "best.safetensors").read_bytes())
        assert (where.trial(TRIAL) / "tensorboard").exists() == (level == "full")
    assert weights[0] == weights[1]


def test_mlflow_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=r"pip install 'secondread\[mlflow\]'"):
        plan_and_train(small_study(tmp_path, {"track": {"mlflow": "file:runs"}}), small_directory(tmp_path))
