"""Checkpoint + operating point → ONNX bundle.

Reads evaluate/summary.json (which trial was picked), evaluate/<arm>/<model>/operating.json, evaluate/scores.csv,
train/<trial>/, predict/<trial>.parquet, prepare/, cache/. Writes export/<arm>/<model>/ (model.onnx, card.json,
reference.npz, MODEL_CARD.md), the same as a zip beside it, and export/<arm>/<model>-int8/ where int8 passes its gate;
bundles of trainings that are gone move to export/earlier/.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from secondread.core.progress import say
from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir, Unit
from secondread.core.tables import read_dataset
from secondread.export.scored import banners_of, own_scores
from secondread.models.chosen import Chosen, chosen

VERSION = 2
"""Raised when the same checkpoint would give another bundle."""


def units(study: Study, where: StudyDir) -> list[Unit]:
    """One per exported arm and model. Raises `BadData` while evaluate has not picked."""
    return [unit_of(study, where, one) for one in chosen(study, where, study.export.pick)]


def run(study: Study, where: StudyDir) -> None:
    """Export every bundle that is missing or stale. Raises `BadData` when one does not answer as its checkpoint."""
    from secondread.models.bundle.container import LARGEST

    picked = chosen(study, where, study.export.pick)
    for left in left_behind(study, where, picked):
        _set_aside(left, where.root / "export")
    for one in picked:
        unit = unit_of(study, where, one)
        if unit.state() == "done":
            continue
        from secondread.export.bundling import export_bundle

        with unit.work([unit.folder / name for name in LARGEST]):
            export_bundle(study, where, one)


def left_behind(study: Study, where: StudyDir, picked: Iterable[Chosen]) -> list[Path]:
    """Bundles in the folder that are neither exported now nor what their trial would give today."""
    there = {card.parent for card in (where.root / "export").glob("*/*/card.json")}
    kept = {where.export(one.arm, one.model) for one in picked}
    if there - kept:
        others = [unit_of(study, where, one) for one in chosen(study, where, "all")]
        kept |= {unit.folder for unit in others if unit.folder in there and unit.state() == "done"}
    return sorted(there - kept - {folder.with_name(f"{folder.name}-int8") for folder in kept})


def _set_aside(bundle: Path, exports: Path) -> None:
    """Keep a bundle of a training that is gone where nothing takes it for a current one."""
    name = bundle.relative_to(exports)
    aside = exports / "earlier" / name
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    for path in (bundle, bundle.with_name(f"{bundle.name}.zip")):
        if path.exists():
            path.rename(aside.with_name(path.name))
    say(f"export: {name} is of a training that is gone; moved to {aside.relative_to(exports.parent)}")


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
