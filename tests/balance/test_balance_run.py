"""Plans of a study on disk: training rows only, stale when their own synthetic images change and not otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secondread.balance import run as balance
from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import (
    CLEAN_COLUMNS,
    PLAN_COLUMNS,
    ROW_COLUMNS,
    SPLIT_COLUMNS,
    SYNTHETIC_COLUMNS,
    Dataset,
    read_table,
    write_dataset,
    write_table,
)

CLASSES = ["healthy", "ill"]


def table(count: int, prefix: str, ill_each: int) -> pd.DataFrame:
    names = [f"{prefix}{k}.png" for k in range(count)]
    ill = np.arange(count) % ill_each == 0
    made = pd.DataFrame({"row_id": names, "path": names, "content_id": [f"c-{name}" for name in names], "group": names})
    made = made.assign(index=-1, label="x", patient_known=False, age=np.nan)
    for column in (*ROW_COLUMNS, *CLEAN_COLUMNS):
        if column not in made:
            made[column] = None
    return made.assign(y_healthy=(~ill).astype(np.float32), y_ill=ill.astype(np.float32))


def directory(root: Path) -> StudyDir:
    where = StudyDir(root)
    rows = table(60, "r", 5)
    write_table(rows, where.clean_rows, ROW_COLUMNS | CLEAN_COLUMNS)
    split = np.where(np.arange(60) < 40, "train", np.where(np.arange(60) < 50, "val", "test"))
    splits = pd.DataFrame({"repeat": 0, "fold": 0, "row_id": rows["row_id"], "split": split})
    write_table(splits, where.splits, SPLIT_COLUMNS)
    write_dataset(Dataset("binary", CLASSES, str(root), "test", "", {}, []), where.dataset)
    return where


def add_synthetic(where: StudyDir, generator: str, count: int = 50) -> None:
    made = table(count, f"synthesize/{generator}/", 1)
    made = made.assign(generator=generator, target="ill", repeat=0, fold=0, seed=0, copy_of=None)
    known = [read_table(where.synthetic_rows)] if where.synthetic_rows.exists() else []
    write_table(pd.concat([*known, made]), where.synthetic_rows, ROW_COLUMNS | CLEAN_COLUMNS | SYNTHETIC_COLUMNS)


def study(arms: dict[str, Any], leakage: bool = False) -> Study:
    gans = ["dcgan", "wgan"]
    return Study.model_validate(
        {"study": "s", "synthesize": {"gans": gans}, "prepare": {"allow_leakage": leakage}, "arms": arms}
    )


ARMS = {
    "plain": {},
    "dcgan": {"balance": {"name": "top_up", "from": "dcgan"}},
    "copies": {"balance": {"name": "duplicate", "as": "dcgan"}},
}


def states(wanted: Study, where: StudyDir) -> dict[str, str]:
    return {unit.name: unit.state() for unit in balance.units(wanted, where)}


def test_plans_hold_training_rows_and_the_synthetic_ones_asked_for(tmp_path: Path) -> None:
    where = directory(tmp_path)
    add_synthetic(where, "dcgan")
    balance.run(study(ARMS), where)
    assert set(states(study(ARMS), where).values()) == {"done"}
    plans = {arm: read_table(where.plan(arm, 0, 0)) for arm in ARMS}
    assert all(list(plan.columns) == list(PLAN_COLUMNS) for plan in plans.values())
    assert len(plans["plain"]) == 40
    assert plans["dcgan"]["synthetic"].sum() == 32 - 8
    assert plans["copies"]["times"].sum() == 40 + 24
    held_out = {f"r{k}.png" for k in range(40, 60)}
    assert not any(held_out & set(plan["row_id"]) for plan in plans.values())


def test_another_gan_makes_no_other_plan_stale(tmp_path: Path) -> None:
    where = directory(tmp_path)
    add_synthetic(where, "dcgan")
    balance.run(study(ARMS), where)
    add_synthetic(where, "wgan")
    assert set(states(study(ARMS), where).values()) == {"done"}
    add_synthetic(where, "dcgan", 3)
    assert states(study(ARMS), where) == {"plain r0f0": "done", "dcgan r0f0": "stale", "copies r0f0": "stale"}


def test_without_synthetic_rows_the_plan_is_missing_and_says_so(tmp_path: Path) -> None:
    where = directory(tmp_path)
    assert states(study(ARMS), where)["dcgan r0f0"] == "missing"
    with pytest.raises(BadData, match="secondread synthesize"):
        balance.run(study(ARMS), where)


def test_a_control_names_an_arm_that_adds_images(tmp_path: Path) -> None:
    arms = {"plain": {}, "copies": {"balance": {"name": "duplicate", "as": "plain"}}}
    with pytest.raises(WrongRequest, match="'plain' is no arm that adds synthetic images"):
        balance.run(study(arms), directory(tmp_path))


def test_balancing_before_the_split_is_refused_unless_leakage_is_allowed(tmp_path: Path) -> None:
    where = directory(tmp_path)
    arms = {"leaky": {"balance": {"name": "oversample", "before_split": True}}}
    with pytest.raises(WrongRequest, match="allow_leakage"):
        balance.run(study(arms), where)
    balance.run(study(arms, leakage=True), where)
    plan = read_table(where.plan("leaky", 0, 0)).set_index("row_id")
    assert {f"r{k}.png" for k in range(40)} <= set(plan.index)
    assert {f"r{k}.png" for k in range(40, 60)} & set(plan.index)


def test_a_class_missing_from_a_fold_is_named(tmp_path: Path) -> None:
    where = directory(tmp_path)
    rows = read_table(where.clean_rows)
    rows.loc[:39, ["y_healthy", "y_ill"]] = [1.0, 0.0]
    write_table(rows, where.clean_rows, ROW_COLUMNS | CLEAN_COLUMNS)
    with pytest.raises(BadData, match="fold r0f0 hold no image of ill"):
        balance.run(study({"plain": {}}), where)
