"""Sheets, collapse, copies and feature networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from secondread.core.errors import Absent, BadData, WrongRequest
from secondread.learning.checkpoints import save_weights
from secondread.synthesize.collapse import CollapseWatch, diversity
from secondread.synthesize.extractors import (
    TaskNetwork,
    load_task_network,
    named_extractor,
    task_extractor,
    train_task_network,
)
from secondread.synthesize.quality import baselines, find_copies, measure
from secondread.synthesize.sheets import grid, save_film, save_sheet

DRAWS = np.random.default_rng(0)


def smooth(count: int, seed: int, side: int = 32) -> np.ndarray:
    """Images whose content differs in coarse structure."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(image).resize((side, side), 3)) for image in coarse])


def untrained(channels: int = 1):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    return task_extractor(TaskNetwork(channels, 2).eval())


def test_a_sheet_holds_every_image_and_a_film_every_sheet(tmp_path: Path) -> None:
    images = smooth(10, 1)
    sheet = np.asarray(grid(images, columns=4))
    assert sheet.shape == (3 * 34 - 2, 4 * 34 - 2)
    np.testing.assert_array_equal(sheet[34:66, 34:66], images[5])
    paths = []
    for step in range(5):
        paths.append(tmp_path / f"step-{step}.png")
        save_sheet(smooth(4, step), paths[-1])
    for ending in ("webp", "gif"):
        save_film(paths, tmp_path / f"film.{ending}")
        with Image.open(tmp_path / f"film.{ending}") as film:
            assert film.n_frames == 5


def test_collapse_is_seen_after_three_sheets_and_not_before() -> None:
    real = diversity(smooth(32, 0))
    one = np.repeat(smooth(1, 5), 32, axis=0)
    noisy = np.clip(one.astype(int) + DRAWS.integers(-20, 21, one.shape), 0, 255).astype(np.uint8)
    assert diversity(noisy) < 0.15 * real < diversity(smooth(32, 9))
    watch = CollapseWatch("dcgan", real, stop=True, quiet_until=10)
    watch.look(noisy, 5)
    for step in (20, 30):
        watch.look(noisy, step)
    watch.look(smooth(32, 9), 40)
    for step in (50, 60):
        watch.look(noisy, step)
    with pytest.raises(BadData, match=r"dcgan has collapsed at step 70"):
        watch.look(noisy, 70)


def test_a_copy_is_found_and_an_original_is_not() -> None:
    train, generated = smooth(60, 1), smooth(20, 2)
    generated[7] = train[11]
    generated[8] = np.clip(train[3].astype(int) + DRAWS.integers(-2, 3, train[3].shape), 0, 255).astype(np.uint8)
    found, repeated = find_copies(generated, train, untrained())
    assert found.nearest[7] == 11
    assert set(np.flatnonzero(repeated)) <= {7, 8}
    assert repeated[7]


def test_a_copy_is_one_although_its_patient_was_taken_twice() -> None:
    """Two exposures of a patient lie nearer to each other than a slightly changed copy does to either."""
    first, chance = smooth(60, 1), np.random.default_rng(3)

    def changed(images: np.ndarray, most: int) -> np.ndarray:
        return np.clip(images + chance.integers(-most, most + 1, images.shape), 0, 255).astype(np.uint8)

    train, generated = np.concatenate([first, changed(first, 1)]), changed(first[:20], 6)
    patients = np.tile(np.arange(60), 2)
    assert not find_copies(generated, train, untrained())[1].any()
    assert find_copies(generated, train, untrained(), patients=patients)[1].all()
    assert not find_copies(smooth(20, 2), train, untrained(), patients=patients)[1].any()


def test_images_that_repeat_training_lie_nearer_than_unseen_ones() -> None:
    train, unseen = smooth(80, 1), smooth(40, 2)
    assert find_copies(train[:40], train, untrained(), unseen)[0].closer_than_holdout > 0.95
    assert 0.3 < find_copies(smooth(40, 3), train, untrained(), unseen)[0].closer_than_holdout < 0.7


def test_quality_stands_beside_its_floor_and_orders_real_gaussian_and_noise() -> None:
    real, more = smooth(120, 1), smooth(120, 2)
    judge = untrained()

    def kid(images: np.ndarray) -> float:
        rows = {row["metric"]: row for row in measure(real, images, judge, seed=0)}
        assert {"fid", "kid", "precision", "recall", "density", "coverage", "spectrum", "fid_at_half_n"} == set(rows)
        assert rows["fid"]["n_real"] == rows["fid"]["n_generated"] == 120
        assert rows["fid"]["floor"] > 0
        assert (rows["spectrum"]["value"] < 3 * rows["spectrum"]["floor"]) == (images is more)
        return float(rows["kid"]["value"])

    worse = baselines(real, 0)
    assert kid(more) < 0.2 * kid(worse["noise"])
    assert kid(more) < 0.5 * kid(worse["pixel_gaussian"])


def test_the_task_network_learns_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    labels = np.zeros((80, 2), np.float32)
    images = smooth(80, 1)
    labels[:, 1] = images[:, :16].mean(axis=(1, 2)) > images[:, 16:].mean(axis=(1, 2))
    labels[:, 0] = np.nan
    torch.set_num_threads(1)
    network = train_task_network(images, labels, seed=1, steps=60)
    logits = network(torch.from_numpy(images)[:, None])[:, 1].detach().numpy()
    assert ((logits > 0) == labels[:, 1]).mean() > 0.95
    assert task_extractor(network).sha256 == task_extractor(train_task_network(images, labels, seed=1, steps=60)).sha256
    save_weights(tmp_path / "network.safetensors", network.state_dict())
    again = load_task_network(tmp_path / "network.safetensors", images, labels)
    assert task_extractor(again).sha256 == task_extractor(network).sha256
    with pytest.raises(BadData, match="do not fit"):
        load_task_network(tmp_path / "network.safetensors", images, labels[:, :1])


def test_an_extractor_without_weights_says_where_to_put_them(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="extractor_weights"):
        named_extractor("inception", None)
    with pytest.raises(Absent, match="extractor_weights"):
        named_extractor("timm/resnet10t", tmp_path / "absent.safetensors")
    for odd in (tmp_path / "odd.pth", tmp_path / "odd.safetensors"):
        odd.write_bytes(b"no weights")
        with pytest.raises(WrongRequest, match="odd"):
            named_extractor("timm/resnet10t", odd)
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WrongRequest, match="does not hold the weights"):
        named_extractor("timm/resnet10t", tmp_path / "other.safetensors")
    with pytest.raises(WrongRequest, match="Valid: task"):
        named_extractor("vgg", tmp_path / "other.safetensors")
