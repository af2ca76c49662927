"""Which trial is picked: by validation, never by test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from secondread.core.spec import Study
from secondread.evaluate.operating import Judged
from secondread.evaluate.scoring import primary
from secondread.metrics.catalogue import METRICS
from secondread.metrics.scores import score


def pick(judged: list[Judged], study: Study) -> dict[str, Any]:
    """The arm and model with the best mean validation score over its trials, and of these the best trial.

    Where no trial has that score on validation (a class is absent there), log loss decides; where there is no
    validation at all, the first trial, with a value of NaN.
    """
    for metric in (primary(study), "log_loss"):
        sign = 1.0 if METRICS[metric].higher_is_better else -1.0
        values = [validation_value(one, metric) for one in judged]
        by_pair: dict[tuple[str, str], list[int]] = {}
        for i, one in enumerate(judged):
            by_pair.setdefault((one.predicted.arm, one.predicted.model), []).append(i)
        means = {pair: float(np.mean([sign * values[i] for i in own])) for pair, own in by_pair.items()}
        known = {pair: mean for pair, mean in means.items() if math.isfinite(mean)}
        if known:
            best = max(known, key=lambda pair: known[pair])
            chosen = max(by_pair[best], key=lambda i: sign * values[i])
            return _told(judged[chosen], metric, values[chosen])
    return _told(judged[0], primary(study), math.nan)


def validation_value(one: Judged, metric: str) -> float:
    """The headline score of a trial on its validation rows."""
    if one.val.n == 0:
        return math.nan
    row = METRICS[metric].headline(one.val.task, one.val.classes)
    return next(s.value for s in score(one.val, [metric]) if s.row == row)


def _told(one: Judged, metric: str, value: float) -> dict[str, Any]:
    trial = one.predicted.trial
    return {
        "arm": trial.arm, "model": trial.model.label, "repeat": trial.repeat, "fold": trial.fold, "seed": trial.seed,
        "metric": metric, "value": value if math.isfinite(value) else None,
    }  # fmt: skip
