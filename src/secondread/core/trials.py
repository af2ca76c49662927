"""Which trials a study has: arm × model × repeat × fold × seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from secondread.core.spec import PartRef, Study, Train, as_yaml
from secondread.core.studydir import StudyDir, slug

CAME_LATER = {"normalise": "dataset", "keep": "best"}
"""Settings that the first studies could not choose, and what held for them: their trainings are not stale for it."""


@dataclass(frozen=True)
class Trial:
    arm: str
    model: PartRef
    repeat: int
    fold: int
    seed: int
    train: Train
    balance: PartRef

    @property
    def name(self) -> str:
        """`arm/model/r0f0s0`, also the trial's path under `train/` and `predict/`."""
        return slug(self.arm, self.model.label, f"r{self.repeat}f{self.fold}s{self.seed}")

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the trained weights; devices, tracking and search do not."""
        written = as_yaml(self.train)
        for name in ("models", "seeds", "engine", "search", "track"):
            del written[name]
        for name, before in CAME_LATER.items():
            if written[name] == before:
                del written[name]
        written["engine"] = {"precision": self.train.engine.precision}
        return {"model": self.model.as_written(), "seed": self.seed, "train": written}


def folds(study: Study) -> list[tuple[int, int]]:
    """Every (repeat, fold) of the study's split."""
    options = study.prepare.split.options
    repeats, count = int(options.get("repeats", 1)), int(options.get("folds", 1))
    return [(repeat, fold) for repeat in range(repeats) for fold in range(count)]


def trials(study: Study, where: StudyDir) -> Iterator[Trial]:
    """The trials of the study that `--only` leaves in, seeds innermost."""
    for arm in study.arms:
        balance, train = study.arm(arm)
        for model in train.models:
            for repeat, fold in folds(study):
                for seed in train.seeds:
                    trial = Trial(arm, model, repeat, fold, seed, train, balance)
                    if where.wants(trial.name):
                        yield trial
