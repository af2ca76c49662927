"""Operating points: fitted on validation, frozen, then applied to every row of the trial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import expit, softmax

from secondread.core.files import write_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import Dataset
from secondread.evaluate.predictions import Evidence, Part, Predicted
from secondread.metrics.calibration import OperatingPoint, fit_operating_point
from secondread.metrics.cases import Cases, cases


@dataclass(frozen=True, eq=False)
class Judged:
    """A trial with its operating point; `name` in operating.json is that of its repeat, fold and seed if not given."""

    predicted: Predicted
    point: OperatingPoint
    name: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Arm and model."""
        return self.predicted.arm, self.predicted.model

    @cached_property
    def val(self) -> Cases:
        return read_at(self.predicted.val, self.point)

    @cached_property
    def test(self) -> Cases:
        return read_at(self.predicted.test, self.point)

    def cases(self, split: str) -> Cases:
        return self.val if split == "val" else self.test


def judge(evidence: Evidence, study: Study) -> list[Judged]:
    """Each trial with the operating point that its own validation rows give."""
    return [Judged(one, point_of(one, one.val, evidence.dataset, study)) for one in evidence.trials]


def point_of(one: Predicted, val: Part, dataset: Dataset, study: Study) -> OperatingPoint:
    """Prior correction, calibration and thresholds from these validation rows of the trial."""
    return fit_operating_point(
        val.logits,
        val.labels,
        task=dataset.task,
        classes=dataset.classes,
        train_prior=one.card.get("training_prior"),
        natural_prior=one.card.get("natural_prior"),
        rule=study.evaluate.threshold,
    )


def read_at(rows: Part, point: OperatingPoint) -> Cases:
    """The rows as the operating point reads them: calibrated probabilities and decisions."""
    probabilities = point.probabilities(rows.logits)
    return cases(rows.labels, probabilities, point.decide(probabilities), task=point.task, classes=point.classes)


def read_plainly(rows: Part, calibrated: Cases) -> Cases:
    """The same cases before calibration: the same decisions, but the network's own probabilities."""
    with np.errstate(invalid="ignore"):
        own = softmax(rows.logits, axis=1) if calibrated.exclusive else expit(rows.logits)
    return replace(calibrated, probabilities=own)


def joined_cases(parts: list[Cases], ids: list[np.ndarray]) -> Cases:
    """Cases of several folds in one, in order of row id; each remembers which training read it."""
    order = np.argsort(np.concatenate(ids).astype(str), kind="stable")
    first, training = parts[0], np.repeat(np.arange(len(parts)), [part.n for part in parts])[order]
    stacked = [
        np.concatenate([getattr(p, name) for p in parts])[order] for name in ("y_true", "probabilities", "decisions")
    ]
    return Cases(stacked[0], stacked[1], stacked[2], first.task, first.classes, training)


def write_points(judged: list[Judged], where: StudyDir) -> None:
    """`operating.json` of every arm and model: one entry per repeat, fold and seed, and per fold of seeds together."""
    for arm, model in dict.fromkeys(one.pair for one in judged):
        own = [one for one in judged if one.pair == (arm, model)]
        write_json(where.operating(arm, model), {one.name or one.predicted.member: one.point.to_dict() for one in own})


def point_notes(judged: list[Judged]) -> list[str]:
    """What could not be fitted, once per trial."""
    return [f"{one.predicted.trial.name}: {note}." for one in judged for note in one.point.notes]
