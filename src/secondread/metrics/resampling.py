"""One shared set of bootstrap draws: patients with all their images, for every trial and metric alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.core.errors import BadData
from secondread.metrics.cases import Cases
from secondread.metrics.scores import Key, chosen, measure
from secondread.metrics.tally import Prepared, Sums, Tally

BLOCK_ENTRIES = 2_500_000
"""Weights held at once (10 MB): replicates come in blocks so that memory does not grow with their number."""
LEFT_OUT_ENTRIES = 25_000_000
"""Weights (200 MB) of all entries of all classes held at once where patients are left out."""
SMALL_STRATUM = 5


@dataclass(frozen=True, eq=False)
class Resampling:
    """B draws of C patients over N rows.

    patient_of_row [N]: 0 … C − 1; drawn [C, B]: how often a patient stands in a replicate; stratum_of_patient [C].
    """

    patient_of_row: NDArray[np.int64]
    drawn: NDArray[np.uint8]
    stratum_of_patient: NDArray[np.int64]

    @property
    def n(self) -> int:
        return len(self.patient_of_row)

    @property
    def patients(self) -> int:
        return int(self.drawn.shape[0])

    @property
    def replicates(self) -> int:
        return int(self.drawn.shape[1])

    @property
    def clustered(self) -> bool:
        """Whether any patient has more than one row."""
        return self.patients < self.n

    def blocks(self) -> Iterator[tuple[slice, Sums]]:
        """The replicates' columns and their row weights float32 [N, block]."""
        step = max(32, BLOCK_ENTRIES // max(1, self.n) // 32 * 32)
        for start in range(0, self.replicates, step):
            columns = slice(start, min(start + step, self.replicates))
            yield columns, self.drawn[:, columns].astype(np.float32)[self.patient_of_row]

    def leave_out(self, groups: int = 200, classes: int = 1) -> Iterator[tuple[slice, Sums]]:
        """Jack-knife weights float64 [N, block]: each column leaves out one patient, or one of `groups` groups of them.

        Few columns at once where `classes` times the rows are many: what ranks all entries holds weights for each.
        """
        groups = min(groups, self.patients)
        group = np.random.default_rng(self.patients).permutation(self.patients) % groups
        step = max(8, LEFT_OUT_ENTRIES // max(1, self.n * classes) // 8 * 8)
        for start in range(0, groups, step):
            columns = slice(start, min(start + step, groups))
            yield columns, (group[self.patient_of_row][:, None] != np.arange(groups)[columns]).astype(np.float64)


def resampling(
    patients: ArrayLike | None, y_true: ArrayLike, *, replicates: int = 2000, seed: int = 0, stratify: bool = True
) -> Resampling:
    """Draw patients with replacement.

    patients [N]: any ids; None (or a missing id) makes a row its own patient. y_true [N, K] serves the strata: with
    `stratify` each replicate keeps the number of patients of every stratum (the classes that a patient's rows show;
    of many labels, the rarest).
    """
    labels = np.nan_to_num(np.atleast_2d(np.asarray(y_true, dtype=np.float64)))
    if replicates < 1 or len(labels) == 0:
        raise BadData("a bootstrap needs at least one row and one replicate")
    of_row = patient_numbers(patients, len(labels))
    number = int(of_row.max()) + 1
    strata = _strata(of_row, labels, number) if stratify else np.zeros(number, dtype=np.int64)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((number, replicates), dtype=np.uint8)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        drawn[members] = _draw(len(members), replicates, rng)
    return Resampling(of_row, drawn, strata)


def patient_numbers(patients: ArrayLike | None, rows: int) -> NDArray[np.int64]:
    """[N]: patients numbered from 0; rows without a patient are patients of their own."""
    if patients is None:
        return np.arange(rows)
    given = np.asarray(patients, dtype=object)
    if len(given) != rows:
        raise BadData(f"{len(given)} patients for {rows} rows")
    missing = np.array([value is None or value != value or str(value) == "<NA>" for value in given])
    keyed = np.array(
        [f"row {i}" if gone else f"id {v}" for i, (v, gone) in enumerate(zip(given, missing, strict=True))]
    )
    return np.asarray(np.unique(keyed, return_inverse=True)[1], dtype=np.int64)


def _draw(members: int, replicates: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """[members, B]: how often each is among as many draws with replacement."""
    drawn = np.empty((members, replicates), dtype=np.uint8)
    step = max(1, 4_000_000 // members)
    for start in range(0, replicates, step):
        width = min(step, replicates - start)
        picks = rng.integers(0, members, size=(width, members)) + members * np.arange(width)[:, None]
        drawn[:, start : start + width] = np.bincount(picks.ravel(), minlength=width * members).reshape(width, -1).T
    return drawn


def _strata(of_row: NDArray[np.int64], labels: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    """[C]: exclusive classes: the set of classes a patient's rows show; many labels: the rarest one, or none."""
    shown = np.zeros((number, labels.shape[1]), dtype=bool)
    np.logical_or.at(shown, of_row, labels > 0)
    if (labels.sum(axis=1) <= 1).all():
        _, strata = np.unique(shown, axis=0, return_inverse=True)
    else:
        rarest_first = np.argsort(shown.sum(axis=0), kind="stable")
        strata = np.where(shown.any(axis=1), np.argmax(shown[:, rarest_first], axis=1), labels.shape[1])
    strata = np.asarray(strata, dtype=np.int64).reshape(number)
    sizes = np.bincount(strata)
    small = (sizes[strata] < SMALL_STRATUM) & (sizes[strata] < number)
    # a stratum of one patient would never vary: the small ones are drawn together, or with the largest
    strata[small] = len(sizes) if small.sum() >= SMALL_STRATUM else int(sizes.argmax())
    return strata


@dataclass(frozen=True, eq=False)
class Replicates:
    """Bootstrap values: rows [R] of (metric, row), values [R, B]."""

    rows: tuple[Key, ...]
    values: NDArray[np.float64]

    def of(self, metric: str, row: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.values[self.rows.index((metric, row))]
        return found


def replicates(
    cases: Cases, drawn: Resampling, names: Iterable[str] | None = None, row: str | None = None
) -> Replicates:
    """All metrics under all draws of the shared resampling; the cases' rows must be in its order.

    `row`: the one row of scores that is wanted; where it is a class, the others are not worked out.
    """
    metrics = chosen(names, cases.task)
    only = None if row is None else cases.column(row)
    return _gather(cases, drawn.n, drawn.blocks(), lambda counted: measure(counted, metrics), only)


def leave_outs(cases: Cases, drawn: Resampling, names: Iterable[str] | None = None) -> Replicates:
    """All metrics with one patient (or group of patients) left out at a time, for BCa intervals."""
    metrics = chosen(names, cases.task)
    return _gather(
        cases, drawn.n, drawn.leave_out(classes=len(cases.classes)), lambda counted: measure(counted, metrics)
    )


def replicates_of(
    cases: Cases,
    blocks: Iterable[tuple[slice, Sums]],
    statistic: Callable[[Tally], dict[Key, Sums]],
    row: str | None = None,
) -> Replicates:
    """Any statistic of a tally, name → [B], under any blocks of weights (for expected cost, for one's own metrics)."""
    return _gather(cases, cases.n, blocks, statistic, None if row is None else cases.column(row))


def _gather(
    cases: Cases,
    rows: int,
    blocks: Iterable[tuple[slice, Sums]],
    statistic: Callable[[Tally], dict[Key, Sums]],
    only: int | None = None,
) -> Replicates:
    if cases.n != rows:
        raise BadData(f"{cases.n} cases for a resampling of {rows} rows")
    prepared = Prepared(cases)
    parts = [statistic(Tally(prepared, weights, only)) for _, weights in blocks]
    keys = tuple(parts[0])
    table = [np.concatenate([np.broadcast_to(p[key], p[key].shape) for p in parts]) for key in keys]
    return Replicates(keys, np.array(table, dtype=np.float64).reshape(len(keys), -1))
