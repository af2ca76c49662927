"""Which files of a DICOM tree count: by view, by modality, and whether captures of a screen do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData, WrongRequest
from secondread.gather.levels import Role, need_class

NOT_SAID = "not said"
"""How a study asks for files whose header does not say it, in the audit's words."""
CAPTURE = r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.7(\..*)?"
"""SOP classes of secondary captures, of one frame and of several (DICOM PS3.4 B.5)."""


def chosen(
    headers: pd.DataFrame, views: Sequence[str] | None, modalities: Sequence[str] | None, captures: bool
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which files [N] count, and what is left out, for people; raises `BadData` when nothing is left.

    A file that is no DICOM file at all says nothing and is kept where everything may say nothing.
    """
    wanted, notes = np.ones(len(headers), dtype=bool), []
    for what, column, asked in (("modalities", "modality", modalities), ("views", "view", views)):
        if asked is None:
            continue
        told = headers[column].fillna(NOT_SAID).str.upper()
        names = {name.strip().upper() for name in asked}
        there = told[wanted].value_counts()
        if absent := sorted(names - {NOT_SAID.upper()} - set(there.index)):
            notes.append(f"{what}: no file is {', '.join(absent)}; there are {_counted(there)}")
        left = wanted & ~told.isin(names).to_numpy()
        if left.any():
            notes.append(f"{what}: {int(left.sum())} files left out ({_counted(told[left].value_counts())})")
        wanted &= ~left
        _need_some(wanted, f"{what}: [{', '.join(asked)}]", there)
    screens = wanted & headers["kind"].fillna("").str.fullmatch(CAPTURE).to_numpy(dtype=bool)
    if screens.any() and not captures:
        notes.append(f"captures: {int(screens.sum())} secondary captures left out")
        wanted &= ~screens
        _need_some(wanted, "captures: false", pd.Series({"secondary captures": int(screens.sum())}))
    return wanted, notes


def need_sense(
    folders: list[Role] | None = None,
    views: list[str] | None = None,
    modalities: list[str] | None = None,
    table: str = "",
    tag: str = "",
    **_: object,
) -> None:
    """Raises `WrongRequest` for options of a DICOM source that contradict each other or leave nothing."""
    need_class(folders)
    if given := [name for name, value in (("table", table), ("tag", tag)) if value and folders]:
        raise WrongRequest(f"dicom: labels come from folders or from a {given[0]}, not from both")
    for name, asked in (("views", views), ("modalities", modalities)):
        if asked is not None and not asked:
            raise WrongRequest(f"dicom: {name}: [] leaves nothing; name those that count, or leave the option out")


def _need_some(wanted: NDArray[np.bool_], asked: str, there: pd.Series) -> None:
    if not wanted.any():
        raise BadData(f"dicom: {asked} leaves no file; there are {_counted(there)}")


def _counted(counts: pd.Series) -> str:
    told = [f"{NOT_SAID if name == NOT_SAID.upper() else name} {count}" for name, count in counts.items()]
    return ", ".join(told[:8]) + (", …" if len(told) > 8 else "")
