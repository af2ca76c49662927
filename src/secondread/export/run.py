"""Checkpoint + operating point → ONNX bundle.

Reads evaluate/summary.json (which trial was picked), evaluate/<arm>/<model>/operating.json, evaluate/scores.csv,
train/<trial>/, predict/<trial>.parquet, prepare/, cache/. Writes export/<arm>/<model>/ (model.onnx, card.json,
reference.npz, MODEL_CARD.md), the same as a zip beside it, and export/<arm>/<model>-int8/ where int8 passes its gate;
bundles of trainings that are gone move to export/earlier/.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from secondread.core.earlier import left_behind, set_aside
from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir, Unit
from secondread.core.tables import read_dataset
from secondread.export.scored import banners_of, own_scores
from secondread.models.chosen import Chosen, chosen

VERSION = 4
"""Raised when the same checkpoint would give another bundle."""


def units(study: Study, where: StudyDir) -> list[Unit]:
    """One per exported arm and model. Raises `BadData` while evaluate has not picked."""
    return [unit_of(study, where, one) for one in chosen(study, where, study.export.pick)]


def run(study: Study, where: StudyDir) -> None:
    """Export every bundle that is missing or stale. Raises `BadData` when one does not answer as its checkpoint."""
    from secondread.models.bundle.container import LARGEST, int8_beside, zip_beside

    picked = chosen(study, where, study.export.pick)
    for left in _left_behind(study, where, picked):
        set_aside(left, where.root / "export", zip_beside(left))
    for one in picked:
        unit = unit_of(study, where, one)
        if unit.state() == "done":
            continue
        from secondread.export.bundling import export_bundle

        beside: list[Path] = []
        with unit.work([unit.folder / name for name in LARGEST], beside):
            export_bundle(study, where, one)
            beside += [zip_beside(unit.folder), *(int8_beside(unit.folder) / name for name in LARGEST)]


def _left_behind(study: Study, where: StudyDir, picked: Iterable[Chosen]) -> list[Path]:
    """Bundles of trainings that are gone; one in int8 belongs to the one beside it."""
    from secondread.models.bundle.container import int8_beside

    there = [card.parent for card in (where.root / "export").glob("*/*/card.json")]
    now = [where.export(one.arm, one.model) for one in picked]
    found = left_behind(where, there, now, lambda: [unit_of(study, where, one) for one in chosen(study, where, "all")])
    kept = {*there, *now} - set(found)
    return sorted(set(found) - {int8_beside(folder) for folder in kept})


def unit_of(study: Study, where: StudyDir, one: Chosen) -> Unit:
    members = one.seeds if study.export.ensemble else (one.trial,)
    settings = {
        "version": VERSION, "export": as_yaml(study.export) | {"pick": ""}, "about": study.about,
        "members": [trial.name for trial in members], "scores": own_scores(where, members),
        "banners": banners_of(where),
    }  # fmt: skip
    if where.dataset.exists() and (texts := read_dataset(where.dataset).texts):
        settings["texts"] = texts
    inputs = [where.operating(one.arm, one.model)]  # of scores.csv and summary.json only the own part counts
    for trial in members:
        inputs += [where.trial(trial.name) / "best.safetensors", where.trial(trial.name) / "card.json"]
        inputs.append(where.predictions(trial.name))
    return Unit("export", f"{one.arm}/{one.model}", where.export(one.arm, one.model), settings, inputs)
