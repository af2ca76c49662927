"""From a bundle and labelled images to a proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.core.alone import alone
from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import clear_abandoned, read_json, write_json, write_text
from secondread.core.provenance import environment
from secondread.core.studydir import StudyDir
from secondread.core.tables import read_csv, read_results, write_csv
from secondread.evaluate.gallery import Gallery
from secondread.models.bundle import Bundle
from secondread.pages.document import render
from secondread.prepare.report import name_of
from secondread.proving import words
from secondread.proving.claims import Claim, Outcome, claims_of, outcome_of
from secondread.proving.judged import Judged
from secondread.proving.page import report_of
from secondread.proving.readings import pixels_for, readings_of
from secondread.proving.unseen import is_study_file, study_for, unseen_by

MARGIN = 0.05


@dataclass(frozen=True)
class Proof:
    """What lies in the folder of a proof; in a notebook it shows itself."""

    folder: Path

    @property
    def told(self) -> dict[str, Any]:
        """proof.json: outcome, sentences, claims, images left out, the bundle's digest."""
        found: dict[str, Any] = read_json(self.folder / "proof.json")
        return found

    @property
    def outcome(self) -> Outcome:
        found: Outcome = self.told["outcome"]
        return found

    @property
    def claims(self) -> pd.DataFrame:
        return pd.DataFrame(self.told["claims"])

    @property
    def scores(self) -> pd.DataFrame:
        return read_results(self.folder / "scores.csv")

    @property
    def readings(self) -> pd.DataFrame:
        """One row per image; names are text whatever stands in them, and no number is NaN."""
        table = read_csv(self.folder / "readings.csv", dtype=str, keep_default_na=False)
        for name in map(str, table):
            if name == "gate_distance" or name.startswith(("p_", "y_")):
                table[name] = pd.to_numeric(table[name].replace("", None))
        return table

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def _repr_html_(self) -> str:
        said = "".join(f"<li>{escape(one)}</li>" for one in self.told["sentences"])
        return f"<ul>{said}</ul>{self.claims.round(3).to_html(index=False)}<code>{escape(str(self.report))}</code>"


def prove(
    bundle: Bundle, data: Path, out: Path | None = None, margin: float = MARGIN, base: Path | None = None,
    labels: Mapping[str, list[str]] | None = None,
) -> Proof:  # fmt: skip
    """Read labelled images that the bundle has not seen and hold its card against what is found.

    `data`: a folder, table, npz file or DICOM tree, or a study file whose `gather` says how to read them (`base`: where
    its data lie); `labels`: what the bundle's classes are called there, as `gather.labels`. Raises `BadData` or `Leak`
    as `unseen_by` does, `WrongRequest` for an `out` that will not do.
    """
    if not data.exists():
        raise BadData(f"{data} does not exist")
    if not 0 < margin < 1:
        raise WrongRequest(f"--margin: {margin:g} is not between 0 and 1")
    study = study_for(data, bundle, labels or {})
    root = (out or Path(f"{name_of(data.resolve())}-proof")).resolve()
    where = StudyDir(root, base if is_study_file(data) else data.resolve())
    _forbid_other_folders(where, data)
    clear_abandoned(where.root)
    with alone(where.lock("prove"), f"the proof in {where.root}"):
        unseen = unseen_by(bundle, study, where, str(data))
        cache = pixels_for(bundle, unseen, where)
        judged = Judged(bundle.card, unseen, readings_of(bundle, unseen, cache, where))
        claims = claims_of(bundle.card, judged.scores, judged.cases, judged.drawn, margin)
        outcome = outcome_of(claims)
        (where.proof / "proof.json").unlink(missing_ok=True)
        scores, readings = judged.table, _for_readers(judged)
        write_csv(scores, where.proof / "scores.csv", list(map(str, scores)))
        write_csv(readings, where.proof / "readings.csv", list(map(str, readings)))
        report = report_of(bundle, judged, claims, outcome, margin, cache, Gallery(where.proof / "figures"))
        write_text(where.proof / "report.html", render("report.html.j2", report=report))
        _write_told(bundle, judged, claims, outcome, where, data, margin)
    return Proof(where.proof)


def _forbid_other_folders(where: StudyDir, data: Path) -> None:
    if where.study_file.exists():
        raise WrongRequest(f"{where.root} holds a study: name another folder with --out")
    if data.is_dir() and where.root.is_relative_to(data.resolve()):
        raise WrongRequest(f"{where.root} lies inside the images: name a folder outside with --out")


def _write_told(
    bundle: Bundle, judged: Judged, claims: list[Claim], outcome: Outcome, where: StudyDir, data: Path, margin: float
) -> None:
    """proof.json, last of all: where it lies, the rest is of the same proof."""
    said = words.sentences(outcome, claims, judged, margin)
    write_json(where.proof / "proof.json", {
        "outcome": outcome, "margin": margin, "sentences": [str(one) for one in said],
        "claims": [one.as_dict() for one in claims], "images": judged.cases.n, "patients": judged.drawn.patients,
        "left_out": judged.unseen.left_out, "past_known": bundle.seen is not None,
        "bundle": {"name": bundle.card.name, "sha256": bundle.sha256}, "data": str(data), "made": environment(),
    })  # fmt: skip


def _for_readers(judged: Judged) -> pd.DataFrame:
    """The readings with the patient and the truth, the decision in words."""
    rows, classes = judged.unseen.rows, judged.card.classes
    table = judged.readings
    decided = [" | ".join(name for name in classes if row[f"d_{name}"] == 1) for row in table.to_dict("records")]
    told = table.drop(columns=[f"d_{name}" for name in classes])
    told.insert(1, "decision", decided)
    told.insert(1, "patient", rows["patient"].to_numpy())
    for k, name in enumerate(classes):
        told[f"y_{name}"] = judged.unseen.labels[:, k]
    return told
