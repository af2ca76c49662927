"""One explained trial, from its checkpoint to the files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import write_json, write_with
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, log_test_read, needed
from secondread.core.tables import read_dataset, read_table
from secondread.explain.grad_cam import EMPTY, NAMES, Method, explain
from secondread.explain.masks import find_masks
from secondread.explain.panels import Shown, panel, sheet
from secondread.explain.quality import BATCH, COLUMNS, Subject, quality
from secondread.explain.selection import GROUPS, Group, Judged, judge_rows, select
from secondread.images.cache import PixelCache, open_for
from secondread.learning.devices import set_threads
from secondread.models.build import load_trial
from secondread.models.chosen import Chosen, point_of

SHEET_CASES = 8
MOST_LABELS = 4
"""Of a case in a panel; cases.json names all."""


@dataclass(frozen=True)
class _Pixels:
    cache: PixelCache

    def __call__(self, row_ids: Sequence[str]) -> NDArray[np.uint8]:
        pixels = self.cache.take(row_ids)
        return pixels[:, None] if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def explain_chosen(study: Study, where: StudyDir, one: Chosen) -> Path:
    """Write panels, cases.json and quality.csv of one trial; gives the folder. `BadData` when there are no rows."""
    trial = one.trial
    set_threads(trial.train.engine)
    classifier, _ = load_trial(where.trial(trial.name))
    point = point_of(where, trial)
    predicted = read_table(needed(where.predictions(trial.name), "predict"))
    val, test = (judge_rows(predicted, split, point) for split in ("val", "test"))
    shown, split = (test, "test") if len(test.rows) else (val, "val")
    if not len(shown.rows):
        raise BadData(f"explain: {trial.name} has no test or validation rows with known labels")
    if split == "test":
        log_test_read(where, "explain", trial.name)
    cache = open_for(where, trial.train.size, trial.train.fit)
    subject = Subject(classifier.eval(), point, _Pixels(cache), tuple(study.explain.methods))
    folder = where.explain(one.arm, one.model)
    shutil.rmtree(folder / "panels", ignore_errors=True)
    groups = {group: shown.take(places) for group, places in select(shown, study.explain.cases).items()}
    cases = [case for group in GROUPS for case in _explained(subject, groups[group], group, folder)]
    if study.explain.quality:
        dataset = read_dataset(needed(where.dataset, "gather"))
        table = quality(subject, shown, val, find_masks(dataset, where.data, study.explain.masks, cache))
        write_with(folder / "quality.csv", partial(table[COLUMNS].to_csv, index=False))
    write_json(folder / "cases.json", {
        "arm": one.arm, "model": one.model, "trial": trial.name, "split": split, "layer": classifier.card.cam_layer,
        "methods": {name: NAMES[name] for name in subject.methods}, "classes": list(point.classes),
        "sheets": {group: f"{group}.png" for group in GROUPS if len(groups[group].rows)}, "cases": cases,
    })  # fmt: skip
    return folder


def _explained(subject: Subject, judged: Judged, group: Group, folder: Path) -> list[dict[str, Any]]:
    """Write the panels of one group and their sheet; one record per case."""
    if not len(judged.rows):
        return []
    records, first = [], []
    for at, (image, maps) in enumerate(_with_maps(subject, list(judged.rows["row_id"].astype(str)))):
        labels = _labels_shown(judged, at)
        shown = Shown(np.moveaxis(image, 0, -1).squeeze(), maps, labels[:MOST_LABELS],
                      [_caption(judged, at, k) for k in labels[:MOST_LABELS]],
                      f"{group.replace('_', ' ')}: {_words(judged, at)}")  # fmt: skip
        picture = panel(shown)
        path = folder / "panels" / f"{group}-{at:02d}.png"
        write_with(path, partial(picture.save, format="PNG", optimize=True))
        first += [picture] if at < SHEET_CASES else []
        records.append(_record(judged, at, group, maps, labels) | {"panel": f"panels/{path.name}"})
    write_with(folder / f"{group}.png", partial(sheet(first).save, format="PNG", optimize=True))
    return records


def _with_maps(
    subject: Subject, row_ids: Sequence[str]
) -> Iterator[tuple[NDArray[np.uint8], dict[Method, NDArray[np.float32]]]]:
    """Each image [C,S,S] and its maps [K,h,w] by method; a few images at a time, however many are wanted."""
    for start in range(0, len(row_ids), BATCH):
        images = subject.images(row_ids[start : start + BATCH])
        found = explain(subject.classifier, torch.from_numpy(images), subject.methods)
        for at, image in enumerate(images):
            yield image, {name: maps[at].numpy() for name, maps in found.items()}


def _labels_shown(judged: Judged, at: int) -> list[int]:
    """Every label that is true or was decided; of none the most probable one."""
    wanted = (judged.labels[at] == 1) | (judged.decisions[at] == 1)
    found = [int(k) for k in np.argsort(-judged.probabilities[at], kind="stable") if wanted[k]]
    return found or [int(judged.probabilities[at].argmax())]


def _caption(judged: Judged, at: int, label: int) -> str:
    return f"{judged.classes[label]} {judged.probabilities[at, label]:.2f}"


def _names(judged: Judged, flags: NDArray[np.float64]) -> list[str]:
    return [name for name, flag in zip(judged.classes, flags, strict=True) if flag == 1]


def _words(judged: Judged, at: int) -> str:
    truth, said = _names(judged, judged.labels[at]), _names(judged, judged.decisions[at])
    return f"is {', '.join(truth) or 'none'}, read as {', '.join(said) or 'none'}"


def _record(
    judged: Judged, at: int, group: Group, maps: dict[Method, NDArray[np.float32]], labels: Sequence[int]
) -> dict[str, Any]:
    """The case in cases.json; `maximum` is that of the raw map, `evidence` whether it is more than rounding."""
    told = {
        name: {
            judged.classes[k]: {
                "maximum": float(found[k].max()),
                "evidence": bool(found[k].max() > EMPTY * found.max()),
            }
            for k in labels
        }
        for name, found in maps.items()
    }
    chances = {name: float(p) for name, p in zip(judged.classes, judged.probabilities[at], strict=True)}
    return {
        "row_id": str(judged.rows["row_id"].iloc[at]), "group": group, "truth": _names(judged, judged.labels[at]),
        "decision": _names(judged, judged.decisions[at]), "probabilities": chances, "maps": told,
    }  # fmt: skip
