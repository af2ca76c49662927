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


def logistic(
    x_N: Array, targets_N: Array, *, fixed_slope: float | None = None, weights_N: Array | None = None
) -> Line | None:
    """Maximum-likelihood line of a logistic regression, by Newton steps that are halved until they help.

    targets may be shares; weights say how often each case counts. With `fixed_slope` only the bias is fitted. None when
    there is no finite best line (the classes are separated, or x is constant).
    """
    slope_fixed = fixed_slope is not None
    line = np.array([fixed_slope if fixed_slope is not None else 0.0, 0.0])
    times = np.ones_like(x_N) if weights_N is None else weights_N
    design = np.stack([x_N, np.ones_like(x_N)], axis=1)
    free = [1] if slope_fixed else [0, 1]
    loss = _loss(design @ line, targets_N, times)
    for _ in range(100):
        p = expit(design @ line)
        gradient = design[:, free].T @ (times * (p - targets_N))
        curvature = (design[:, free] * (times * p * (1 - p))[:, None]).T @ design[:, free]
        if not np.isfinite(curvature).all() or np.linalg.cond(curvature) > 1e13:
            return None
        step = np.zeros(2)
        step[free] = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and not _loss(design @ (line - size * step), targets_N, times) <= loss:
            size /= 2
        line = line - size * step
        loss = _loss(design @ line, targets_N, times)
        if np.abs(step).max() < 1e-10 * max(1.0, np.abs(line).max()):
            return Line(float(line[0]), float(line[1]))
    return Line(float(line[0]), float(line[1])) if np.abs(step).max() < 1e-4 else None


def _loss(z_N: Array, targets_N: Array, times_N: Array) -> float:
    return float((times_N * (np.logaddexp(0.0, z_N) - targets_N * z_N)).sum())
