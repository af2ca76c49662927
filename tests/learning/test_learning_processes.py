"""Several processes that share a training tell the figures of the training, not each its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from secondread.train.launch import in_processes

TIMES = ("seconds", "images_per_s")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes says of the same trainings."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")  # two processes cannot share one GPU
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        assert in_processes(2, "shared_training", [str(folder)]) == 0
    return [json.loads((folder / f"told-{rank}.json").read_text()) for rank in (0, 1)]


def timeless(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in history]


def test_losses_after_a_kill_within_an_epoch_are_those_of_an_undisturbed_training(told: list[dict[str, Any]]) -> None:
    for process in told:
        assert timeless(process["resumed"]) == timeless(process["whole"])
    assert timeless(told[0]["whole"]) == timeless(told[1]["whole"])


def test_validation_judges_the_weights_that_are_kept(told: list[dict[str, Any]]) -> None:
    for process in told:
        assert process["best"] == pytest.approx(process["kept"], rel=1e-6)


def test_processes_wait_for_the_first_one_as_long_as_another_command_may_take(told: list[dict[str, Any]]) -> None:
    """Torch's own patience is half an hour, and ten minutes on GPUs."""
    assert [process["waits"] >= 24 * 3600 for process in told] == [True, True]
