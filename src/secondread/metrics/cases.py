"""Predictions beside the truth: what every score is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.core.errors import BadData

if TYPE_CHECKING:
    from secondread.core.tables import Task

Floats = NDArray[np.floating]
AVERAGES = ("overall", "macro", "micro", "weighted", "chexpert_five")
MIN_CASES = 10
"""A label with fewer on either side takes no part in a multi-label macro mean."""
CHEXPERT_FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")


@dataclass(frozen=True, eq=False)
class Cases:
    """N cases over K classes; make it with `cases`.

    y_true [N, K]: 1, 0 or NaN (not known); one-hot where classes exclude each other. probabilities [N, K] and
    decisions [N, K] (1 or 0) may be NaN where the model gave no number: such an entry is *unread*. training [N]: which
    of several trainings read the case, where folds are joined; their scores share no scale, so what is about ranks
    compares cases of one training only (Forman & Scholz 2010, "Apples-to-apples in cross-validation studies").
    """

    y_true: Floats
    probabilities: Floats
    decisions: Floats
    task: Task
    classes: tuple[str, ...]
    training: NDArray[np.int64] | None = None

    @property
    def n(self) -> int:
        return int(self.y_true.shape[0])

    @property
    def exclusive(self) -> bool:
        """Whether each case belongs to exactly one class."""
        return self.task != "multilabel"

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """[N, K]: the truth is known. Of exclusive classes a row is known as a whole or not at all."""
        said = ~np.isnan(self.y_true)
        return np.broadcast_to(said.all(axis=1, keepdims=True), said.shape) if self.exclusive else said

    @cached_property
    def read(self) -> NDArray[np.bool_]:
        """[N, K]: the truth is known and the prediction is a number. Scores look at these entries only."""
        numbers = np.isfinite(self.probabilities) & np.isfinite(self.decisions)
        if self.exclusive:
            numbers = np.broadcast_to(numbers.all(axis=1, keepdims=True), numbers.shape)
        return self.known & numbers

    @cached_property
    def unread(self) -> NDArray[np.int64]:
        """[K]: how many known entries have no number as their prediction."""
        return np.asarray((self.known & ~self.read).sum(axis=0), dtype=np.int64)

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """[N, K]: 1 where the class is present and the entry read, else 0."""
        return np.where(self.read, np.nan_to_num(self.y_true), 0.0).astype(np.float64)

    @cached_property
    def decided(self) -> NDArray[np.float64]:
        """[N, K]: 1 where the model decided for the class and the entry is read, else 0."""
        return np.where(self.read, np.nan_to_num(self.decisions), 0.0).astype(np.float64)

    @cached_property
    def positives(self) -> NDArray[np.int64]:
        return np.asarray(self.truth.sum(axis=0), dtype=np.int64)

    @cached_property
    def negatives(self) -> NDArray[np.int64]:
        return np.asarray(self.read.sum(axis=0) - self.positives, dtype=np.int64)

    @cached_property
    def eligible(self) -> NDArray[np.bool_]:
        """[K]: takes part in the macro mean: present at all; of many labels, with `MIN_CASES` on either side."""
        if self.exclusive:
            return np.asarray(self.positives >= 1)
        return np.asarray(np.minimum(self.positives, self.negatives) >= MIN_CASES)

    @cached_property
    def chexpert_five(self) -> NDArray[np.int64]:
        """Columns of CheXpert's five competition labels; empty when one of them is missing."""
        here = {name: k for k, name in enumerate(self.classes)}
        complete = not self.exclusive and all(name in here for name in CHEXPERT_FIVE)
        return np.array([here[name] for name in CHEXPERT_FIVE] if complete else [], dtype=np.int64)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Cases:
        """The cases of these rows (indices or a mask)."""
        training = None if self.training is None else self.training[rows]
        return replace(
            self, y_true=self.y_true[rows], probabilities=self.probabilities[rows], decisions=self.decisions[rows],
            training=training,
        )  # fmt: skip

    @cached_property
    def by_training(self) -> list[NDArray[np.intp]]:
        """Rows of the cases that one training read, for each training."""
        if self.training is None:
            return [np.arange(self.n)]
        return [np.flatnonzero(self.training == one) for one in np.unique(self.training)]

    def column(self, row: str) -> int | None:
        """The class that a row of scores is about; None for an average."""
        return self.classes.index(row) if row in self.classes else None


def cases(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    decisions: ArrayLike | None = None,
    *,
    task: Task,
    classes: Sequence[str] | None = None,
) -> Cases:
    """Check the arrays and put them together; without `decisions` the arg-max (or 0.5 per label) decides.

    Raises `BadData` when shapes disagree, a label is not 0, 1 or NaN, or an exclusive row is not one-hot.
    """
    truth = np.atleast_2d(np.asarray(y_true, dtype=np.float64))
    scores = np.atleast_2d(np.asarray(probabilities, dtype=np.float64))
    made = decide_plainly(scores, task) if decisions is None else np.atleast_2d(np.asarray(decisions, np.float64))
    names = tuple(classes) if classes is not None else tuple(str(k) for k in range(truth.shape[1]))
    if not truth.shape == scores.shape == made.shape or truth.shape[1] != len(names):
        raise BadData(
            f"labels {truth.shape}, probabilities {scores.shape}, decisions {made.shape} and "
            f"{len(names)} classes do not fit together"
        )
    taken = sorted(set(names) & set(AVERAGES))
    if taken or len(set(names)) != len(names):
        raise BadData(f"class names must differ and must not be one of {', '.join(AVERAGES)}: {list(names)}")
    _check_labels(truth, task)
    return Cases(truth, scores, made, task, names)


def decide_plainly(probabilities: Floats, task: Task) -> NDArray[np.float64]:
    """[N, K]: arg-max of exclusive classes (the first of equals), 0.5 per label otherwise; NaN stays NaN."""
    if task == "multilabel":
        return np.where(np.isnan(probabilities), np.nan, (probabilities >= 0.5).astype(np.float64))
    broken = np.isnan(probabilities).any(axis=1)
    made = np.zeros(probabilities.shape, dtype=np.float64)
    if probabilities.size:
        best = np.argmax(np.where(np.isnan(probabilities), -np.inf, probabilities), axis=1)
        made[np.arange(len(made)), best] = 1.0
    made[broken] = np.nan
    return made


def _check_labels(truth: Floats, task: Task) -> None:
    said = truth[~np.isnan(truth)]
    if not np.isin(said, (0.0, 1.0)).all():
        raise BadData("labels for scores are 1, 0 or NaN (not known); map uncertain labels first")
    whole = truth[~np.isnan(truth).any(axis=1)]
    if task != "multilabel" and not (whole.sum(axis=1) == 1).all():
        raise BadData(f"a {task} row must have exactly one class; for several at once use the multilabel task")
