"""Which cases are shown: some that were right, some that were wrong, and the most confident errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.tables import known_labels, labels_of
from secondread.metrics.calibration import OperatingPoint

Group = Literal["right", "wrong", "confident_error"]
GROUPS: tuple[Group, ...] = ("right", "wrong", "confident_error")


@dataclass(frozen=True)
class Judged:
    """Rows of one split as the operating point reads them: labels (NaN not known), probabilities, decisions [N,K]."""

    rows: pd.DataFrame
    classes: tuple[str, ...]
    labels: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.float64]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """[N,K]: the truth is known and the decision is another."""
        return np.asarray(np.isfinite(self.labels) & (self.decisions != self.labels))

    @property
    def overconfidence(self) -> NDArray[np.float64]:
        """[N]: the largest probability given against the truth of a wrongly decided label."""
        against = np.where(self.labels == 1, 1 - self.probabilities, self.probabilities)
        return np.asarray(np.where(self.wrong, against, 0.0).max(1))

    def take(self, places: NDArray[np.intp]) -> Judged:
        return Judged(self.rows.iloc[places].reset_index(drop=True), self.classes, self.labels[places],
                      self.probabilities[places], self.decisions[places])  # fmt: skip


def judge_rows(predicted: pd.DataFrame, split: str, point: OperatingPoint) -> Judged:
    """The rows of a split of a prediction table whose labels and logits are known."""
    rows: pd.DataFrame = predicted.loc[predicted["split"] == split].drop_duplicates("row_id").sort_values("row_id")
    logits = labels_of(rows, point.classes, "logit_").astype(np.float64)
    labels = known_labels(labels_of(rows, point.classes)).astype(np.float64)
    usable = np.isfinite(logits).all(1) & np.isfinite(labels).any(1)
    probabilities = point.probabilities(logits[usable])
    kept: pd.DataFrame = rows.iloc[np.flatnonzero(usable)].reset_index(drop=True)
    return Judged(kept, point.classes, labels[usable], probabilities,
                  point.decide(probabilities))  # fmt: skip


def select(judged: Judged, count: int, seed: int = 0) -> dict[Group, NDArray[np.intp]]:
    """Places of at most `count` cases, a third of each group; what one group lacks goes to the right ones."""
    third = max(count // 3, min(count, 1))
    any_wrong = judged.wrong.any(1)
    errors = np.flatnonzero(any_wrong)
    confident = errors[np.argsort(-judged.overconfidence[errors], kind="stable")][:third]
    others = np.setdiff1d(errors, confident)
    drawn = np.random.default_rng(seed)
    wrong = np.sort(drawn.permutation(others)[: min(third, count - len(confident))])
    right = _spread_over_classes(judged, np.flatnonzero(~any_wrong), count - len(confident) - len(wrong), drawn)
    return {"right": right, "wrong": wrong, "confident_error": confident}


def _spread_over_classes(
    judged: Judged, places: NDArray[np.intp], count: int, drawn: np.random.Generator
) -> NDArray[np.intp]:
    """Take turns among the classes, so that a rare one is seen too."""
    queues = [list(drawn.permutation(places[judged.labels[places, k] == 1])) for k in range(len(judged.classes))]
    queues.append(list(drawn.permutation(places)))
    taken: list[int] = []
    while len(taken) < count and any(queues):
        for queue in queues:
            while queue and queue[0] in taken:
                queue.pop(0)
            if queue and len(taken) < count:
                taken.append(int(queue.pop(0)))
    return np.sort(np.asarray(taken, dtype=np.intp))
