"""The images that a bundle is proven with: this fold's validation and training rows, as the trial saw them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.leakage import read_contents
from secondread.core.studydir import StudyDir, needed
from secondread.core.tables import Dataset, known_labels, labels_of, read_dataset, read_table
from secondread.core.trials import Trial
from secondread.images.cache import PixelCache, open_for
from secondread.models.chosen import Chosen

PARITY_IMAGES = 256
GATE_IMAGES = 768
"""Training images behind the gate's statistics; validation images behind its threshold."""


@dataclass(frozen=True)
class Material:
    """Row ids of validation (all, with labels), training (a sample) and test, in a drawn order that a seed fixes."""

    dataset: Dataset
    cache: PixelCache
    val_ids: list[str]
    val_labels: NDArray[np.float64]
    train_ids: list[str]
    test_ids: list[str]
    """Of test, one row of each patient, so that they can be counted as independent cases."""

    def validation(self, most: int) -> NDArray[np.uint8]:
        """[N,C,H,W] of the first `most` validation rows; of training rows where there is no validation."""
        return self.images((self.val_ids or self.train_ids)[:most])

    def training(self, most: int) -> NDArray[np.uint8]:
        return self.images(self.train_ids[:most])

    @property
    def whole_validation(self) -> Stretches:
        """All validation rows, however many: a stretch of images is taken when it is asked for."""
        return Stretches(self, self.val_ids)

    def images(self, row_ids: list[str]) -> NDArray[np.uint8]:
        pixels = self.cache.take(row_ids)
        return pixels[:, None] if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


@dataclass(frozen=True)
class Stretches:
    """Stands for an array [N,C,H,W] of which only a few images are wanted at once."""

    material: Material
    row_ids: list[str]

    def __len__(self) -> int:
        return len(self.row_ids)

    def __getitem__(self, part: slice) -> NDArray[np.uint8]:
        return self.material.images(self.row_ids[part])


Images = NDArray[np.uint8] | Stretches


def material_of(where: StudyDir, chosen: Chosen) -> Material:
    """What the fold of the chosen trial has; synthetic rows take no part."""
    trial = chosen.trial
    dataset = read_dataset(needed(where.dataset, "gather"))
    predicted = read_table(needed(where.predictions(trial.name), "predict"))
    val = _shuffled(predicted[predicted["split"] == "val"].drop_duplicates("row_id"))
    labels = known_labels(labels_of(val, dataset.classes)).astype(np.float64)
    cache = open_for(where, trial.train.size, trial.train.fit)
    test = _shuffled(predicted[predicted["split"] == "test"]).drop_duplicates("group")
    return Material(dataset, cache, list(val["row_id"]), labels, _training_ids(where, trial), list(test["row_id"]))


def seen_by(where: StudyDir, trials: Iterable[Trial]) -> set[str]:
    """Content ids of all that a bundle of these trials was fitted on: what they and the weights that they started from
    learned from, and the validation images that chose the epoch, the calibration and the thresholds."""
    seen: set[str] = set()
    for trial in trials:
        seen |= read_contents(where.trial(trial.name) / "contents.json")
        predicted = read_table(needed(where.predictions(trial.name), "predict"))
        seen |= set(predicted.loc[predicted["split"] == "val", "content_id"])
    return seen


def _training_ids(where: StudyDir, trial: Trial) -> list[str]:
    splits = read_table(needed(where.splits, "prepare"))
    own = splits[(splits["repeat"] == trial.repeat) & (splits["fold"] == trial.fold) & (splits["split"] == "train")]
    return list(_shuffled(own)["row_id"])


def _shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    """In an order that does not follow classes or files; the same rows always come in the same order."""
    ordered = rows.sort_values("row_id", kind="stable")
    return ordered.iloc[np.random.default_rng(0).permutation(len(ordered))]
