"""What a trial is trained on when synthetic images and several generator seeds are in the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from secondread.balance import run as balance
from secondread.core.errors import BadData, Leak
from secondread.core.leakage import write_contents
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import CLEAN_COLUMNS, ROW_COLUMNS, SYNTHETIC_COLUMNS, read_table, write_table
from secondread.core.trials import Trial, trials
from secondread.models.card import TrialCard
from secondread.train import run as train
from secondread.train.material import LEAKY, material_of
from small_study import SIDE, predict, small_directory, small_study

ARMS = {"plain": {}, "gan": {"balance": {"name": "top_up", "from": "dcgan", "add": 5}}}
GANS = {"gans": ["dcgan"], "seeds": [0, 1]}


def gan_directory(root: Path, seen_split: str = "train") -> StudyDir:
    """A small study whose synthesize step has made ten white images of c1 per generator seed."""
    where = small_directory(root)
    rows, splits = read_table(where.clean_rows), read_table(where.splits)
    seen = rows[rows["row_id"].isin(splits.loc[splits["split"] == seen_split, "row_id"])]
    made = []
    for seed in (0, 1):
        folder = where.gan("dcgan", "c1", 0, 0, seed)
        write_contents(folder / "contents.json", seen["content_id"])
        for k in range(10):
            path = folder / "samples" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((16, 16), 200 + 10 * seed + k, np.uint8)).save(path)
            name = path.relative_to(root).as_posix()
            made.append({"row_id": name, "path": name, "content_id": f"s{seed}-{k}", "seed": seed})
    table = pd.DataFrame(made).assign(
        index=-1, label="c1", age=np.nan, patient_known=False, group="synthetic", generator="dcgan", target="c1",
        repeat=0, fold=0, y_c0=np.float32(0), y_c1=np.float32(1),
    )  # fmt: skip
    columns = ROW_COLUMNS | CLEAN_COLUMNS | SYNTHETIC_COLUMNS
    for column in columns:
        if column not in table:
            table[column] = None
    write_table(table, where.synthetic_rows, columns)
    return where


def study_of(
    root: Path, train_: dict[str, Any] | None = None, arms: dict[str, Any] | None = None, **more: Any
) -> Study:
    settings = {"epochs": 1, "seeds": [0, 1, 2]} | (train_ or {})
    return small_study(root, settings, arms or ARMS, synthesize=GANS, **more)


def trial_of(study: Study, where: StudyDir, name: str) -> Trial:
    return next(trials(study, replace(where, only=name)))


@pytest.mark.parametrize(("seed", "generator_seed"), [(0, 0), (1, 1), (2, 0)])
def test_each_training_seed_takes_the_images_of_one_generator_seed(
    tmp_path: Path, seed: int, generator_seed: int
) -> None:
    where = gan_directory(tmp_path)
    study = study_of(tmp_path)
    balance.run(study, where)
    material = material_of(study, where, trial_of(study, where, f"gan/plain_cnn/r0f0s{seed}"))
    assert len(material.places) == 24 + 5
    pixels = material.stack.take(material.places[24:])
    assert pixels.shape == (5, SIDE, SIDE)
    assert sorted(pixels[:, 0, 0].tolist()) == [200 + 10 * generator_seed + k for k in range(5)]
    assert material.labels[24:].tolist() == [[0, 1]] * 5
    assert material.epoch_steps(8) == 3  # real rows alone set the length of an epoch
    assert material.natural_prior != material.loss_spec(0.0).prior
    assert {f"s{generator_seed}-{k}" for k in range(5)} <= material.fitted_on


def test_a_generator_that_saw_test_rows_is_refused_unless_the_study_asks_for_the_leak(tmp_path: Path) -> None:
    where = gan_directory(tmp_path, seen_split="test")
    study = study_of(tmp_path, {"seeds": [0]})
    balance.run(study, where)
    train.run(study, replace(where, only="plain"))
    with pytest.raises(Leak, match="trial gan/plain_cnn/r0f0s0 was fitted on 24 of the rows"):
        train.run(study, where)
    leaky = {"leaky": {"balance": ARMS["gan"]["balance"] | {"before_split": True}}}
    asked = study_of(tmp_path, {"seeds": [0]}, leaky, prepare={"allow_leakage": True})
    balance.run(asked, where)
    train.run(asked, where)
    assert LEAKY in TrialCard.read(where.trial("leaky/plain_cnn/r0f0s0") / "card.json").notes
    assert len(predict(asked, where)) == 1


def test_other_synthetic_images_make_only_their_own_arm_stale(tmp_path: Path) -> None:
    where = gan_directory(tmp_path)
    study = study_of(tmp_path, {"seeds": [0]})
    balance.run(study, where)
    train.run(study, where)
    rows = read_table(where.synthetic_rows)
    rows["content_id"] = rows["content_id"] + "x"
    write_table(rows, where.synthetic_rows, {})
    assert [unit.state() for unit in balance.units(study, where)] == ["done", "stale"]
    balance.run(study, where)
    assert [unit.state() for unit in train.units(study, where)] == ["done", "stale"]


def test_a_seed_whose_turn_has_changed_is_stale(tmp_path: Path) -> None:
    where = gan_directory(tmp_path)
    both, second = study_of(tmp_path, {"seeds": [0, 1]}), study_of(tmp_path, {"seeds": [1]})
    balance.run(both, where)
    train.run(both, where)
    state = {unit.name: unit.state() for unit in train.units(second, where)}
    assert state["plain/plain_cnn/r0f0s1"] == "done"
    assert state["gan/plain_cnn/r0f0s1"] == "stale"  # alone it takes the images of the first generator


def test_a_plan_of_images_that_are_gone_is_told(tmp_path: Path) -> None:
    where = gan_directory(tmp_path)
    study = study_of(tmp_path, {"seeds": [0]})
    balance.run(study, where)
    write_table(read_table(where.synthetic_rows)[10:], where.synthetic_rows, {})
    with pytest.raises(BadData, match="which is not in synthesize/: run balance again"):
        material_of(study, where, trial_of(study, where, "gan"))
