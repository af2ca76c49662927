"""The metrics: name → what it is; one function each, over a `Tally`, for any number of weight sets at once.

Conventions. Per class means one class against the rest. Of two exclusive classes the second is the positive one, and
the headline of precision, recall, specificity, F1, AUROC and average precision refers to it. A class that is absent
from the set has NaN; a class that is present but never decided for has precision 0 (as scikit-learn). The macro mean
is over classes that are present; of many labels, over those with at least ten cases on either side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from secondread.core.limits import Count
from secondread.core.registry import part
from secondread.metrics.tally import Sums, Tally, ratio

if TYPE_CHECKING:
    from secondread.core.tables import Task

ALL_TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel")
Needs = Literal["decisions", "probabilities", "ranks"]


@dataclass(frozen=True, eq=False)
class Measured:
    """A metric over B weight sets: per class [K, B] where it has meaning, and averages, name → [B]."""

    per_class: Sums | None = None
    averages: dict[str, Sums] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A registered metric and how it is to be read."""

    name: str
    function: Callable[[Tally], Measured]
    needs: Needs
    higher_is_better: bool = True
    tasks: tuple[Task, ...] = ALL_TASKS
    per_class: tuple[Task, ...] = ALL_TASKS
    """Tasks in which it has a value per class."""
    headline_average: str = "macro"
    positive_headline: bool = False
    """The headline of a binary task is the positive class."""

    def headline(self, task: Task, classes: tuple[str, ...]) -> str:
        """The row that stands for this metric in a summary: a class name or an average."""
        if task == "binary" and self.positive_headline:
            return classes[1]
        if task == "multilabel" and self.per_class:
            return "macro"
        return self.headline_average


METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    needs: Needs,
    *,
    higher_is_better: bool = True,
    tasks: tuple[Task, ...] = ALL_TASKS,
    per_class: tuple[Task, ...] = ALL_TASKS,
    headline_average: str = "macro",
    positive_headline: bool = False,
) -> Callable[[Callable[[Tally], Measured]], Callable[[Tally], Measured]]:
    """Register a metric here, with what reports must know about it, and as a part of the study file."""

    def register(function: Callable[[Tally], Measured]) -> Callable[[Tally], Measured]:
        METRICS[name] = Metric(
            name, function, needs, higher_is_better, tasks, per_class, headline_average, positive_headline
        )
        return part("metrics", name)(function)

    return register


def averaged(tally: Tally, per_class: Sums, micro: Sums | None = None) -> Measured:
    """Macro over the eligible classes, weighted by their positives, and micro where it is given."""
    eligible = tally.cases.eligible
    averages = {"macro": mean_over(per_class, eligible)}
    if micro is not None:
        averages["micro"] = micro
    support = tally.positive[eligible]
    averages["weighted"] = ratio((per_class[eligible] * support).sum(axis=0), support.sum(axis=0))
    return Measured(per_class, averages | _five(tally, per_class))


def plain_mean(tally: Tally, per_class: Sums, overall: Sums | None = None) -> Measured:
    """Macro over the eligible classes, and the overall value where there is one."""
    averages = {"macro": mean_over(per_class, tally.cases.eligible)}
    if overall is not None:
        averages["overall"] = overall
    return Measured(per_class, averages | _five(tally, per_class))


def mean_over(per_class: Sums, chosen: np.ndarray) -> Sums:
    """[B]: mean of the chosen classes; NaN when none is chosen or one of them has no value."""
    if not chosen.any():
        return np.full(per_class.shape[1], np.nan)
    averaged_: Sums = per_class[chosen].mean(axis=0)
    return averaged_


def _five(tally: Tally, per_class: Sums) -> dict[str, Sums]:
    five = tally.cases.chexpert_five
    return {"chexpert_five": per_class[five].mean(axis=0)} if len(five) else {}


@metric("accuracy", "decisions", per_class=("multilabel",), headline_average="overall")
def accuracy(tally: Tally, /) -> Measured:
    """Share of right decisions; of many labels, per label and their mean."""
    if tally.cases.exclusive:
        return Measured(None, {"overall": ratio(tally.tp.sum(axis=0), tally.read[0])})
    return plain_mean(tally, ratio(tally.tp + tally.tn, tally.read))


@metric("balanced_accuracy", "decisions", per_class=("multilabel",), headline_average="overall")
def balanced_accuracy(tally: Tally, /) -> Measured:
    """Mean recall of the classes; of many labels, mean of recall and specificity of each."""
    if tally.cases.exclusive:
        found = ratio(tally.tp, tally.positive)
        return Measured(None, {"overall": mean_over(found, tally.cases.eligible)})
    return plain_mean(tally, (ratio(tally.tp, tally.positive) + ratio(tally.tn, tally.read - tally.positive)) / 2)


@metric("precision", "decisions", positive_headline=True)
def precision(tally: Tally, /) -> Measured:
    """Share of the decided cases that are present (positive predictive value at this prevalence)."""
    silent = (tally.decided == 0) & (tally.positive > 0)
    share = np.where(silent, 0.0, ratio(tally.tp, tally.decided))
    share[tally.positive == 0] = np.nan
    return averaged(tally, share, ratio(tally.tp.sum(axis=0), tally.decided.sum(axis=0)))


