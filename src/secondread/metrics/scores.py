"""Scores of one set of cases: every metric per class and averaged, the counts behind them, and what errors cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.core.errors import WrongRequest
from secondread.metrics.cases import MIN_CASES, Cases
from secondread.metrics.catalogue import METRICS, Metric
from secondread.metrics.tally import Sums, Tally, ratio, tally

Key = tuple[str, str]
"""(metric, row); the row is a class name or one of `cases.AVERAGES`."""
MEANS_OF_ELIGIBLE = ("macro", "weighted")
NO_CASE, FEW_CASES = "no case", f"fewer than {MIN_CASES} cases on a side"
"""Why a class takes no part in a mean."""


@dataclass(frozen=True)
class Score:
    """One number with its interval; NaN comes with the reason in words."""

    metric: str
    row: str
    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    method: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Counts:
    """Decisions of one class against the rest; tp + fp + fn + tn + unread = n, the entries whose truth is known."""

    row: str
    tp: int
    fp: int
    fn: int
    tn: int
    unread: int

    @property
    def n(self) -> int:
        return self.tp + self.fp + self.fn + self.tn + self.unread

    @property
    def sensitivity(self) -> float:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else math.nan

    @property
    def specificity(self) -> float:
        return self.tn / (self.tn + self.fp) if self.tn + self.fp else math.nan

    @property
    def fpr(self) -> float:
        """False-positive rate."""
        return 1 - self.specificity

    @property
    def fnr(self) -> float:
        """False-negative rate."""
        return 1 - self.sensitivity


def chosen(names: Iterable[str] | None, task: str) -> list[Metric]:
    """The metrics of these names (all when None) that have meaning for the task; `WrongRequest` for a wrong name."""
    wanted = list(METRICS) if names is None else list(names)
    unknown = [name for name in wanted if name not in METRICS]
    if unknown:
        raise WrongRequest(f"there is no metric {unknown[0]!r}. Valid: {', '.join(METRICS)}")
    return [METRICS[name] for name in wanted if task in METRICS[name].tasks]


def score(cases: Cases, names: Iterable[str] | None = None) -> list[Score]:
    """Every value of these metrics on these cases, without intervals (see `defended.scores_with_intervals`)."""
    values = measure(tally(cases), chosen(names, cases.task))
    return [
        Score(name, row, float(value[0]), n=rows_behind(cases, row), reason=why(cases, name, row, float(value[0])))
        for (name, row), value in values.items()
    ]


def measure(counted: Tally, metrics: Iterable[Metric]) -> dict[Key, Sums]:
    """(metric, row) → [B]: the metrics under each set of weights.

    One prediction that is not a number makes every value that rests on its class NaN: a broken model must not look
    well on the rows it could read.
    """
    cases = counted.cases
    broken = cases.unread > 0
    values: dict[Key, Sums] = {}
    for metric in metrics:
        measured = metric.function(counted)
        if measured.per_class is not None and cases.task in metric.per_class:
            for k, row in enumerate(cases.classes):
                values[metric.name, row] = np.where(broken[k], np.nan, measured.per_class[k])
        for row, value in measured.averages.items():
            resting = broken[cases.chexpert_five] if row == "chexpert_five" else broken
            values[metric.name, row] = np.where(resting.any(), np.nan, value)
    if counted.only is not None:
        return {key: value for key, value in values.items() if key[1] == cases.classes[counted.only]}
    return values


def rows_behind(cases: Cases, row: str) -> int:
    """How many cases a row of scores rests on."""
    k = cases.column(row)
    return int(cases.read[:, k].sum() if k is not None else cases.read.any(axis=1).sum())


def why(cases: Cases, metric: str, row: str, value: float) -> str:
    """The reason for a value that is NaN or a convention; empty when there is nothing to say."""
    k = cases.column(row)
    if not math.isnan(value):
        return _convention(cases, metric, row)
    unread = int(cases.unread.sum() if k is None else cases.unread[k])
    if unread:
        return (
            f"{unread} of {int(cases.known.sum() if k is None else cases.known[:, k].sum())} predictions are no numbers"
        )
    if not cases.read.any():
        return "no case with a known label"
    if k is not None:
        if cases.positives[k] == 0:
            return f"no {row} case in this set"
        if cases.training is not None and cases.negatives[k]:
            return f"no fold has both {row} and other cases"
        return f"every case of this set is {row}" if cases.negatives[k] == 0 else "not defined here"
    if not cases.eligible.any():
        return f"no label has {MIN_CASES} cases on either side"
    alone = [name for name, absent in zip(cases.classes, cases.negatives == 0, strict=True) if absent]
    return f"every case of this set is {alone[0]}" if alone else "not defined here"


def _convention(cases: Cases, metric: str, row: str) -> str:
    k = cases.column(row)
    if metric == "precision" and k is not None and cases.decided[:, k].sum() == 0:
        return "never decided for: precision counted as 0"
    if metric == "mcc" and k is None and cases.exclusive:
        constant = (cases.decided > 0).any(axis=0).sum() == 1 or (cases.truth > 0).any(axis=0).sum() == 1
        return "decisions or truth are constant: 0 by convention" if constant else ""
    if row in MEANS_OF_ELIGIBLE or (metric, row) == ("balanced_accuracy", "overall"):
        left = [name for name, fine in zip(cases.classes, cases.eligible, strict=True) if not fine]
        return f"without {', '.join(left)} ({NO_CASE if cases.exclusive else FEW_CASES})" if left else ""
    return ""


def left_out_of(method: str) -> str:
    """The labels that a multi-label mean leaves out, as the method of its score says; empty where it has all."""
    _, _, told = method.partition("without ")
    return told.removesuffix(f" ({FEW_CASES})") if told.endswith(f" ({FEW_CASES})") else ""


def counts(cases: Cases) -> list[Counts]:
    """TP, FP, FN, TN of every class against the rest."""
    counted = tally(cases)
    table = np.stack([counted.tp, counted.fp, counted.fn, counted.tn])[:, :, 0].round().astype(int)
    return [
        Counts(row, *(int(value) for value in (*table[:, k], cases.unread[k]))) for k, row in enumerate(cases.classes)
    ]


def confusion_matrix(cases: Cases) -> NDArray[np.int64]:
    """[K, K]: true class × decided class, of exclusive classes; unread cases are in no cell."""
    if not cases.exclusive:
        raise WrongRequest("a confusion matrix needs classes that exclude each other; use the counts of each label")
    return tally(cases).confusion[:, :, 0].round().astype(np.int64)


def expected_cost(counted: Tally | Cases, costs: ArrayLike) -> Sums:
    """[B] (a number's worth for `Cases`: B = 1): mean cost of a decision.

    costs [K, K]: true class × decided class, of exclusive classes. Many labels: [2, 2], truth × decision, the same for
    each label and summed over labels. (Ferrer 2022, arXiv 2209.05355.)
    """
    if isinstance(counted, Cases):
        counted = tally(counted)
    matrix = np.asarray(costs, dtype=np.float64)
    size = len(counted.cases.classes) if counted.cases.exclusive else 2
    if matrix.shape != (size, size):
        raise WrongRequest(f"the cost matrix must be {size} × {size} (truth × decision), not {matrix.shape}")
    if counted.cases.unread.any():
        return np.full(counted.weights_NB.shape[1], np.nan)
    if counted.cases.exclusive:
        return ratio(np.einsum("ij,ijb->b", matrix, counted.confusion), counted.read[0])
    per_label = (
        matrix[0, 0] * counted.tn + matrix[0, 1] * counted.fp + matrix[1, 0] * counted.fn + matrix[1, 1] * counted.tp
    )
    return np.asarray(np.nansum(ratio(per_label, counted.read), axis=0))
