"""The parts of kind `splits`: which rows are for training, validation and test, per repeat and fold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from secondread.core.errors import BadData, WrongRequest
from secondread.core.limits import Share
from secondread.core.registry import part
from secondread.core.tables import SPLITS
from secondread.prepare.families import families_of, fold_note, fold_of_family, leave_out, need_group
from secondread.prepare.stratify import deal

Times = Annotated[int, Field(ge=1, le=1000)]
Labels = NDArray[np.float32]


def leaving_nothing(test: float = 0.2, val: float = 0.1, repeats: int = 1, folds: int = 1) -> None:
    """Refuses shares of test and validation that leave no training rows; with folds each fold is the test share."""
    if folds == 1 and test + val >= 1.0:
        raise WrongRequest(f"prepare.split: test {test} and val {val} leave nothing to train on")


def one_fold(folds: int = 1, **_: object) -> None:
    if folds < 2:
        raise WrongRequest("prepare.split: kfold needs folds: 2 or more (five is usual)")


def one_family(folds: int = 1, family: str = "", **_: object) -> None:
    if folds < 2:
        raise WrongRequest(
            "prepare.split: families needs folds: 2 or more, at most as many as the class with the fewest has families"
        )
    if family:
        need_group(family)


@part("splits", "grouped", refuses=leaving_nothing)
def grouped(
    rows: pd.DataFrame,
    labels_NK: Labels,
    seed: int,
    /,
    *,
    test: Share = 0.2,
    val: Share = 0.1,
    repeats: Times = 1,
    folds: Times = 1,
) -> pd.DataFrame:
    """Patients and duplicate clusters stay together; labels balanced; repeats and folds (each fold is test once)."""
    return _all(rows, rows["group"], labels_NK, seed, test, val, repeats, folds)


@part("splits", "kfold", refuses=one_fold)
def kfold(
    rows: pd.DataFrame, labels_NK: Labels, seed: int, /, *, folds: Times = 1, repeats: Times = 1, val: Share = 0.1
) -> pd.DataFrame:
    """Cross-validation by groups: `folds` parts, each of them test once."""
    return _all(rows, rows["group"], labels_NK, seed, 1.0 / folds, val, repeats, folds)


@part("splits", "families", refuses=one_family)
def families(
    rows: pd.DataFrame,
    labels_NK: Labels,
    seed: int,
    /,
    *,
    folds: Times = 1,
    val: Share = 0.15,
    family: str = "",
    repeats: Times = 1,
) -> pd.DataFrame:
    """Leave families out: each of `folds` tests sites (or kinds of file names) that it trains on nothing of."""
    of = families_of(rows, family)
    parts, notes = [], []
    for repeat in range(repeats):
        tested = fold_of_family(of, labels_NK, _classes(rows, labels_NK), folds, np.random.default_rng([seed, repeat]))
        for fold in range(folds):
            split = pd.Series(leave_out(tested == fold, rows["group"]), index=rows.index, dtype="object")
            _cut(split, "val", rows["group"], labels_NK, val, np.random.default_rng([seed, repeat, 3, fold]))
            notes.append(fold_note(f"repeat {repeat}, fold {fold}", of, split.to_numpy()))
            parts.append(_kept_table(rows, split, repeat, fold))
    return _told(parts, notes)


@part("splits", "image_level", refuses=leaving_nothing)
def image_level(
    rows: pd.DataFrame,
    labels_NK: Labels,
    seed: int,
    /,
    *,
    test: Share = 0.2,
    val: Share = 0.1,
    repeats: Times = 1,
    folds: Times = 1,
) -> pd.DataFrame:
    """Leaky: images one by one, patients and duplicates on both sides; only with `allow_leakage: true`."""
    return _all(rows, rows["row_id"], labels_NK, seed, test, val, repeats, folds)


@part("splits", "official")
def official(
    rows: pd.DataFrame,
    labels_NK: Labels,
    seed: int,
    /,
    *,
    val: Share | None = None,
    test: Literal["auto", "test", "val"] = "auto",
    otherwise: Share | None = None,
    crossing: Literal["error", "drop"] = "error",
    repeats: Times = 1,
) -> pd.DataFrame:
    """The split that folders or columns give; `otherwise`: share cut from train as test where no test is given."""
    given = rows["split_given"].astype("object")
    if given.isna().all():
        if otherwise is None:
            raise BadData(
                "prepare.split: official, but neither folders nor columns give a split: use grouped, or name the "
                "column of a table (gather.source: {name: table, split: COLUMN})"
            )
        given = given.fillna("train")
    held = _official_test(given, test, otherwise is not None)
    marked = _marked(given, held, val)
    if repeats > 1 and held is not None and (marked == "val").any():
        raise WrongRequest(
            f"prepare.split: official: repeats: {repeats}, but test and validation are given, so that all would be the "
            "same: set val: SHARE to cut the validation part anew each time, or leave repeats out"
        )
    parts, notes = [], []
    for repeat in range(repeats):
        split = marked.copy()
        if held is None:
            _cut(split, "test", rows["group"], labels_NK, otherwise or 0.1, np.random.default_rng([seed, repeat, 4]))
        split = _without_crossing(split, rows["group"], crossing)
        if not (marked == "val").any():
            _cut(split, "val", rows["group"], labels_NK, val or 0.1, np.random.default_rng([seed, repeat, 2]))
        notes.append(_official_note(f"repeat {repeat}", held, split, marked))
        parts.append(_kept_table(rows, split, repeat, 0))
    return _told(parts, notes)


def _official_test(given: pd.Series, asked: str, may_cut: bool) -> str | None:
    """The mark of the rows that are the test part; None: it is to be cut from train."""
    there = set(given.dropna())
    if asked == "auto":
        held = "test" if "test" in there or may_cut else "val"
    else:
        held = asked
    if held not in there and may_cut:
        return None
    if held not in there:
        raise BadData(f"prepare.split: official: no rows are marked {held} (marked: {', '.join(sorted(there))})")
    if not there - {held}:
        raise BadData(f"prepare.split: official: every row is marked {held}")
    return held


def _marked(given: pd.Series, held: str | None, val: float | None) -> pd.Series:
    """Sides as marked; rows marked val join the training part where a share of it is asked for as validation."""
    split = given.where(given.isna(), "train")
    split[given == held] = "test"
    if held != "val" and val is None:
        split[given == "val"] = "val"
    return split.where(split.notna(), None)


def _official_note(where: str, held: str | None, split: pd.Series, marked: pd.Series) -> str:
    """Which of both happened: the test part came with the data, or was cut in its stead; and what stands in no part."""
    count = int((split == "test").sum())
    if held is None:
        told = f"no part marked test is given: {count} images of the training part stand for it, cut by patient"
    else:
        told = f"the test part is the one given: {count} images marked {held}"
    if out := int((marked.notna() & split.isna()).sum()):
        told += f"; {out} images whose patient or duplicate is held out stand in no part"
    if unmarked := int(marked.isna().sum()):
        told += f"; {unmarked} images that no part is given for stand in none"
    return f"{where}: {told}"


def _without_crossing(split: pd.Series, groups: pd.Series, crossing: str) -> pd.Series:
    """Training rows whose patient or duplicate is held out: an error, or left out of the split."""
    held = set(groups[split == "test"])
    kept_val = set(groups[split == "val"]) - held
    bad = ((split == "train") & groups.isin(held | kept_val)) | ((split == "val") & groups.isin(held))
    if not bad.any():
        return split
    if crossing == "error":
        raise BadData(
            f"the official split separates {groups[bad].nunique()} patients or duplicate clusters ({int(bad.sum())} "
            "images; see the audit). Use split: grouped, or {name: official, crossing: drop} to leave those images out"
        )
    made = split.copy()
    made[bad] = None
    return made


def _cut(
    split: pd.Series, name: str, groups: pd.Series, labels_NK: Labels, share: float, rng: np.random.Generator
) -> None:
    """Move a share of the training rows, by groups, to the part `name`."""
    train = (split == "train").to_numpy()
    bins = deal(groups[train], labels_NK[train], [1.0 - share, share], rng)
    split[split.index[train][bins == 1]] = name


def _all(
    rows: pd.DataFrame,
    groups: pd.Series,
    labels_NK: Labels,
    seed: int,
    test: float,
    val: float,
    repeats: int,
    folds: int,
) -> pd.DataFrame:
    parts = [
        _table(rows["row_id"].to_numpy(), split, repeat, fold)
        for repeat in range(repeats)
        for fold, split in _folds(groups, labels_NK, [seed, repeat], test, val, folds)
    ]
    return pd.concat(parts, ignore_index=True)


def _folds(
    groups: pd.Series, labels_NK: Labels, seed: list[int], test: float, val: float, folds: int
) -> Iterator[tuple[int, NDArray[np.object_]]]:
    names = np.array(SPLITS, dtype=object)
    if folds == 1:
        bins = deal(groups, labels_NK, [1.0 - test - val, val, test], np.random.default_rng([*seed, 0]))
        yield 0, names[bins]
        return
    dealt = deal(groups, labels_NK, [1.0 / folds] * folds, np.random.default_rng([*seed, 0]))
    for fold in range(folds):
        split = np.full(len(groups), "test", dtype=object)
        rest = dealt != fold
        share = min(val / (1.0 - 1.0 / folds), 0.9)
        rng = np.random.default_rng([*seed, 1, fold])
        split[rest] = names[deal(groups[rest], labels_NK[rest], [1.0 - share, share], rng)]
        yield fold, split


def _classes(rows: pd.DataFrame, labels_NK: Labels) -> list[str]:
    """Names of the labels' columns, for messages."""
    named = [str(name).removeprefix("y_") for name in rows.columns if str(name).startswith("y_")]
    return named if len(named) == labels_NK.shape[1] else [f"class {k}" for k in range(labels_NK.shape[1])]


def _told(parts: list[pd.DataFrame], notes: list[str]) -> pd.DataFrame:
    """The table of all folds, with what is to be said of it in `attrs["notes"]`."""
    table = pd.concat(parts, ignore_index=True)
    table.attrs["notes"] = notes
    return table


def _kept_table(rows: pd.DataFrame, split: pd.Series, repeat: int, fold: int) -> pd.DataFrame:
    """Rows that the split leaves out (None) do not stand in its table."""
    kept = split.notna().to_numpy()
    return _table(rows["row_id"].to_numpy()[kept], split.to_numpy()[kept], repeat, fold)


def _table(row_ids: NDArray[np.object_], split: NDArray[np.object_], repeat: int, fold: int) -> pd.DataFrame:
    return pd.DataFrame({"repeat": repeat, "fold": fold, "row_id": row_ids, "split": split})
