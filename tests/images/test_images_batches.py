"""Batches come in the order of the seed alone, whatever the processes, and every row as often as the plan says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.core.errors import WrongRequest
from secondread.images.batches import Batches, Sampler, Stack, planes

CPU = torch.device("cpu")


def sampler(times: list[int], batch: int, seed: int = 0, weights: list[float] | None = None) -> Sampler:
    counts = np.asarray(times, np.int64)
    return Sampler(counts, np.asarray(weights, np.float64) if weights else np.ones(len(times)), batch, seed)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=9), st.integers(1, 7), st.integers(0, 5))
def test_every_pass_holds_each_row_as_often_as_the_plan_says(times: list[int], batch: int, seed: int) -> None:
    made = sampler(times, batch, seed)
    drawn = np.concatenate([made.rows(step) for step in range(4 * made.length)])
    for one in range(3):
        whole = drawn[one * made.length : (one + 1) * made.length]
        assert np.bincount(whole, minlength=len(times)).tolist() == times


def test_a_step_is_the_same_from_wherever_one_comes() -> None:
    steps = list(range(9))
    forward = {step: sampler([1] * 10, 4, 7).rows(step).tolist() for step in steps}
    made = sampler([1] * 10, 4, 7)
    assert {step: made.rows(step).tolist() for step in reversed(steps)} == forward
    assert forward != {step: sampler([1] * 10, 4, 8).rows(step).tolist() for step in steps}


def test_weights_draw_in_proportion() -> None:
    made = sampler([1, 1, 2], 100, 0, [1.0, 3.0, 0.0])
    drawn = np.concatenate([made.rows(step) for step in range(60)])
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    assert shares[2] == 0
    assert shares[1] == pytest.approx(0.75, abs=0.03)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_a_stack_reads_as_one_array(sizes: list[int], data: st.DataObject) -> None:
    arrays = [np.random.default_rng(k).integers(0, 255, (size, 2, 2), np.uint8) for k, size in enumerate(sizes)]
    places = np.asarray(data.draw(st.lists(st.integers(0, sum(sizes) - 1), max_size=12)), np.int64)
    assert np.array_equal(Stack(arrays).take(places), np.concatenate(arrays)[places])


def mapped(folder: Path, count: int = 12) -> np.ndarray:
    np.save(folder / "pixels.npy", np.arange(count * 4, dtype=np.uint8).reshape(count, 2, 2))
    return np.load(folder / "pixels.npy", mmap_mode="r")


def test_a_batch_is_pixels_and_labels_of_its_rows(tmp_path: Path) -> None:
    pixels = mapped(tmp_path)
    places = np.array([3, 5, 7, 11])
    labels = np.arange(8, dtype=np.float32).reshape(4, 2)
    with Batches(Stack([pixels]), places, labels, sampler([1] * 4, 3), CPU) as batches:
        for step in (0, 1, 2, 0, 5):
            batch = batches(step)
            assert batch.rows.tolist() == sampler([1] * 4, 3).rows(step).tolist()
            assert np.array_equal(batch.inputs[:, 0].numpy(), pixels[places[batch.rows]])
            assert batch.inputs.dtype == torch.uint8
            assert np.array_equal(batch.labels.numpy(), labels[batch.rows])


def test_two_processes_see_together_what_one_sees(tmp_path: Path) -> None:
    stack, labels = Stack([mapped(tmp_path)]), np.zeros((12, 2), np.float32)
    with (
        Batches(stack, np.arange(12), labels, sampler([1] * 12, 4), CPU) as alone,
        Batches(stack, np.arange(12), labels, sampler([1] * 12, 4), CPU, shard=(0, 2)) as first,
        Batches(stack, np.arange(12), labels, sampler([1] * 12, 4), CPU, shard=(1, 2)) as second,
    ):
        for step in range(5):
            together = torch.cat([first(step).inputs, second(step).inputs])
            assert torch.equal(together, alone(step).inputs)
    with pytest.raises(WrongRequest, match="4 images cannot be shared equally by 3"):
        Batches(stack, np.arange(12), labels, sampler([1] * 12, 4), CPU, shard=(0, 3))


def test_views_of_a_row_take_turns_with_the_passes(tmp_path: Path) -> None:
    features = np.arange(6, dtype=np.float32).reshape(6, 1)  # rows 0..2 seen first, then their second views
    with Batches(
        Stack([features]), np.arange(3), np.zeros((3, 1), np.float32), sampler([1] * 3, 3), CPU, views=2, view_stride=3
    ) as batches:
        seen = [sorted(batches(step).inputs[:, 0].tolist()) for step in range(4)]
    assert seen == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]


def test_pixels_become_planes_and_features_stay() -> None:
    assert planes(torch.zeros(2, 5, 6, dtype=torch.uint8)).shape == (2, 1, 5, 6)
    assert planes(torch.zeros(2, 5, 6, 3, dtype=torch.uint8)).shape == (2, 3, 5, 6)
    assert planes(torch.zeros(2, 7)).shape == (2, 7)
    assert planes(torch.zeros(2, 8, 2, 2)).shape == (2, 8, 2, 2)
