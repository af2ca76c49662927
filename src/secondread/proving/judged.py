"""The readings beside the truth: scores with intervals, by subgroup, and by whether the bundle was certain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.spec.judging import Evaluate
from secondread.evaluate.scoring import bounded, rows_of, table, without_interval
from secondread.evaluate.subsets import groups_of, headlines
from secondread.metrics.cases import Cases, cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.defended import scores_with_intervals
from secondread.metrics.resampling import Resampling, resampling
from secondread.metrics.scores import Score
from secondread.models.bundle.card import BundleCard
from secondread.proving.unseen import Unseen

CONFIDENCE = 0.95
REPLICATES = 2000
BINNED = "ece"
"""Not asked for: it grows as the sample shrinks, so that two sets of other sizes cannot be compared by it."""
KEY = (-1, -1, -1)


@dataclass(frozen=True, eq=False)
class Judged:
    """Cases of all images that were read, the bundle's own decisions among them."""

    card: BundleCard
    unseen: Unseen
    readings: pd.DataFrame

    @cached_property
    def cases(self) -> Cases:
        p, d = (self.readings[[f"{kind}_{name}" for name in self.card.classes]].to_numpy(float) for kind in "pd")
        return cases(self.unseen.labels, p, d, task=self.card.task, classes=self.card.classes)

    @cached_property
    def drawn(self) -> Resampling:
        return self._draws(np.ones(self.cases.n, bool))

    @cached_property
    def scores(self) -> list[Score]:
        names = [name for name in METRICS if name != BINNED]
        return self._scored(self.cases, self.drawn, names)

    @cached_property
    def table(self) -> pd.DataFrame:
        """scores.csv: all images, then subgroups and what the bundle was certain of."""
        split_rows = rows_of(self.scores, self.card.arm, self.card.model, KEY, "all")
        for name, member in [*self.certainty(), *self.subgroups()]:
            split_rows += rows_of(self.of_some(member), self.card.arm, self.card.model, KEY, name)
        return table(split_rows)

    def certainty(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Images by what a served bundle would do with them, as far as there are any."""
        status = self.readings["status"].to_numpy()
        told = {"read": "decided on", "uncertain": "called uncertain", "refused": "refused by the gate"}
        return [(name, status == one) for one, name in told.items() if (status == one).any()]

    def subgroups(self) -> list[tuple[str, NDArray[np.bool_]]]:
        rows = self.unseen.rows
        columns = Evaluate().subgroups
        return [(f"{column} = {value}", member) for column in columns for value, member in groups_of(rows, column)]

    def of_some(self, member: NDArray[np.bool_]) -> list[Score]:
        """AUROC, sensitivity, specificity and accuracy of some images; a count where there are too few."""
        inside = self.cases.take(member)
        scores = self._scored(inside, self._draws(member), ["auroc", "recall", "specificity", "accuracy"])
        return headlines(scores, inside)

    def _draws(self, member: NDArray[np.bool_]) -> Resampling:
        return resampling(
            self.unseen.patients[member], self.unseen.labels[member], replicates=REPLICATES, seed=0, stratify=True
        )

    def _scored(self, some: Cases, drawn: Resampling, names: Iterable[str]) -> list[Score]:
        scores = scores_with_intervals(some, drawn, list(names), confidence=CONFIDENCE)
        alone = drawn.patients < 2
        return [without_interval(one) if alone else bounded(one, some.task) for one in scores]
