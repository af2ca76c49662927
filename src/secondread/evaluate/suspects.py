"""Labels that all trials disagree with: from predictions on rows that no training saw.

Confident learning (Northcutt, Jiang and Chuang 2021): a class's own confidence is the mean probability that rows of
that class get for it; a row is suspected when another class reaches its own confidence on it and is more probable
than the row's label. Trials that tell the classes apart poorly doubt nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.evaluate.operating import Judged
from secondread.evaluate.predictions import SPLITS
from secondread.metrics.calibration import OperatingPoint
from secondread.metrics.cases import cases
from secondread.metrics.scores import score

COLUMNS = ["row_id", "label", "suggested", "own", "other", "trials"]
LEAST_AUROC = 0.75
Array = NDArray[np.float64]


def suspected_labels(judged: Sequence[Judged]) -> pd.DataFrame:
    """Suspected rows, the least believable first: `own` and `other` are the probabilities of label and suggestion."""
    ids, labels, chances, seen = mean_predictions(judged)
    classes = judged[0].point.classes
    if len(ids) == 0 or not read_well(judged[0].point, labels, chances):
        return pd.DataFrame(columns=COLUMNS)
    if judged[0].point.task == "multilabel":
        found = [_of_label(name, labels[:, k], chances[:, k]) for k, name in enumerate(classes)]
        table = pd.concat(found, ignore_index=True)
    else:
        table = _exclusive(labels, chances, classes)
    table = table.assign(row_id=ids[table["at"]], trials=seen[table["at"]])
    order = (table["own"] - table["other"]).to_numpy(dtype=float).argsort(kind="stable")
    return table.iloc[order][COLUMNS].reset_index(drop=True)


def read_well(point: OperatingPoint, labels: Array, chances: Array) -> bool:
    """Whether the trials together tell the classes apart well enough to doubt a label (macro AUROC of their mean)."""
    together = cases(labels, chances, task=point.task, classes=point.classes)
    macro = next(one.value for one in score(together, ["auroc"]) if one.row == "macro")
    return macro >= LEAST_AUROC


def mean_predictions(judged: Sequence[Judged]) -> tuple[NDArray[np.object_], Array, Array, NDArray[np.int64]]:
    """Row ids [N], labels [N, K], mean calibrated p [N, K] over the trials that read the row, and their number."""
    parts = [(one.predicted.part(split), one.cases(split)) for one in judged for split in SPLITS]
    parts = [(rows, cases) for rows, cases in parts if rows.n]
    if not parts:
        return np.array([], dtype=object), np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0, dtype=np.int64)
    ids = np.concatenate([rows.row_ids for rows, _ in parts])
    chances = np.concatenate([np.asarray(cases.probabilities, dtype=np.float64) for _, cases in parts])
    labels = np.concatenate([rows.labels for rows, _ in parts])
    fine = np.isfinite(chances).all(axis=1)
    _, first, at = np.unique(ids[fine].astype(str), return_index=True, return_inverse=True)
    seen = np.bincount(at, minlength=len(first))
    summed = np.stack([np.bincount(at, chances[fine][:, k], minlength=len(first)) for k in range(chances.shape[1])], 1)
    return ids[fine][first], labels[fine][first], summed / np.maximum(seen, 1)[:, None], seen


def _exclusive(labels: Array, chances: Array, classes: Sequence[str]) -> pd.DataFrame:
    known = np.isfinite(labels).all(axis=1)
    given = np.where(known, np.nan_to_num(labels).argmax(axis=1), -1)
    confidence = _self_confidence(chances, given)
    reached = chances >= confidence
    best = np.where(reached, chances, -1.0).argmax(axis=1)
    own = chances[np.arange(len(given)), given]
    at = np.flatnonzero(known & reached.any(axis=1) & (best != given) & (chances.max(axis=1) > own))
    return pd.DataFrame({
        "at": at, "label": [classes[k] for k in given[at]], "suggested": [classes[k] for k in best[at]],
        "own": chances[at, given[at]], "other": chances[at, best[at]],
    })  # fmt: skip


def _of_label(name: str, labels: Array, chances: Array) -> pd.DataFrame:
    """One label of many: present against absent."""
    known = np.isfinite(labels)
    given = np.where(known, np.nan_to_num(labels), -1).astype(int)
    both = np.stack([1 - chances, chances], axis=1)
    reached = both >= _self_confidence(both, given)
    best = np.where(reached, both, -1.0).argmax(axis=1)
    own = both[np.arange(len(given)), given]
    at = np.flatnonzero(known & reached.any(axis=1) & (best != given) & (own < 0.5))
    words = (f"no {name}", name)
    return pd.DataFrame({
        "at": at, "label": [words[k] for k in given[at]], "suggested": [words[k] for k in best[at]],
        "own": both[at, given[at]], "other": both[at, best[at]],
    })  # fmt: skip


def _self_confidence(chances: Array, given: NDArray[np.integer]) -> Array:
    """[K]: mean probability of a class among rows that carry it; infinite for a class that no row carries."""
    return np.array([
        chances[given == k, k].mean() if (given == k).any() else np.inf for k in range(chances.shape[1])
    ])  # fmt: skip
