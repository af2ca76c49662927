"""What calibration fits on validation logits: prior correction, temperature, Platt's line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, logsumexp

if TYPE_CHECKING:
    from secondread.core.tables import Task


Array = NDArray[np.float64]
SMALLEST_PRIOR = 1e-6
TEMPERATURES = (0.05, 20.0)
REFIT_STEPS, SETTLED = 20, 1e-6


class Line(NamedTuple):
    """logit(p) = slope · x + bias."""

    slope: float
    bias: float


def prior_correction(task: Task, train_prior: ArrayLike | None, natural_prior: ArrayLike | None) -> Array | None:
    """[K] to add to the log probabilities of a model trained under another class mix; None where a prior is unknown.

    Exclusive classes: log(π / π′), π natural and π′ in training (resampled, weighted or synthetic rows counted);
    single labels: the difference of the log odds (Saerens 2002; Menon 2021 for the training side).
    """
    if train_prior is None or natural_prior is None:
        return None
    edge = SMALLEST_PRIOR
    trained, natural = (np.clip(np.asarray(p, dtype=np.float64), edge, 1 - edge) for p in (train_prior, natural_prior))
    shift = logit(natural) - logit(trained) if task == "multilabel" else np.log(natural / trained)
    return np.asarray(shift, dtype=np.float64)


def temperature(logits_NK: Array, truth_NK: Array, offset_K: Array | None = None) -> float:
    """T that minimises the mean −log softmax(logits / T + offset) of the true class (Guo 2017).

    The truth gives away 1 / (N + 2) to all classes alike, as Platt's targets do, so that a validation set without an
    error does not call for boundless confidence.
    """
    n, k = logits_NK.shape
    targets = truth_NK * (1 - 1 / (n + 2)) + 1 / (n + 2) / k
    offset = np.zeros(k) if offset_K is None else offset_K

    def loss(log_t: float) -> float:
        z = logits_NK * np.exp(-log_t) + offset
        return float((logsumexp(z, axis=1) - (z * targets).sum(axis=1)).mean())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def platt(logits_N: Array, truth_N: Array, offset: float = 0.0) -> Line:
    """Slope and bias of one label around a fixed offset: logit(p) = slope · logit + bias + offset.

    Platt's targets (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2) keep both finite.
    """
    positives, negatives = float(truth_N.sum()), float((1 - truth_N).sum())
    targets = np.where(truth_N == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    line = logistic(logits_N, targets)
    return Line(line.slope, line.bias - offset) if line is not None else Line(1.0, 0.0)


def logistic(x_N: Array, targets_N: Array, *, fixed_slope: float | None = None) -> Line | None:
    """Maximum-likelihood line of a logistic regression, by Newton steps that are halved until they help.

    targets may be shares. With `fixed_slope` only the bias is fitted. None when there is no finite best line (the
    classes are separated, or x is constant).
    """
    slope_fixed = fixed_slope is not None
    weights = np.array([fixed_slope if fixed_slope is not None else 0.0, 0.0])
    design = np.stack([x_N, np.ones_like(x_N)], axis=1)
    free = [1] if slope_fixed else [0, 1]
    loss = _loss(design @ weights, targets_N)
    for _ in range(100):
        p = expit(design @ weights)
        gradient = design[:, free].T @ (p - targets_N)
        curvature = (design[:, free] * (p * (1 - p))[:, None]).T @ design[:, free]
        if not np.isfinite(curvature).all() or np.linalg.cond(curvature) > 1e13:
            return None
        step = np.zeros(2)
        step[free] = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and not _loss(design @ (weights - size * step), targets_N) <= loss:
            size /= 2
        weights = weights - size * step
        loss = _loss(design @ weights, targets_N)
        if np.abs(step).max() < 1e-10 * max(1.0, np.abs(weights).max()):
            return Line(float(weights[0]), float(weights[1]))
    return Line(float(weights[0]), float(weights[1])) if np.abs(step).max() < 1e-4 else None


def refits(
    x_N: Array, targets_N: Array, weights_NB: Array, start: Line, *, slope_fixed: bool = False
) -> tuple[Array, Array]:
    """Slopes [B] and biases [B] of the logistic line under each set of weights, all at once by Newton steps from the
    line of the sample itself; NaN where they do not settle."""
    slope, bias = (np.full(weights_NB.shape[1], value, dtype=np.float64) for value in start)
    moved = np.full(weights_NB.shape[1], np.inf)
    with np.errstate(all="ignore"):
        for _ in range(REFIT_STEPS):
            p = expit(x_N[:, None] * slope + bias)
            pull, curvature = weights_NB * (p - targets_N[:, None]), weights_NB * p * (1 - p)
            of_slope, of_bias = x_N @ pull, pull.sum(axis=0)
            ss, sb, bb = x_N**2 @ curvature, x_N @ curvature, curvature.sum(axis=0)
            whole = ss * bb - sb**2
            step = np.zeros_like(slope) if slope_fixed else (bb * of_slope - sb * of_bias) / whole
            shift = of_bias / bb if slope_fixed else (ss * of_bias - sb * of_slope) / whole
            slope, bias = slope - step, bias - shift
            moved = np.maximum(np.abs(step), np.abs(shift))
            if np.nanmax(moved, initial=0.0) < SETTLED:
                break
    settled = moved < SETTLED
    return np.where(settled, slope, np.nan), np.where(settled, bias, np.nan)


def _loss(z_N: Array, targets_N: Array) -> float:
    return float((np.logaddexp(0.0, z_N) - targets_N * z_N).sum())
