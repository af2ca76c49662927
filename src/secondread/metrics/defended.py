"""Every score with its interval, and two models compared, by the method that fits: the face that reports use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.metrics.cases import Cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.claims import minimal_detectable_difference, probability_of_false_claim
from secondread.metrics.comparisons import mcnemar, paired_bootstrap, smallest_side, value_of
from secondread.metrics.delong import Difference, delong, paired_delong
from secondread.metrics.intervals import at_the_edge, bca, logit_t
from secondread.metrics.resampling import Replicates, Resampling, leave_outs, replicates
from secondread.metrics.scores import Key, Score, score
from secondread.metrics.shares import wilson
from secondread.metrics.tally import tally

if TYPE_CHECKING:
    from secondread.core.tables import Task

Method = Literal["delong", "wilson", "bootstrap"]
SHARES = {"accuracy", "precision", "recall", "specificity", "exact_match"}
"""Metrics that are a share of cases where they concern one class, or all cases once."""
UNIT = (*SHARES, "f1", "auroc", "average_precision", "balanced_accuracy", "hamming")
ENDS = dict.fromkeys(UNIT, (0.0, 1.0)) | {"mcc": (-1.0, 1.0)}
"""Metrics with a perfect score at one end and the worst one at the other: the least and the most that they can be."""


def interval_method(metric: str, row: str, task: Task, clustered: bool, joined: bool = False) -> Method:
    """DeLong for an AUROC and Wilson for a share of independent rows; bootstrap for clustered rows or another score.

    The AUROC of joined folds is a mean over them, which DeLong does not know. With clusters DeLong and Wilson claim too
    much: at three images a patient their 95 % intervals hold about 87 %.
    """
    whole = row not in {"macro", "micro", "weighted", "chexpert_five"}
    if clustered or not whole:
        return "bootstrap"
    if metric == "auroc":
        return "bootstrap" if joined else "delong"
    share_of_all = metric in {"accuracy", "exact_match"} and (task == "multilabel" or row == "overall")
    return "wilson" if share_of_all or metric in {"precision", "recall", "specificity"} else "bootstrap"


def scores_with_intervals(
    cases: Cases,
    drawn: Resampling,
    names: Iterable[str] | None = None,
    *,
    confidence: float = 0.95,
    made: Replicates | None = None,
) -> list[Score]:
    """Every value of these metrics with the interval that fits it.

    Bootstrap intervals are logit-t for AUROC and average precision and BCa for the rest (both held their level in
    `bench/coverage.py`). A NaN keeps its reason and has no interval.
    `made`: `replicates(cases, drawn, names)` if at hand.
    """
    names = None if names is None else list(names)
    scored = score(cases, names)
    made = made if made is not None else replicates(cases, drawn, names)
    resampled = _bootstrap_intervals(cases, drawn, scored, made, confidence, names)
    return [
        with_interval(cases, one, drawn.clustered, resampled[one.metric, one.row], drawn, confidence) for one in scored
    ]


def with_interval(
    cases: Cases,
    one: Score,
    clustered: bool,
    resampled: tuple[float, float, str],
    drawn: Resampling,
    confidence: float = 0.95,
) -> Score:
    """One score with the interval of `interval_method`. resampled: low, high and name of its bootstrap interval."""
    if math.isnan(one.value):
        return one
    method = interval_method(one.metric, one.row, cases.task, clustered, cases.training is not None)
    k = cases.column(one.row)
    if method == "delong" and k is not None:
        read = cases.read[:, k]
        estimate = delong(cases.probabilities[read, k], cases.truth[read, k] == 1, confidence)
        return replace(one, low=estimate.low, high=estimate.high, method="DeLong (logit)")
    if method == "wilson":
        right, n = share(cases, one.metric, one.row)
        low, high = wilson(right, n, confidence)
        return replace(one, low=low, high=high, method="Wilson")
    low, high, name = resampled
    return opened(replace(one, low=low, high=high, method=name), [(cases, drawn)], confidence)


def opened(one: Score, members: Sequence[tuple[Cases, Resampling]], confidence: float = 0.95) -> Score:
    """A perfect score (or the worst one) from which no draw strays: with the exact bound of a share so observed.

    The bound is for as many patients as stand behind the score. members: the cases of each training that it is the mean
    of, and their draws. Any other score stays as it is.
    """
    least, most = ENDS.get(one.metric, (math.nan, math.nan))
    if one.low != one.high or one.value not in (least, most):
        return one
    patients = min(patients_behind(cases, one, drawn) for cases, drawn in members)
    shares = at_the_edge((one.value - least) / (most - least), patients, confidence)
    low, high = (least + (most - least) * share for share in shares)
    perfect = (one.value == most) == METRICS[one.metric].higher_is_better
    return replace(one, low=low, high=high, method="exact bound (no errors seen)" if perfect else "exact bound")


def patients_behind(cases: Cases, one: Score, drawn: Resampling) -> int:
    """Patients that a share is a share of; for what is no plain share those of the smallest class."""
    k = cases.column(one.row)
    positive = None if k is None else cases.truth[:, k] == 1
    read = cases.read.any(axis=1) if k is None else cases.read[:, k]
    asked = {"accuracy": read, "exact_match": read, "hamming": read}
    if positive is not None:
        asked |= {"recall": positive, "specificity": read & ~positive}
    if one.metric not in asked or (k is None and one.row != "overall"):
        return smallest_side(cases, one.row, drawn)
    return len(np.unique(drawn.patient_of_row[asked[one.metric]]))


def share(cases: Cases, metric: str, row: str) -> tuple[float, float]:
    """A share as its numerator and denominator."""
    counted, k = tally(cases), cases.column(row)
    if metric == "exact_match":
        return float(counted.exact[0] * cases.read.any(axis=1).sum()), float(cases.read.any(axis=1).sum())
    if k is None:
        return float(counted.tp.sum()), float(counted.read[0, 0])
    tp, positive, decided = (float(s[k, 0]) for s in (counted.tp, counted.positive, counted.decided))
    n = float(counted.read[k, 0])
    tn = n - positive - decided + tp
    return {
        "accuracy": (tp + tn, n),
        "precision": (tp, decided),
        "recall": (tp, positive),
        "specificity": (tn, n - positive),
    }[metric]


def _bootstrap_intervals(
    cases: Cases, drawn: Resampling, scored: list[Score], made: Replicates, confidence: float, names: list[str] | None
) -> dict[Key, tuple[float, float, str]]:
    points = np.array([one.value for one in scored])
    values = np.array([made.of(one.metric, one.row) for one in scored]).reshape(len(scored), -1)
    left_out = leave_outs(cases, drawn, names)
    apart = np.array([left_out.of(one.metric, one.row) for one in scored]).reshape(len(scored), -1)
    corrected = bca(points, values, apart, confidence)
    unit = "patient bootstrap" if drawn.clustered else "bootstrap"
    held: dict[Key, tuple[float, float, str]] = {}
    for r, one in enumerate(scored):
        low, high = corrected[r].tolist()
        name = f"{unit} (BCa)"
        if METRICS[one.metric].needs == "ranks" and 0 < one.value < 1:
            freedom = smallest_side(cases, one.row, drawn) - 1
            low, high = logit_t(points[r : r + 1], values[r : r + 1], freedom, confidence)[0].tolist()
            name = f"{unit} (logit t)"
        held[one.metric, one.row] = (float(low), float(high), name)
    return held


@dataclass(frozen=True)
class Comparison:
    """The first model against the second on one score; p is not yet corrected for other comparisons."""

    metric: str
    row: str
    difference: Difference
    n: int
    fewest: int
    """Patients on the smallest side of any class the score rests on."""
    mde: float
    """The true difference this test set would show in four of five repetitions."""
    p_false_claim: float
    """P(the first is not more accurate), Christodoulou et al. 2025; NaN for many labels."""


def compare(
    first: Cases,
    second: Cases,
    metric: str,
    row: str,
    drawn: Resampling,
    *,
    confidence: float = 0.95,
    first_made: Replicates | None = None,
    second_made: Replicates | None = None,
) -> Comparison:
    """First minus second on the same rows, by the paired method that fits.

    Independent rows: paired DeLong for the AUROC of a class, McNemar for accuracy, recall and specificity; else, and
    with several rows of a patient, the paired patient bootstrap. Raises `BadData` when the rows are not the same.
    """
    _same_cases(first, second)
    values = value_of(first, (metric, row)), value_of(second, (metric, row))
    difference = None
    if not drawn.clustered and np.isfinite(values).all():
        difference = _analytic(first, second, metric, row, confidence)
    fewest = smallest_side(first, row, drawn)
    if difference is None:
        made = [
            m if m is not None else replicates(c, drawn, [metric], row)
            for c, m in ((first, first_made), (second, second_made))
        ]
        difference = paired_bootstrap(
            values[0] - values[1], made[0].of(metric, row), made[1].of(metric, row), fewest, confidence
        )
    difference = opened_difference(difference, metric, fewest, confidence)
    rows = first.read & second.read
    k = first.column(row)
    n = int(rows[:, k].sum() if k is not None else rows.any(axis=1).sum())
    mde = minimal_detectable_difference(difference.se, level=1 - confidence)
    return Comparison(metric, row, difference, n, fewest, mde, _false_claim(first, second))


def opened_difference(one: Difference, metric: str, fewest: int, confidence: float = 0.95) -> Difference:
    """A difference that nothing moves (both models without an error): as far to both sides as `opened` would go.

    fewest: patients on the smallest side of any class. p: the level at which such an interval would reach 0; of a
    difference beyond half of what the metric spans, no less than if all of `fewest` patients spoke for one model.
    Any other difference stays as it is.
    """
    if one.se != 0 or metric not in ENDS:
        return one
    least, most = ENDS[metric]
    reach = (most - least) * (1 - at_the_edge(1.0, fewest, confidence)[0])
    moved = min(abs(one.value) / (most - least), 0.5)
    p = min(1.0, 2 * (1 - moved) ** max(fewest, 1))
    return replace(one, low=one.value - reach, high=one.value + reach, p=float(np.fmax(p, one.p)))


def _same_cases(first: Cases, second: Cases) -> None:
    if first.n != second.n or not np.array_equal(first.y_true, second.y_true, equal_nan=True):
        raise BadData("a paired comparison needs the same cases in the same order for both models")


def _analytic(first: Cases, second: Cases, metric: str, row: str, confidence: float) -> Difference | None:
    k = first.column(row)
    if metric == "auroc" and k is not None and first.training is None and second.training is None:
        read = first.read[:, k]
        scores = first.probabilities[read, k], second.probabilities[read, k]
        return paired_delong(*scores, first.truth[read, k] == 1, confidence)
    asked = _rows_of_share(first, metric, k)
    return None if asked is None else mcnemar(right(first, k)[asked], right(second, k)[asked], confidence)


def _rows_of_share(cases: Cases, metric: str, k: int | None) -> NDArray[np.bool_] | None:
    """The cases whose right answers a metric counts; None when it is not such a share."""
    if metric == "accuracy" and (k is not None or cases.exclusive):
        return cases.read[:, 0 if k is None else k]
    if metric in {"recall", "specificity"} and k is not None:
        side = 1 if metric == "recall" else 0
        return np.asarray(cases.read[:, k] & (cases.truth[:, k] == side))
    return None


def right(cases: Cases, k: int | None = None) -> NDArray[np.bool_]:
    """[N]: the decision about class k is right; of the whole row: about every class whose truth is known."""
    wrong = cases.known & ((cases.truth != cases.decided) | ~cases.read)
    if k is not None:
        return np.asarray(cases.known[:, k] & ~wrong[:, k])
    return np.asarray(cases.known.any(axis=1) & ~wrong.any(axis=1))


def _false_claim(first: Cases, second: Cases) -> float:
    if not first.exclusive:
        return math.nan
    rows = first.read[:, 0] & second.read[:, 0]
    return probability_of_false_claim(right(first)[rows], right(second)[rows])
