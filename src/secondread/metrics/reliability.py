"""Do the probabilities mean what they say? Reliability curve with bands, calibration line, Brier score taken apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from secondread.core.errors import BadData
from secondread.metrics.fitting import logistic, refits
from secondread.metrics.resampling import Resampling
from secondread.metrics.tally import SMALLEST, equal_mass_bins

Array = NDArray[np.float64]
BINS = 15


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Equal-mass bins [G] of one class: mean predicted probability, observed share, its band, and cases."""

    predicted: Array
    observed: Array
    low: Array
    high: Array
    cases: NDArray[np.int64]


@dataclass(frozen=True)
class CalibrationLine:
    """Logistic regression of the truth on logit(p). Calibrated: slope 1, intercept 0.

    slope: below 1 the probabilities are too extreme. intercept: calibration-in-the-large (slope held at 1), above 0
    the probabilities are too low. NaN, with the reason, where no finite line exists. The intervals (low, high) are
    percentiles of the patient bootstrap, NaN without a resampling or where too few draws have a line.
    """

    slope: float
    intercept: float
    slope_interval: tuple[float, float] = (math.nan, math.nan)
    intercept_interval: tuple[float, float] = (math.nan, math.nan)
    reason: str = ""


@dataclass(frozen=True)
class BrierParts:
    """Brier score = reliability − resolution + uncertainty + within (Murphy 1973; `within`: spread inside the bins)."""

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def reliability_curve(
    predicted_N: Array,
    truth_N: Array,
    *,
    drawn: Resampling | None = None,
    bins: int = BINS,
    confidence: float = 0.95,
) -> ReliabilityCurve:
    """predicted, truth [N] of one class (rows with NaN left out). The band is a percentile interval of the patient
    bootstrap over the same bins; without `drawn` it is NaN."""
    read = np.isfinite(predicted_N) & np.isfinite(truth_N)
    if drawn is not None and drawn.n != len(predicted_N):
        raise BadData(f"{len(predicted_N)} cases for a resampling of {drawn.n} rows")
    member = np.full(len(predicted_N), -1)
    member[read] = equal_mass_bins(predicted_N[read], bins)
    used = np.unique(member[read])
    inside = (member[:, None] == used).astype(np.float64)
    cases = inside.sum(axis=0)
    observed = inside.T @ np.where(read, truth_N, 0.0) / np.maximum(cases, 1)
    low, high = np.full((2, len(cases)), np.nan)
    if drawn is not None and len(cases):
        present = inside * np.where(read, truth_N, 0.0)[:, None]
        shares = []
        for _, weights in drawn.blocks():
            below = inside.astype(np.float32).T @ weights
            above = present.astype(np.float32).T @ weights
            shares.append(np.where(below > 0, above / np.maximum(below, 1), np.nan))
        tail = 100 * (1 - confidence) / 2
        low, high = np.nanpercentile(np.concatenate(shares, axis=1), [tail, 100 - tail], axis=1)
    predicted = inside.T @ np.where(read, predicted_N, 0.0) / np.maximum(cases, 1)
    return ReliabilityCurve(predicted, observed, low, high, cases.astype(np.int64))


def calibration_line(
    predicted_N: Array, truth_N: Array, *, drawn: Resampling | None = None, confidence: float = 0.95
) -> CalibrationLine:
    """Slope and intercept of one class; predicted, truth [N] (rows with NaN left out)."""
    read = np.isfinite(predicted_N) & np.isfinite(truth_N)
    x, y = np.asarray(logit(np.clip(predicted_N[read], SMALLEST, 1 - SMALLEST))), truth_N[read]
    if len(np.unique(y)) < 2:
        return CalibrationLine(math.nan, math.nan, reason="only one side of the class is present")
    line, large = logistic(x, y), logistic(x, y, fixed_slope=1.0)
    drawn_slopes, drawn_intercepts = [np.zeros(0)], [np.zeros(0)]
    for _, weights in drawn.blocks() if drawn is not None else ():
        own = weights[read].astype(np.float64)
        drawn_slopes += [refits(x, y, own, line)[0]] if line else []
        drawn_intercepts += [refits(x, y, own, large, slope_fixed=True)[1]] if large else []
    bounds = [_bounds(np.concatenate(values), confidence) for values in (drawn_slopes, drawn_intercepts)]
    intercept = large.bias if large else math.nan
    if line is None:
        reason = "constant" if float(np.ptp(x)) == 0 else "the two sides are told apart completely"
        return CalibrationLine(math.nan, intercept, intercept_interval=bounds[1], reason=reason)
    return CalibrationLine(line.slope, intercept, bounds[0], bounds[1])


def _bounds(values_B: Array, confidence: float) -> tuple[float, float]:
    """A percentile interval; none where more than one draw in twenty has no line."""
    finite = values_B[np.isfinite(values_B)]
    if len(finite) == 0 or len(finite) < 0.95 * len(values_B):
        return math.nan, math.nan
    low, high = np.percentile(finite, [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(low), float(high)


def brier_parts(predicted_N: Array, truth_N: Array, *, bins: int = BINS) -> BrierParts:
    """The parts of one class's Brier score over equal-mass bins (rows with NaN left out); NaN without rows."""
    read = np.isfinite(predicted_N) & np.isfinite(truth_N)
    p, y = predicted_N[read], truth_N[read]
    if len(p) == 0:
        return BrierParts(*[math.nan] * 5)
    member = equal_mass_bins(p, bins)
    n = np.bincount(member)
    mean_p, mean_y = (np.bincount(member, values) / np.maximum(n, 1) for values in (p, y))
    base = float(y.mean())
    reliability = float((n * (mean_p - mean_y) ** 2).sum() / len(p))
    resolution = float((n * (mean_y - base) ** 2).sum() / len(p))
    brier = float(((p - y) ** 2).mean())
    uncertainty = base * (1 - base)
    return BrierParts(brier, reliability, resolution, uncertainty, brier - reliability + resolution - uncertainty)
