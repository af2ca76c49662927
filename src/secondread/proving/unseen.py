"""The images that a bundle is proven by: labelled, clean, in its classes, and none that it was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData, Leak, WrongRequest
from secondread.core.files import read_json
from secondread.core.leakage import marks
from secondread.core.progress import say
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import load_study, parse_study
from secondread.core.tables import (
    UNLABELLED,
    Dataset,
    known_labels,
    labels_of,
    read_dataset,
    read_table,
    why_unlabelled,
)
from secondread.evaluate.predictions import patients_of
from secondread.gather import run as gather
from secondread.gather.aligned import Gathered, aligned
from secondread.models.bundle import Bundle
from secondread.prepare import run as prepare
from secondread.prepare.report import name_of


@dataclass(frozen=True)
class Unseen:
    """Rows [N] of images that the bundle was not fitted on, labels [N,K] in its classes (1, 0, NaN: not known)."""

    rows: pd.DataFrame
    labels: NDArray[np.float64]
    dataset: Dataset
    audit: dict[str, Any]
    left_out: dict[str, int]
    """How many images were left out, by reason."""

    @property
    def patients(self) -> NDArray[np.object_]:
        return patients_of(self.rows)


def is_study_file(data: Path) -> bool:
    return data.suffix.lower() in (".yaml", ".yml")


def study_for(data: Path, bundle: Bundle, labels: Mapping[str, list[str]]) -> Study:
    """How the images are read: as `data` says where it is a study file, else as its layout and `labels` tell."""
    if is_study_file(data):
        if labels:
            raise WrongRequest(f"--labels: {data} says itself how classes are called (gather.labels)")
        study = load_study(data)
    else:
        told = {"source": {"name": "auto", "root": "."}, "labels": dict(labels)}
        study = parse_study({"study": name_of(data.resolve()), "gather": told})
    return study.model_copy(
        update={"gather": study.gather.model_copy(update={"frames": bundle.card.frames, "external": []})}
    )


def unseen_by(bundle: Bundle, study: Study, where: StudyDir, what: str) -> Unseen:
    """Gather, audit and align the images; leave out what the bundle has seen.

    Raises `BadData` when they have no labels of the bundle's, `Leak` when the bundle was fitted on all of them.
    """
    gather.run(study, where)
    prepare.look(study, where)
    dataset, rows = read_dataset(where.dataset), read_table(where.clean_rows)
    if dataset.classes == [UNLABELLED]:
        raise BadData(f"{what}: nothing says what the images show. {why_unlabelled(dataset)}")
    found = Gathered(rows, dataset, labels_of(rows, dataset.classes))
    how = "--labels CLASS=NAMES, or gather.labels in a study file"
    found = aligned(found, bundle.card.classes, bundle.card.task, what, how)
    seen, related = met(bundle, rows)
    if (seen | related).all():
        raise Leak(f"{what}: {bundle.card.name} was fitted on all of these {len(rows)} images, or on their relatives")
    left_out = {
        "could not be read or were no use (prepare/dropped.parquet)": len(read_table(where.dropped)),
        "the bundle was fitted on": int(seen.sum()),
        "belong to patients, or are copies, of those": int((related & ~seen).sum()),
    }
    for reason, count in left_out.items():
        if count:
            say(f"  left out: {count} that {reason}")
    keep = ~(seen | related)
    labels = known_labels(found.values[keep]).astype(np.float64)
    return Unseen(rows[keep].reset_index(drop=True), labels, found.dataset, read_json(where.audit), left_out)


def met(bundle: Bundle, rows: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[N], [N]: the bundle was fitted on the image; it was fitted on one of its patient or a duplicate."""
    if bundle.seen is None:
        return np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    seen = np.isin(marks(rows["content_id"]), bundle.seen)
    return seen, rows["group"].isin(set(rows.loc[seen, "group"])).to_numpy()
