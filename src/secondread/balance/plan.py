"""The plan: which rows a training counts, how often, and with what weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData, WrongRequest
from secondread.core.tables import PLAN_COLUMNS, labels_of

Labels = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """What a policy decides on: the real training rows of one fold, their labels [N,K], and the synthetic rows."""

    rows: pd.DataFrame
    labels: Labels
    synthetic: pd.DataFrame
    classes: Sequence[str]
    seed: int

    @property
    def positive(self) -> NDArray[np.bool_]:
        """[N,K]: the label is there."""
        return np.asarray(self.labels == 1)

    @property
    def counts(self) -> Counts:
        """Rows of each class."""
        return np.asarray(self.positive.sum(axis=0), np.int64)

    def chance(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, 17])

    def need_exclusive(self, policy: str, why: str) -> None:
        """Raise `WrongRequest` when images carry several labels."""
        told = np.nan_to_num(self.labels)
        if not np.all((told == 1).sum(axis=1) == 1):
            raise WrongRequest(
                f"balance: {policy} needs one class per image: {why}. For several labels per image use oversample "
                "(repeat-factor sampling) or sampler"
            )

    def real(self, times: Counts | None = None, weights: NDArray[np.float64] | None = None) -> pd.DataFrame:
        """Plan rows of the real images; those that stand 0 times are left out."""
        counted = np.ones(len(self.rows), np.int64) if times is None else times
        plan = pd.DataFrame({
            "row_id": self.rows["row_id"].to_numpy(),
            "times": counted,
            "sampling_weight": 1.0 if weights is None else weights,
            "synthetic": False,
            "generator": None,
            "generator_seed": -1,
        })  # fmt: skip
        return plan[plan["times"] > 0]

    def made(self, generator: str, wanted: dict[str, int], policy: str) -> pd.DataFrame:
        """Plan rows of synthetic images: `wanted` of each class, for every seed of the generator.

        Where fewer were made they are counted again; a class that the generator does not make is left out.
        """
        ours = self.synthetic[self.synthetic["generator"] == generator].sort_values("row_id")
        if ours.empty:
            raise BadData(f"balance: {policy}: there are no images of {generator!r} for this fold in synthesize/")
        named, parts = classes_of(ours, self.classes), []
        for seed in sorted(set(ours["seed"])):
            for target, count in wanted.items():
                rows = ours[(ours["seed"] == seed).to_numpy() & (named == target)]
                if len(rows) == 0 or count < 1:
                    continue
                times = np.full(len(rows), count // len(rows), np.int64)
                times[: count % len(rows)] += 1
                one = pd.DataFrame({"row_id": rows["row_id"].to_numpy(), "times": times, "generator_seed": seed})
                parts.append(one.assign(sampling_weight=1.0, synthetic=True, generator=generator)[list(PLAN_COLUMNS)])
        if not parts:
            return self.real()[:0]
        plan = pd.concat(parts)
        return plan[plan["times"] > 0]


def classes_of(rows: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.str_]:
    """The class [N] of each synthetic row, which has exactly one (a conditional GAN's target is not its class)."""
    named: NDArray[np.str_] = np.asarray(classes, dtype=str)[labels_of(rows, classes).argmax(axis=1)]
    return named


def spread_copies(members: NDArray[np.int64], extra: int, times: Counts, chance: np.random.Generator) -> None:
    """Add `extra` copies to `times`, shared out as evenly as can be among `members`."""
    if len(members):
        times[members] += extra // len(members)
        times[chance.permutation(members)[: extra % len(members)]] += 1
