"""Families of images (a site, a way of naming files), and folds that each test some of them and train on none of those.

Cross-validation by patients says how a model does on new patients of the same place. Where places differ in machine,
exposure and framing only a place that no training row is from can show that (leave-one-site-out).
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData, WrongRequest
from secondread.core.families import name_family
from secondread.prepare.stratify import deal

NAMED = 3
"""Families that a message names before it only counts them."""


def families_of(rows: pd.DataFrame, pattern: str) -> pd.Series:
    """Family of each row: by `pattern`, else the site where every row has one, else the way its file is called.

    `pattern`: a regular expression searched in the row's id; its first group is the family.
    """
    if pattern:
        return _by_pattern(rows["row_id"], pattern)
    if "site" in rows and rows["site"].notna().all():
        return rows["site"].astype("object")
    return rows["row_id"].map(lambda row_id: name_family(str(row_id))).astype("object")


def fold_of_family(
    families: pd.Series, labels_NK: NDArray[np.float32], classes: list[str], folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The fold that tests each row; a family is tested whole, and every fold tests a family of each class.

    Raises `BadData` when a class has fewer families than there are folds, or shares them with others so that they
    cannot be told apart.
    """
    present = labels_NK == 1.0
    for k, name in enumerate(classes):
        there = families[present[:, k]].unique().tolist()
        if there and len(there) < folds:
            raise BadData(
                f"prepare.split: families: {name} has {_counted(there)}, too few to leave out in {folds} folds. "
                "Tell more apart with `family:` (a regular expression whose first group names it), or use grouped"
            )
    dealt = deal(families, labels_NK, [1.0 / folds] * folds, rng)
    for k, name in enumerate(classes):
        if present[:, k].any() and len(np.unique(dealt[present[:, k]])) < folds:
            raise BadData(
                f"prepare.split: families: classes share families so that {name} cannot be tested in each of {folds} "
                "folds: ask for fewer folds, or tell families apart with `family:`"
            )
    return dealt


def leave_out(tested: NDArray[np.bool_], groups: pd.Series) -> NDArray[np.object_]:
    """`test` for the rows tested, `train` for the others, None for those whose patient or duplicate is tested."""
    related = groups.isin(set(groups[tested])).to_numpy()
    split = np.full(len(groups), "train", dtype=object)
    split[related] = None
    split[tested] = "test"
    return split


def fold_note(where: str, families: pd.Series, split: NDArray[np.object_]) -> str:
    """What a fold tests and what it leaves out, for people."""
    names = families[split == "test"].value_counts()
    told = ", ".join(f"{name} ({count})" for name, count in list(names.items())[: 2 * NAMED])
    more = f" and {len(names) - 2 * NAMED} more" if len(names) > 2 * NAMED else ""
    out = sum(side is None for side in split)
    kept_out = f"; {out} images stand in no part, for their patient or duplicate is tested" if out else ""
    return f"{where} tests images of {told}{more}, and trains on none of those{kept_out}"


def need_group(pattern: str) -> None:
    """Raises `WrongRequest` unless `pattern` is a regular expression with a group, which names the family."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise WrongRequest(f"prepare.split: family: {pattern!r} is no regular expression: {error}") from error
    if groups < 1:
        raise WrongRequest(f"prepare.split: family: {pattern!r} has no group, and its first group names the family")


def _by_pattern(row_ids: pd.Series, pattern: str) -> pd.Series:
    named = row_ids.astype("string").str.extract(pattern, expand=True)[0]
    if named.isna().any():
        raise WrongRequest(
            f"prepare.split: family: {pattern!r} names no family of {int(named.isna().sum())} images "
            f"(first: {row_ids[named.isna()].iloc[0]})"
        )
    return named.astype("object")


def _counted(names: list[str]) -> str:
    told = ", ".join(str(name) for name in names[:NAMED]) + (", …" if len(names) > NAMED else "")
    return f"one family only ({told})" if len(names) == 1 else f"{len(names)} families ({told})"
