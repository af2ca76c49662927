"""All trials of one arm and model as one result: folds joined, then the mean over seeds and repeats.

Folds whose test rows do not overlap are joined to one set of out-of-fold predictions, in which ranks are compared
within each fold only. What is averaged over then (seeds, repeats, folds that share test rows) is called a member.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate.draws import Draws
from secondread.evaluate.operating import Judged, joined_cases
from secondread.evaluate.predictions import Part, joined
from secondread.metrics.cases import Cases
from secondread.metrics.resampling import Replicates, Resampling
from secondread.metrics.scores import score

Vector = NDArray[np.float64]
Key = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Member:
    """One training of the recipe: key is (repeat, fold, seed), fold −1 where the folds were joined."""

    key: Key
    rows: Part
    cases: Cases


@dataclass(frozen=True, eq=False)
class Pool:
    """The members of one arm and model on one split, with draws that they and all other pools share."""

    arm: str
    model: str
    split: str
    members: list[Member]
    drawn: list[Resampling]
    draws: Draws

    @cached_property
    def made(self) -> list[Replicates]:
        return [self.draws.scored(m.cases, d) for m, d in zip(self.members, self.drawn, strict=True)]

    @cached_property
    def scores(self) -> list[dict[tuple[str, str], float]]:
        """Each member's own scores, (metric, row) → value."""
        return [{(one.metric, one.row): one.value for one in score(m.cases, self.draws.metrics)} for m in self.members]

    def values(self, metric: str, row: str) -> Vector:
        """[S]: the score of each member."""
        return np.array([of_member[metric, row] for of_member in self.scores])

    def replicates(self, metric: str, row: str) -> Vector:
        """[S, B]: the score of each member under the shared draws."""
        return np.stack([made.of(metric, row) for made in self.made])

    def restricted(self, keys: list[Key]) -> Pool:
        """The same pool with only these members, in this order; drawn anew, as any other pool of the same rows is."""
        at = [next(i for i, m in enumerate(self.members) if m.key == key) for key in keys]
        if at == list(range(len(self.members))):
            return self
        return _drawn(self.arm, self.model, self.split, [self.members[i] for i in at], self.draws)


def pool(judged: list[Judged], split: str, draws: Draws) -> Pool:
    """Join what belongs together. `judged`: the trials of one arm and model."""
    members = [member for member in members_of(judged, split) if member.rows.n]
    first = judged[0].predicted
    return _drawn(first.arm, first.model, split, members, draws)


def _drawn(arm: str, model: str, split: str, members: list[Member], draws: Draws) -> Pool:
    drawn = draws.across([m.rows for m in members]) if members else []
    return Pool(arm, model, split, members, drawn, draws)


def members_of(judged: list[Judged], split: str) -> list[Member]:
    by_training: dict[tuple[int, int], list[Judged]] = {}
    for one in judged:
        by_training.setdefault((one.predicted.trial.repeat, one.predicted.trial.seed), []).append(one)
    found = []
    for (repeat, seed), folds in by_training.items():
        if len(folds) > 1 and _disjoint(folds, split):
            parts = [one.predicted.part(split) for one in folds]
            cases = joined_cases([one.cases(split) for one in folds], [part.row_ids for part in parts])
            found.append(Member((repeat, -1, seed), joined(parts), cases))
        else:
            found += [
                Member((repeat, one.predicted.trial.fold, seed), one.predicted.part(split), one.cases(split))
                for one in folds
            ]
    return found


def _disjoint(folds: list[Judged], split: str) -> bool:
    ids = np.concatenate([one.predicted.part(split).row_ids for one in folds]).astype(str)
    return len(np.unique(ids)) == len(ids)
