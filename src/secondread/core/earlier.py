"""What a step made in an earlier state of the study: kept under `earlier/`, where nothing takes it for current."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from secondread.core.progress import say
from secondread.core.studydir import StudyDir, Unit


def left_behind(
    where: StudyDir, there: Iterable[Path], wanted: Iterable[Path], all_units: Callable[[], Iterable[Unit]]
) -> list[Path]:
    """Of the folders ROOM/ARM/MODEL `there` those that are neither wanted now nor what their unit would make today.

    What `--only` leaves out is left alone: a command that is about other trials says nothing about it.
    """
    kept = set(wanted)
    made = {folder for folder in there if where.wants("/".join(folder.parts[-2:]))}
    if made - kept:
        kept |= {unit.folder for unit in all_units() if unit.folder in made and unit.state() == "done"}
    return sorted(made - kept)


def set_aside(folder: Path, room: Path, *beside: Path) -> None:
    """Move `folder`, and what belongs to it `beside` it, from the step's `room` to `room/earlier`."""
    name = folder.relative_to(room)
    aside = room / "earlier" / name
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    for path in (folder, *beside):
        if path.exists():
            path.rename(aside.with_name(path.name))
    say(f"{room.name}: {name} is of an earlier state of the study; moved to {aside.relative_to(room.parent)}")
