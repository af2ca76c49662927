"""What decisions are worth where the model will work: decision curves and predictive values at other prevalences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.core.errors import WrongRequest

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit at each threshold probability [T]: of the model, of treating all, of treating none (0)."""

    thresholds: Array
    model: Array
    treat_all: Array


@dataclass(frozen=True)
class PredictiveValues:
    """What a decision means at a prevalence: PPV and NPV with the interval that sensitivity and specificity give."""

    prevalence: float
    ppv: float
    ppv_low: float
    ppv_high: float
    npv: float
    npv_low: float
    npv_high: float


def decision_curve(predicted_N: Array, truth_N: Array, thresholds: ArrayLike | None = None) -> DecisionCurve:
    """Net benefit TP/n − FP/n · t/(1 − t) of one class (Vickers & Elkin 2006); rows with NaN left out.

    thresholds [T] strictly between 0 and 1; 0.01 … 0.99 when not given. NaN without rows.
    """
    cuts = np.arange(1, 100) / 100 if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if ((cuts <= 0) | (cuts >= 1)).any():
        raise WrongRequest("thresholds of a decision curve lie strictly between 0 and 1")
    read = np.isfinite(predicted_N) & np.isfinite(truth_N)
    p, y = predicted_N[read], truth_N[read]
    if len(p) == 0:
        nothing = np.full(len(cuts), np.nan)
        return DecisionCurve(cuts, nothing, nothing)
    present, absent = np.sort(p[y == 1]), np.sort(p[y == 0])
    tp = len(present) - np.searchsorted(present, cuts, side="left")
    fp = len(absent) - np.searchsorted(absent, cuts, side="left")
    odds = cuts / (1 - cuts)
    base = float(y.mean())
    return DecisionCurve(cuts, (tp - fp * odds) / len(p), base - (1 - base) * odds)


def predictive_values(
    sensitivity: tuple[float, float, float], specificity: tuple[float, float, float], prevalences: ArrayLike
) -> list[PredictiveValues]:
    """PPV and NPV at deployment prevalences by Bayes' rule.

    sensitivity, specificity: value, low, high (their intervals). The intervals of PPV and NPV take the low ends
    together and the high ends together, which is wider than exact: at least as much confidence as each input has of
    both at once. A predictive value whose decision never happens is NaN; one that an end does not have has no interval.
    """
    made = []
    for prevalence in np.atleast_1d(np.asarray(prevalences, dtype=np.float64)):
        if not 0 <= prevalence <= 1:
            raise WrongRequest(f"a prevalence lies between 0 and 1, not {prevalence:g}")
        pairs = list(zip(sensitivity, specificity, strict=True))
        ppv = [_posterior(prevalence * se, (1 - prevalence) * (1 - sp)) for se, sp in pairs]
        npv = [_posterior((1 - prevalence) * sp, prevalence * (1 - se)) for se, sp in pairs]
        made.append(PredictiveValues(float(prevalence), *_whole(ppv), *_whole(npv)))
    return made


def _whole(value_low_high: list[float]) -> list[float]:
    """Both ends or none: at a prevalence of 0 or 1 a decision may happen within the interval and not at its end."""
    return value_low_high if np.isfinite(value_low_high).all() else [value_low_high[0], math.nan, math.nan]


def _posterior(right: float, wrong: float) -> float:
    return float(right / (right + wrong)) if right + wrong > 0 else float("nan")
