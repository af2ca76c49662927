"""The operating point: from raw logits to calibrated probabilities and decisions, fitted on validation and frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, softmax

from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Rule
from secondread.metrics import fitting, thresholds

if TYPE_CHECKING:
    from secondread.core.tables import Task

Array = NDArray[np.float64]
FEWEST = 10
"""Fewer cases of a class (of either side of a label) than this: its calibration stays as it is."""
UNCERTAIN_SHARE = 0.05
"""Share of the validation cases, the nearest to the threshold, that the uncertain band takes in."""


@dataclass(frozen=True)
class OperatingPoint:
    """Calibration and thresholds of one trial, K classes in the data set's order.

    Calibrated logits are logits · scale + offset; exclusive classes then take softmax, single labels sigmoid. The
    prior correction is fixed before the temperature or Platt's line is fitted around it, and is itself not divided by
    the temperature: logits / T are the log probabilities under the training mix, and those it belongs to. Of
    exclusive classes the one with the largest p / threshold is decided (two classes: the second when p ≥ its
    threshold); a label when p ≥ its threshold. A decision is uncertain when a label's p lies inside its band, or when
    the decided one of exclusive classes has a p below the upper end of its band.
    """

    task: Task
    classes: tuple[str, ...]
    prior_correction: tuple[float, ...]
    """log(natural / training prior), of single labels the difference in log odds; 0 where nothing was corrected."""
    temperature: float
    """Divides the logits of exclusive classes; 1 for single labels."""
    platt: tuple[tuple[float, float], ...]
    """(slope, bias) per label, beside the prior correction; empty for exclusive classes."""
    thresholds: tuple[float, ...]
    uncertain: tuple[tuple[float, float], ...]
    """Band (low, high) per class; low = high: nothing is uncertain."""
    rule: str = "argmax"
    notes: tuple[str, ...] = ()
    """What could not be fitted, and why."""

    @property
    def scale(self) -> Array:
        """[K]: the factor of the calibrated logits."""
        slopes = [slope for slope, _ in self.platt]
        return np.array(slopes) if slopes else np.full(len(self.classes), 1 / self.temperature)

    @property
    def offset(self) -> Array:
        """[K]: added after `scale`."""
        biases = np.array([bias for _, bias in self.platt]) if self.platt else np.zeros(len(self.classes))
        return np.asarray(np.array(self.prior_correction) + biases)

    def calibrated_logits(self, logits: ArrayLike) -> Array:
        """[N, K]: logits · scale + offset."""
        given = np.asarray(logits, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.classes):
            raise BadData(f"logits of shape {given.shape} for the {len(self.classes)} classes of an operating point")
        return given * self.scale + self.offset

    def probabilities(self, logits: ArrayLike) -> Array:
        """[N, K] calibrated; a row (of single labels: an entry) that is not a number stays so."""
        z = self.calibrated_logits(logits)
        with np.errstate(invalid="ignore"):
            return np.asarray(expit(z) if self.task == "multilabel" else softmax(z, axis=1))

    def decide(self, probabilities: ArrayLike) -> Array:
        """[N, K] of 1 and 0, one-hot for exclusive classes; NaN where the probabilities are."""
        p = np.asarray(probabilities, dtype=np.float64)
        cuts = np.array(self.thresholds)
        if self.task == "multilabel":
            return np.where(np.isnan(p), np.nan, (p >= cuts).astype(np.float64))
        if self.task == "binary":
            positive = (p[:, 1] >= cuts[1]).astype(np.float64)
            made = thresholds.two_sided(positive)
        else:
            made = np.eye(len(cuts))[np.argmax(np.nan_to_num(p / np.maximum(cuts, thresholds.SMALLEST)), axis=1)]
        made[np.isnan(p).any(axis=1)] = np.nan
        return np.asarray(made, dtype=np.float64)

    def is_uncertain(self, probabilities: ArrayLike) -> NDArray[np.bool_]:
        """[N, K] per label; of exclusive classes, only in the column of the decided one. A NaN is uncertain."""
        p = np.asarray(probabilities, dtype=np.float64)
        band = np.array(self.uncertain)
        inside = p < band[:, 1]
        if self.task == "multilabel":
            inside &= p >= band[:, 0]
        else:
            inside &= np.nan_to_num(self.decide(p)) == 1
        return np.asarray((inside & (band[:, 0] < band[:, 1])) | np.isnan(p))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same operating point back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> OperatingPoint:
        """Raises `BadData` when a field is missing or unknown, or the lengths disagree."""
        try:
            made = cls(**{name: _frozen(value) for name, value in written.items()})
            k = len(made.classes)
            lengths = {len(made.prior_correction), len(made.thresholds), len(made.uncertain), len(made.platt) or k}
        except TypeError as error:
            raise BadData(f"not an operating point: {error}") from error
        if lengths != {k} or made.temperature <= 0:
            raise BadData(f"an operating point of {k} classes with fields of other lengths or no positive temperature")
        return made


def fit_operating_point(
    logits: ArrayLike,
    y_true: ArrayLike,
    *,
    task: Task,
    classes: Sequence[str],
    train_prior: ArrayLike | None = None,
    natural_prior: ArrayLike | None = None,
    rule: Rule | None = None,
    uncertain_share: float = UNCERTAIN_SHARE,
) -> OperatingPoint:
    """Fit on validation, in this order: prior correction, temperature (exclusive) or Platt (labels), thresholds, band.

    logits, y_true [N, K] of validation rows (labels 1, 0, NaN). train_prior [K]: the class mix the model was trained
    under, as it saw it; natural_prior [K]: that of the data. What cannot be fitted keeps its neutral value and a note.
    """
    rule = rule or Rule()
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(y_true, dtype=np.float64)
    if z.ndim != 2 or z.shape != y.shape or z.shape[1] != len(classes):
        raise BadData(f"logits {z.shape} and labels {y.shape} for {len(classes)} classes do not fit together")
    need_rule(rule, task, len(classes))
    usable = np.isfinite(z) & np.isfinite(y)
    if task != "multilabel":
        usable = np.repeat(usable.all(axis=1, keepdims=True), z.shape[1], axis=1)
    shift = fitting.prior_correction(task, train_prior, natural_prior)
    shift = np.zeros(len(classes)) if shift is None else shift
    if task == "multilabel":
        return _fit_labels(z, y, usable, tuple(classes), shift, rule, uncertain_share)
    rows = usable[:, 0]
    return _fit_exclusive(z[rows], y[rows], task, tuple(classes), shift, rule, uncertain_share)


def need_rule(rule: Rule, task: Task, classes: int) -> None:
    """Raises `WrongRequest` for a rule that the task does not have, or costs of another number of classes."""
    if rule.name == "sensitivity" and task == "multiclass":
        raise WrongRequest("a target sensitivity needs one positive class: use youden, cost or argmax for more classes")
    size = 2 if task == "multilabel" else classes
    if rule.cost is not None and len(rule.cost) != size:
        raise WrongRequest(
            f"evaluate.threshold: cost must be {size} × {size} (truth × decision), not {len(rule.cost)} × "
            f"{len(rule.cost)}"
        )


def _fit_exclusive(
    z: Array, y: Array, task: Task, classes: tuple[str, ...], shift: Array, rule: Rule, share: float
) -> OperatingPoint:
    notes: list[str] = []
    fewest = int(y.sum(axis=0).min()) if len(y) else 0
    heat = 1.0
    if fewest >= FEWEST:
        heat = fitting.temperature(z, y, shift)
    else:
        rests = ", and the thresholds rest on few cases" * (rule.name != "argmax" and fewest >= 1)
        notes.append(f"temperature left at 1{rests}: a class has {fewest} validation cases, fewer than {FEWEST}")
    p = np.asarray(softmax(z / heat + shift, axis=1)) if len(z) else z
    cuts = np.full(len(classes), 1 / len(classes))
    if rule.name != "argmax" and fewest >= 1:
        cuts = _cuts(p, y, rule)
    elif rule.name != "argmax":
        notes.append("thresholds left at arg-max: a class has no validation case")
    band = _band_of_two(p[:, 1], cuts[1], share) if task == "binary" else _bands_of_many(p, cuts, share)
    return OperatingPoint(
        task, classes, _tuple(shift), heat, (), _tuple(cuts), band, rule=rule.name, notes=tuple(notes)
    )


def _fit_labels(
    z: Array, y: Array, usable: NDArray[np.bool_], classes: tuple[str, ...], shift: Array, rule: Rule, share: float
) -> OperatingPoint:
    lines, cuts, bands, notes = [], [], [], []
    for k, name in enumerate(classes):
        of_label, truth = z[usable[:, k], k], y[usable[:, k], k]
        fewest = int(min(truth.sum(), (1 - truth).sum()))
        line = fitting.platt(of_label, truth, shift[k]) if fewest >= FEWEST else fitting.Line(1.0, 0.0)
        if fewest < FEWEST:
            rests = ", and the threshold rests on few" * (rule.name != "argmax" and fewest >= 1)
            notes.append(f"{name}: calibration left as it is{rests} ({fewest} cases on one side, fewer than {FEWEST})")
        elif line.slope <= 0:
            notes.append(f"{name}: calibration left as it is (higher logits do not mean more positives)")
            line = fitting.Line(1.0, 0.0)
        p = np.asarray(expit(line.slope * of_label + line.bias + shift[k]))
        cut = 0.5
        if rule.name != "argmax" and fewest >= 1:
            cut = float(_cuts(thresholds.two_sided(p), thresholds.two_sided(truth), rule)[1])
        lines.append((line.slope, line.bias))
        cuts.append(cut)
        bands.append(_band(p, cut, share))
    return OperatingPoint(
        "multilabel", classes, _tuple(shift), 1.0, tuple(lines), tuple(cuts), tuple(bands), rule.name, tuple(notes)
    )


def _cuts(p: Array, y: Array, rule: Rule) -> Array:
    if rule.name == "sensitivity":
        cut = thresholds.for_sensitivity(p[:, 1], y[:, 1], rule.sensitivity)
        return np.array([1 - cut, cut])
    if rule.name == "cost":
        if rule.cost is None:
            raise WrongRequest("evaluate.threshold: the rule `cost` needs its cost matrix (truth × decision)")
        return thresholds.cheapest(p, y, rule.cost)
    return thresholds.youden(p, y)


def _band(p_N: Array, cut: float, share: float) -> tuple[float, float]:
    """The band around the threshold, equally wide on both sides in log odds, that holds this share of the cases."""
    if share <= 0 or len(p_N) < 2 * FEWEST:
        return cut, cut
    edge = 1e-9
    centre = logit(np.clip(cut, edge, 1 - edge))
    reach = float(np.quantile(np.abs(logit(np.clip(p_N, edge, 1 - edge)) - centre), share))
    return float(expit(centre - reach)), float(expit(centre + reach))


def _band_of_two(p_N: Array, cut: float, share: float) -> tuple[tuple[float, float], ...]:
    low, high = _band(p_N, cut, share)
    return (1 - high, 1 - low), (low, high)


def _bands_of_many(p: Array, cuts: Array, share: float) -> tuple[tuple[float, float], ...]:
    """Per class: up to the probability that this share of the cases decided for it falls short of."""
    decided = (p / np.maximum(cuts, thresholds.SMALLEST)).argmax(axis=1) if len(p) else np.zeros(0)
    bands = []
    for k in range(len(cuts)):
        own = p[decided == k, k]
        wide = share > 0 and len(own) >= 2 * FEWEST
        bands.append((0.0, float(np.quantile(own, share))) if wide else (0.0, 0.0))
    return tuple(bands)


def _tuple(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
