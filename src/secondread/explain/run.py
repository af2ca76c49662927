"""Trial + rows → maps of what the model looked at, and how good they are.

Reads evaluate/summary.json (which trial was picked), evaluate/<arm>/<model>/operating.json, train/<trial>/,
predict/<trial>.parquet, prepare/, cache/, masks where there are any. Writes explain/<arm>/<model>/: cases.json,
panels/*.png, one sheet per group of cases, quality.csv; those that are neither wanted now nor what their trial would
give today move to explain/earlier/.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from secondread.core.earlier import left_behind, set_aside
from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir, Unit
from secondread.models.chosen import Chosen, chosen

VERSION = 4
"""Raised when the same trial would be explained otherwise."""


def units(study: Study, where: StudyDir) -> list[Unit]:
    """One per explained arm and model. Raises `BadData` while evaluate has not picked."""
    return [unit_of(study, where, one) for one in chosen(study, where, study.explain.models)]


def ready(study: Study, where: StudyDir) -> None:
    """Raises `BadData` when the masks are not there, before hours are spent on training."""
    if study.explain.masks is not None and study.explain.quality and study.explain.cases:
        from secondread.explain.masks import named_folder

        named_folder(where.data, study.explain.masks)


def run(study: Study, where: StudyDir) -> None:
    """Explain every arm and model whose maps are missing or stale."""
    wanted = chosen(study, where, study.explain.models)
    for left in _left_behind(study, where, wanted):
        set_aside(left, where.root / "explain")
    for one in wanted:
        unit = unit_of(study, where, one)
        if unit.state() == "done":
            continue
        from secondread.explain.explaining import explain_chosen

        pictures: list[Path] = []
        with unit.work(outputs_of(unit.folder, study), pictures):
            explain_chosen(study, where, one)
            pictures += sorted(unit.folder.rglob("*.png"))


def _left_behind(study: Study, where: StudyDir, wanted: Iterable[Chosen]) -> list[Path]:
    """The report shows every folder of maps that it finds."""
    there = [cases.parent for cases in (where.root / "explain").glob("*/*/cases.json")]
    now = [where.explain(one.arm, one.model) for one in wanted]
    return left_behind(where, there, now, lambda: [unit_of(study, where, one) for one in chosen(study, where, "all")])


def unit_of(study: Study, where: StudyDir, one: Chosen) -> Unit:
    trial = one.trial
    settings = {"version": VERSION, "explain": as_yaml(study.explain) | {"models": ""}, "trial": trial.name}
    folder = where.trial(trial.name)
    inputs = [folder / "best.safetensors", folder / "card.json", where.predictions(trial.name),
              where.operating(one.arm, one.model)]  # fmt: skip
    return Unit("explain", f"{one.arm}/{one.model}", where.explain(one.arm, one.model), settings, inputs)


def outputs_of(folder: Path, study: Study) -> list[Path]:
    return [folder / "cases.json", *([folder / "quality.csv"] if study.explain.quality else [])]
