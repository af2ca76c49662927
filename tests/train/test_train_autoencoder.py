"""The autoencoder: fitted on training rows alone, shared by its trials, honest beside a plain resize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from secondread.core.errors import Leak
from secondread.core.files import read_json, write_json
from secondread.core.leakage import read_contents, write_contents
from secondread.core.tables import read_table
from secondread.images.batches import share_of
from secondread.models.autoencoder import Autoencoder
from secondread.models.build import load_trial
from secondread.train import run as train
from secondread.train.autoencoder import fair_batch
from secondread.train.reconstruction import compare_with_resize, psnr, ssim
from small_study import plan_and_train, predict, small_directory, small_study

CODED = {"models": [{"name": "coded_cnn", "channels": 8, "width": 8, "encoder_epochs": 3}], "size": 32, "epochs": 1}
ARMS = {"codes": {}, "mixed": {"train": {"augment": "mixup"}}}


def test_one_encoder_serves_every_trial_of_its_fold(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    study = small_study(tmp_path, CODED, ARMS)
    plan_and_train(study, where)
    (folder,) = (where.root / "train" / "autoencoders").glob("*/*")
    encoder = Autoencoder.load(folder / "autoencoder.safetensors").encoder.state_dict()
    for arm in ARMS:
        classifier, card = load_trial(where.trial(f"{arm}/coded_cnn/r0f0s0"))
        theirs = classifier.backbone.encoder.state_dict()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in encoder.items())
        assert card.mean == (0.0,)
    rows, splits = read_table(where.clean_rows), read_table(where.splits)
    training = rows[rows["row_id"].isin(splits.loc[splits["split"] == "train", "row_id"])]
    assert read_contents(folder / "contents.json") == set(training["content_id"])
    curve = pd.read_csv(folder / "epochs.csv")
    assert curve["epoch"].tolist() == [1, 2, 3]
    assert curve["val_loss"].iloc[-1] < curve["val_loss"].iloc[0]
    with Image.open(folder / "reconstructions.png") as panel:
        assert panel.size == (8 * 36 + 4, 2 * 32 + 12)
    quality = pd.read_csv(folder / "quality.csv").set_index("method")
    assert quality.loc["autoencoder", "values"] == 2 * 2 * 8
    assert quality.loc["resize", "values"] <= 2 * 2 * 8
    assert len(predict(study, where)) == 2
    assert {unit.state() for unit in train.units(study, where)} == {"done"}


def test_another_border_makes_the_encoder_stale(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    study = small_study(tmp_path, CODED)
    plan_and_train(study, where)
    write_json(where.pixels, read_json(where.pixels) | {"crop_border": 0.1})
    assert {unit.state() for unit in train.units(study, where)} == {"stale"}


def test_an_encoder_that_saw_a_test_row_is_refused(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    plan_and_train(small_study(tmp_path, CODED), where)
    (folder,) = (where.root / "train" / "autoencoders").glob("*/*")
    rows, splits = read_table(where.clean_rows), read_table(where.splits)
    held_out = rows[rows["row_id"].isin(splits.loc[splits["split"] == "test", "row_id"])]
    write_contents(folder / "contents.json", held_out["content_id"])
    with pytest.raises(Leak, match=r"the autoencoder autoencoders/.* was fitted on"):
        plan_and_train(small_study(tmp_path, CODED | {"seeds": [5]}), where)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_torchmetrics(channels: int) -> None:
    chance = np.random.default_rng(0)
    shape = (3, 40, 40) if channels == 1 else (3, 40, 40, 3)
    first = chance.integers(0, 256, shape).astype(np.uint8)
    second = np.clip(first.astype(int) + chance.integers(-30, 30, shape), 0, 255).astype(np.uint8)
    planes = [torch.from_numpy(np.atleast_3d(a)).double() for a in (first, second)]
    mine, theirs = (p.permute(0, 3, 1, 2) if channels == 3 else p[:, None] for p in planes)
    ratio = peak_signal_noise_ratio(theirs, mine, data_range=255.0, reduction="none", dim=(1, 2, 3))
    np.testing.assert_allclose(psnr(first, second), ratio.numpy(), rtol=1e-6)
    _, likeness = structural_similarity_index_measure(
        theirs, mine, data_range=255.0, reduction="none", return_full_image=True
    )
    inside = likeness[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))  # theirs counts mirrored borders too
    np.testing.assert_allclose(ssim(first, second), inside.numpy(), rtol=1e-9)


def test_a_resize_to_as_many_values_as_pixels_loses_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16)).astype(np.uint8)
    table = compare_with_resize(images, images, values=256).set_index("method")
    assert table.loc["resize", "ssim"] == pytest.approx(1.0)
    assert table.loc["autoencoder", "psnr"] == 100.0
    assert table.loc["autoencoder", "bits"] == 4 * table.loc["resize", "bits"]


@pytest.mark.parametrize(("processes", "batch"), [(1, 64), (2, 64), (3, 63), (6, 60), (40, 80)])
def test_any_number_of_processes_can_share_its_batch(processes: int, batch: int) -> None:
    assert fair_batch(processes) == batch
    assert share_of(batch, processes) >= 2  # of one image BatchNorm cannot learn
