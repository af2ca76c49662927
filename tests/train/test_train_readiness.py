"""What refuses an arm, a judgement or a GAN is found before the first of them takes its hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.small_study import small_directory, small_study

from secondread import pipeline
from secondread.core.errors import Absent, BadData, SecondreadError, WrongRequest
from secondread.core.studydir import StudyDir
from secondread.core.tables import read_table, write_table
from secondread.train import run as train

STEPS = ("synthesize", "balance", "train")
GAN = {"gans": [{"name": "dcgan", "width": 4}], "size": 32, "steps": 1, "batch": 8, "samples": 8}


def refused(where: StudyDir, study: Any, error: type[SecondreadError], message: str) -> None:
    with pytest.raises(error, match=message):
        pipeline.run(study, where, STEPS)
    assert not list((where.root / "train").rglob("card.json"))
    assert not list((where.root / "synthesize").rglob("samples.parquet"))
    assert not (where.root / "balance").exists()


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        ({"loss": "bce"}, WrongRequest, "bce takes each label by itself"),
        ({"uncertain": {"c9": "zeros"}}, WrongRequest, "no class 'c9'"),
        ({"models": [{"name": "improved_cnn", "width": 4}], "batch": 2}, WrongRequest, "BatchNorm in improved_cnn"),
        ({"models": ["coded_cnn"], "size": 32, "normalise": "image"}, WrongRequest, "coded_cnn takes images in 0..1"),
        ({"weights": "nowhere.safetensors"}, Absent, "there is no file nowhere.safetensors"),
        ({"weights": "trial:nowhere/plain/plain_cnn"}, Absent, "no trained trial there"),
        ({"loss": "focal", "batch": 9}, WrongRequest, "9 images cannot be shared equally by 2 processes"),
    ],
)
def test_a_later_arm_is_refused_before_the_first_is_trained(
    tmp_path: Path, second: dict[str, Any], error: type[SecondreadError], message: str
) -> None:
    where = small_directory(tmp_path, "multiclass", classes=3)
    base = {"engine": {"devices": 2}}
    refused(where, small_study(tmp_path, base, {"first": {}, "second": {"train": second}}), error, message)


@pytest.mark.parametrize(
    ("sections", "error", "message"),
    [
        ({"evaluate": {"primary": "hamming"}}, WrongRequest, "'hamming' is no metric of a multiclass task"),
        ({"evaluate": {"threshold": {"name": "sensitivity"}}}, WrongRequest, "needs one positive class"),
        ({"evaluate": {"threshold": {"cost": [[0, 1], [1, 0]]}}}, WrongRequest, "cost must be 3 × 3"),
        ({"explain": {"masks": "nowhere"}}, BadData, "explain.masks: nowhere is not a folder"),
        ({"synthesize": GAN | {"for": ["c0", "c9"]}}, WrongRequest, "no class 'c9'"),
        (
            {"synthesize": GAN | {"for": ["c0"]}, "balance": {"name": "synthetic_only", "from": "dcgan"}},
            WrongRequest,
            "synthetic_only needs images of c1, c2 too",
        ),
    ],
)
def test_a_later_step_is_refused_before_anything_is_trained(
    tmp_path: Path, sections: dict[str, Any], error: type[SecondreadError], message: str
) -> None:
    where = small_directory(tmp_path, "multiclass", count=162, classes=3)
    refused(where, small_study(tmp_path, {}, **sections), error, message)


def test_a_gan_that_lacks_images_in_the_second_fold_is_refused_before_the_first(tmp_path: Path) -> None:
    where = small_directory(tmp_path, count=120)
    splits, rows = read_table(where.splits), read_table(where.clean_rows)
    splits["split"] = "train"
    few = rows.loc[rows["y_c1"] == 1, "row_id"].iloc[9:]
    other = splits.assign(fold=1)
    other.loc[other["row_id"].isin(few), "split"] = "test"
    write_table(pd.concat([splits, other]), where.splits, {})
    split = {"split": {"name": "kfold", "folds": 2}}
    study = small_study(tmp_path, {}, prepare=split, synthesize=GAN | {"for": ["c1"]})
    refused(where, study, BadData, "c1 has 9 distinct training images in fold r0f1")


def test_weights_of_an_arm_that_is_trained_only_now_are_waited_for(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    first = f"trial:{tmp_path}/first/plain_cnn"
    study = small_study(tmp_path, {"epochs": 1}, {"first": {}, "second": {"train": {"weights": first}}})
    pipeline.run(study, where, ("balance", "train"))
    assert {unit.state() for unit in train.units(study, where)} == {"done"}


@pytest.mark.parametrize("named", ["frist/plain_cnn", "second/plain_cnn", "third/plain_cnn", "first/plain_cnn/r0f0s1"])
def test_weights_of_an_arm_that_never_comes_before_are_not_waited_for(tmp_path: Path, named: str) -> None:
    where = small_directory(tmp_path)
    second = {"train": {"weights": f"trial:{tmp_path}/{named}"}}
    refused(where, small_study(tmp_path, {}, {"first": {}, "second": second, "third": {}}), Absent, "no trained trial")


def test_weights_of_another_study_are_tried_before_the_first_arm(tmp_path: Path) -> None:
    where = small_directory(tmp_path / "other")
    pipeline.run(small_study(tmp_path / "other", {"epochs": 1}, {"plain": {}}), where, ("balance", "train"))
    for train_otherwise, message in (
        ({"models": [{"name": "improved_cnn", "width": 4}]}, "is a trained plain_cnn, not a improved_cnn"),
        ({"models": [{"name": "plain_cnn", "width": 8}]}, "do not fit plain_cnn"),
        ({"normalise": "image"}, "was trained with normalise: dataset"),
    ):
        second = {"train": {"weights": "trial:other/plain/plain_cnn"} | train_otherwise}
        here = small_directory(tmp_path / "mine", seed=1)
        refused(here, small_study(tmp_path / "mine", {}, {"first": {}, "second": second}), WrongRequest, message)
