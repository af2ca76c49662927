"""Which trials are explained and exported: those that validation chose, as evaluate wrote down. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import read_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, needed
from secondread.core.tables import read_dataset, read_results
from secondread.core.trials import Trial, trials
from secondread.metrics.calibration import OperatingPoint
from secondread.metrics.catalogue import METRICS

TOGETHER = "together: "
"""Beginning of the splits, in scores.csv, of seeds that are read together."""


@dataclass(frozen=True)
class Chosen:
    """One arm and model, the trial that stands for it, and the trials of the same repeat and fold (its other seeds)."""

    trial: Trial
    seeds: tuple[Trial, ...]

    @property
    def arm(self) -> str:
        return self.trial.arm

    @property
    def model(self) -> str:
        return self.trial.model.label


def picked(study: Study, where: StudyDir) -> Chosen:
    """The trial that evaluate picked on validation; raises `BadData` when it has not."""
    told = _picked(where)
    own = [trial for trial in trials(study, where) if (trial.arm, trial.model.label) == (told["arm"], told["model"])]
    member = (told["repeat"], told["fold"], told["seed"])
    found = [trial for trial in own if (trial.repeat, trial.fold, trial.seed) == member]
    if not found:
        raise BadData(
            f"the picked trial {told['arm']}/{told['model']} is not among the wanted ones: run evaluate again"
        )
    return _with_seeds(found[0], own)


def chosen(study: Study, where: StudyDir, wanted: str | Sequence[str]) -> list[Chosen]:
    """`best` or `picked`: the one picked; `all`: every arm and model; else models, or ARM/MODEL, by name.

    Of several folds and seeds the one with the best validation score stands for its arm and model.
    """
    if wanted in ("best", "picked"):
        return [picked(study, where)]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    by_pair: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials(study, where):
        by_pair.setdefault((trial.arm, trial.model.label), []).append(trial)
    pairs = [pair for pair in by_pair if wanted == "all" or {pair[1], "/".join(pair)} & set(names)]
    if not pairs:
        valid = ", ".join("/".join(pair) for pair in by_pair)
        raise WrongRequest(f"no arm and model answer to {', '.join(names)}. Valid: {valid}")
    scores = _validation_scores(where)
    return [_with_seeds(max(by_pair[pair], key=lambda t: scores.get(_key(t), -math.inf)), by_pair[pair])
            for pair in pairs]  # fmt: skip


def point_of(where: StudyDir, trial: Trial) -> OperatingPoint:
    """The operating point that evaluate fitted for the trial on validation."""
    path = needed(where.operating(trial.arm, trial.model.label), "evaluate")
    member = f"r{trial.repeat}f{trial.fold}s{trial.seed}"
    try:
        return OperatingPoint.from_dict(read_json(path)[member])
    except KeyError as error:
        raise BadData(f"{path} has no operating point of {member}: run `secondread evaluate` again") from error


def point_together(where: StudyDir, seeds: Sequence[Trial]) -> OperatingPoint | None:
    """The operating point that evaluate fitted for these seeds read together; None where it read none together.

    Raises `BadData` where it read others of their fold together: what it says of those is not true of these.
    """
    path = needed(where.operating(seeds[0].arm, seeds[0].model.label), "evaluate")
    told, own = read_json(path), seeds_together(seeds)
    if own in told:
        return OperatingPoint.from_dict(told[own])
    fold = own.partition("s")[0] + "s"
    if others := [name for name in told if name.startswith(fold) and "+" in name]:
        raise BadData(
            f"{path} is of the seeds {others[0].removeprefix(fold)} read together, not {own.removeprefix(fold)}: "
            "run `secondread evaluate` again, with the same --only"
        )
    return None


def seeds_together(seeds: Sequence[Trial]) -> str:
    """What seeds of one repeat and fold are called together in operating.json: r0f0s0+1+2."""
    first = seeds[0]
    return f"r{first.repeat}f{first.fold}s{'+'.join(str(seed) for seed in sorted(trial.seed for trial in seeds))}"


def _picked(where: StudyDir) -> dict[str, Any]:
    told: dict[str, Any] = read_json(needed(where.summary, "evaluate"))["picked"]
    return told


def _key(trial: Trial) -> tuple[str, str, int, int, int]:
    return trial.arm, trial.model.label, trial.repeat, trial.fold, trial.seed


def _with_seeds(trial: Trial, own: Sequence[Trial]) -> Chosen:
    same = [other for other in own if (other.repeat, other.fold) == (trial.repeat, trial.fold)]
    return Chosen(trial, tuple(same))


def _validation_scores(where: StudyDir) -> dict[tuple[str, str, int, int, int], float]:
    """Of each trial, the headline of the metric that the pick was made by; larger is better."""
    metric, dataset = _picked(where)["metric"], read_dataset(needed(where.dataset, "gather"))
    scores = read_results(needed(where.scores, "evaluate"))
    own = scores[(scores["split"] == "val") & (scores["metric"] == metric) & (scores["seed"] >= 0)]
    own = own[own["class"] == METRICS[metric].headline(dataset.task, tuple(dataset.classes))].dropna(subset=["value"])
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    columns = zip(*(own[name] for name in ("arm", "model", "repeat", "fold", "seed", "value")), strict=True)
    return {(arm, model, int(r), int(f), int(s)): sign * float(value) for arm, model, r, f, s, value in columns}
