"""Which arms were trained under a protocol that leaks, and the mark that all they give must carry."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from secondread.core.files import read_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir

MARK = "LEAKY PROTOCOL"


def leaky_arms(study: Study, where: StudyDir) -> list[str]:
    """Arms that could see test rows: all of them under a leaky split, else those that were balanced before the split.

    A study file must allow it (`prepare.allow_leakage`); without that no step lets it happen.
    """
    if where.split_proof.exists() and read_json(where.split_proof).get("leaky", False):
        return list(study.arms)
    return [arm for arm in study.arms if study.prepare.allow_leakage and _before_split(study, arm)]


def _before_split(study: Study, arm: str) -> bool:
    balance, _ = study.arm(arm)
    return bool(balance.options.get("before_split")) or balance.options.get("from") in study.synthesize.before_split


def marked(table: pd.DataFrame, leaky: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """The table with the mark in `method` of every row that names a leaky arm in one of the columns."""
    touched = table[list(columns)].isin(leaky).any(axis=1)
    method = table["method"].where(~touched, table["method"] + f" [{MARK}]")
    return table.assign(method=method)


def stamp(study: Study, leaky: Sequence[str]) -> str:
    """What stands on figures and tables; empty where nothing leaks."""
    if not leaky:
        return ""
    return MARK if set(leaky) == set(study.arms) else f"{MARK}: {', '.join(leaky)}"
