"""The shared bootstrap draws: whoever is scored on the same rows is resampled with the same patients."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secondread.evaluate.predictions import Part
from secondread.metrics.cases import Cases
from secondread.metrics.resampling import Replicates, Resampling, patient_numbers, replicates, resampling


@dataclass
class Draws:
    """Makes each set of draws once and hands it to every trial over the same rows.

    The same rows are those of the same ids, patients and labels: files of two external sets may be called alike.
    """

    replicates: int
    seed: int
    metrics: tuple[str, ...]
    _made: dict[bytes, Resampling] = field(default_factory=dict)
    _seen: dict[tuple[bytes, bytes], Resampling] = field(default_factory=dict)
    _scored: dict[tuple[int, int], tuple[Cases, Resampling, Replicates]] = field(default_factory=dict)

    def of(self, rows: Part) -> Resampling:
        """The draws for exactly these rows."""
        key = digest_of(rows)
        if key not in self._made:
            self._made[key] = resampling(
                rows.patients, rows.labels, replicates=self.replicates, seed=self.seed, stratify=True
            )
        return self._made[key]

    def across(self, parts: Sequence[Part]) -> list[Resampling]:
        """Draws for parts whose rows may differ (repeats, folds): one draw of patients over their union, seen by each.

        A part over all rows of the union gets the very draws of `of`.
        """
        union = union_of(parts)
        whole = self.of(union)
        place = {row_id: i for i, row_id in enumerate(union.row_ids)}
        found, of_union = [], digest_of(union)
        for part in parts:
            key = (of_union, digest_of(part))
            if key not in self._seen:
                self._seen[key] = restricted(whole, np.array([place[row_id] for row_id in part.row_ids]))
            found.append(self._seen[key])
        return found

    def scored(self, cases: Cases, drawn: Resampling) -> Replicates:
        """All metrics of these cases under these draws; computed once."""
        key = (id(cases), id(drawn))
        if key not in self._scored:  # the cases and draws are kept, so that their ids stay theirs
            self._scored[key] = (cases, drawn, replicates(cases, drawn, self.metrics))
        return self._scored[key][2]


def digest_of(rows: Part) -> bytes:
    """Of row ids, patients and labels."""
    told = hashlib.sha256("\0".join(rows.row_ids.astype(str)).encode("utf8", "surrogatepass"))
    told.update(patient_numbers(rows.patients, rows.n).tobytes())
    told.update(np.ascontiguousarray(rows.labels).tobytes())
    return told.digest()


def union_of(parts: Sequence[Part]) -> Part:
    """Every row that stands in one of the parts, once, in order of its id."""
    ids = np.concatenate([part.row_ids for part in parts])
    _, first = np.unique(ids.astype(str), return_index=True)
    return Part(
        *(
            np.concatenate([getattr(p, name) for p in parts])[first]
            for name in ("row_ids", "patients", "labels", "logits")
        )
    )


def restricted(whole: Resampling, rows: NDArray[np.integer]) -> Resampling:
    """The same draws of patients, seen by some of the rows (indices into the rows of `whole`)."""
    if len(rows) == whole.n and np.array_equal(rows, np.arange(whole.n)):
        return whole
    patients, of_row = np.unique(whole.patient_of_row[rows], return_inverse=True)
    return Resampling(of_row, whole.drawn[patients], whole.stratum_of_patient[patients])


def patients_in(rows: Part) -> int:
    return int(patient_numbers(rows.patients, rows.n).max()) + 1 if rows.n else 0