@metric("recall", "decisions", positive_headline=True)
def recall(tally: Tally, /) -> Measured:
    """Share of the present cases that were found (sensitivity)."""
    return averaged(tally, ratio(tally.tp, tally.positive), ratio(tally.tp.sum(axis=0), tally.positive.sum(axis=0)))


@metric("specificity", "decisions", positive_headline=True)
def specificity(tally: Tally, /) -> Measured:
    """Share of the absent cases that were left alone."""
    absent = tally.read - tally.positive
    return averaged(tally, ratio(tally.tn, absent), ratio(tally.tn.sum(axis=0), absent.sum(axis=0)))


@metric("f1", "decisions", positive_headline=True)
def f1(tally: Tally, /) -> Measured:
    """Harmonic mean of precision and recall."""
    share = ratio(2 * tally.tp, tally.positive + tally.decided)
    share[tally.positive == 0] = np.nan
    pooled = ratio(2 * tally.tp.sum(axis=0), (tally.positive + tally.decided).sum(axis=0))
    return averaged(tally, share, pooled)


@metric("auroc", "ranks", positive_headline=True)
def auroc(tally: Tally, /) -> Measured:
    """Area under the ROC curve: chance that a present case scores higher than an absent one."""
    return averaged(tally, tally.auroc[:-1], tally.auroc[-1])


@metric("average_precision", "ranks", positive_headline=True)
def average_precision(tally: Tally, /) -> Measured:
    """Area under the precision-recall curve, step-wise; its baseline is the prevalence."""
    return averaged(tally, tally.average_precision[:-1], tally.average_precision[-1])


@metric("mcc", "decisions", per_class=("multilabel",), headline_average="overall")
def mcc(tally: Tally, /) -> Measured:
    """Matthews correlation of decisions and truth (Gorodkin's for more than two classes); 0 when either is constant."""
    if not tally.cases.exclusive:
        absent, spared = tally.read - tally.positive, tally.read - tally.decided
        spread = np.sqrt(tally.positive * tally.decided) * np.sqrt(absent * spared)
        made = np.where(spread > 0, ratio(tally.tp * tally.tn - tally.fp * tally.fn, spread), 0.0)
        made[tally.positive == 0] = np.nan
        return plain_mean(tally, made)
    n, right = tally.read[0], tally.tp.sum(axis=0)
    agreed = right * n - (tally.positive * tally.decided).sum(axis=0)
    spread = np.sqrt((n**2 - (tally.positive**2).sum(axis=0)) * (n**2 - (tally.decided**2).sum(axis=0)))
    made = np.where(spread > 0, ratio(agreed, spread), 0.0)
    return Measured(None, {"overall": np.where(n > 0, made, np.nan)})


@metric("log_loss", "probabilities", higher_is_better=False, headline_average="overall")
def log_loss(tally: Tally, /) -> Measured:
    """Mean of −log of the probability given to what was true."""
    per_class = ratio(tally.log_loss, tally.read)
    if tally.cases.exclusive:
        return plain_mean(tally, per_class, ratio(tally.log_loss_of_truth, tally.read[0]))
    return plain_mean(tally, per_class)


@metric("brier", "probabilities", higher_is_better=False, headline_average="overall")
def brier(tally: Tally, /) -> Measured:
    """Mean squared error of the probabilities; over more than two exclusive classes, summed over classes (0 to 2)."""
    per_class = ratio(tally.squared, tally.read)
    if not tally.cases.exclusive:
        return plain_mean(tally, per_class)
    summed = tally.squared[1] if tally.cases.task == "binary" else tally.squared.sum(axis=0)
    return plain_mean(tally, per_class, ratio(summed, tally.read[0]))


@metric("ece", "probabilities", higher_is_better=False, headline_average="overall")
def ece(tally: Tally, /, *, bins: Count = 15) -> Measured:
    """Expected calibration error in equal-mass bins of the sample; overall: positive class, or the decided one of many.

    Biased upwards in small samples; read it after log loss and Brier score.
    """
    per_class, top = tally.calibration_gap(bins)
    gap = ratio(per_class, tally.read)
    if not tally.cases.exclusive:
        return plain_mean(tally, gap)
    return plain_mean(tally, gap, gap[1] if tally.cases.task == "binary" else ratio(top, tally.read[0]))


@metric("exact_match", "decisions", tasks=("multilabel",), per_class=(), headline_average="overall")
def exact_match(tally: Tally, /) -> Measured:
    """Share of cases with every known label right."""
    return Measured(None, {"overall": tally.exact})


@metric("hamming", "decisions", higher_is_better=False, tasks=("multilabel",), per_class=(), headline_average="overall")
def hamming(tally: Tally, /) -> Measured:
    """Share of single labels that are wrong (Hamming loss)."""
    wrong = (tally.fp + tally.fn).sum(axis=0)
    return Measured(None, {"overall": ratio(wrong, tally.read.sum(axis=0))})
