"""Scores and comparisons of the record as numbers that know how they are shown."""

from __future__ import annotations

from typing import Any

import pandas as pd

from secondread.evaluate.record import Record
from secondread.metrics.cases import MIN_CASES
from secondread.metrics.catalogue import METRICS
from secondread.pages.numbers import Number
from secondread.pages.tables import Cell, Interval, Name, Verdict, Whisker


class Lookup:
    """Finds the pooled score of an arm and model (all trials together) by metric."""

    @classmethod
    def of(cls, record: Record) -> Lookup:
        """The record's lookup; made once."""
        if "lookup" not in record.made:
            record.made["lookup"] = cls(record)
        found: Lookup = record.made["lookup"]
        return found

    def __init__(self, record: Record) -> None:
        self.record = record
        pooled = record.scores[record.scores["repeat"] == -1]
        keys = zip(pooled["arm"], pooled["model"], pooled["split"], pooled["metric"], pooled["class"], strict=True)
        self._rows: dict[tuple[str, ...], dict[str, Any]] = dict(zip(keys, records(pooled), strict=True))

    def row(self, arm: str, model: str, split: str, metric: str, name: str | None = None) -> dict[str, Any] | None:
        return self._rows.get((arm, model, split, metric, name or self.headline(metric)))

    def interval(self, arm: str, model: str, split: str, metric: str, name: str | None = None) -> Interval | None:
        found = self.row(arm, model, split, metric, name)
        return None if found is None else interval_of(found)

    def cohort(self, split: str, metric: str, name: str = "all") -> Number:
        found = self._rows["all", "all", split, metric, name]
        return Number(float(found["value"]), 0, kind="count")

    def rare(self, split: str) -> list[str]:
        """Classes that take no part in the means: absent, or labels with too few cases on a side."""
        told = {name: self._rows["all", "all", split, "positives", name] for name in self.record.classes}
        if self.record.task != "multilabel":
            return [name for name, row in told.items() if row["value"] < 1]
        return [name for name, row in told.items() if min(row["value"], row["n"] - row["value"]) < MIN_CASES]

    def headline(self, metric: str) -> str:
        if metric == "expected_cost":
            return "overall"
        known = METRICS.get(metric)
        return known.headline(self.record.task, tuple(self.record.classes)) if known else "all"  # type: ignore[arg-type]

    @property
    def primary(self) -> str:
        found: str = self.record.study.evaluate.primary
        return "auroc" if found == "auto" else found

    @property
    def metrics(self) -> list[str]:
        """The study's metrics that have meaning for its task, the primary one first."""
        wanted = dict.fromkeys([self.primary, *self.record.study.evaluate.metrics])
        return [name for name in wanted if self.record.task in METRICS[name].tasks]

    def verdicts(self, metric: str) -> pd.DataFrame:
        """Arm against baseline per model, the main (Holm-corrected) rows."""
        c = self.record.comparisons
        main = (c["metric"] == metric) & (c["baseline"] == self.record.baseline) & (c["arm"] != c["baseline"])
        return c[main & c["model"].isin(self.record.evidence.models) & ~c["method"].str.startswith(SPECIAL)]


SPECIAL = ("max-T", "Nadeau", "Wilcoxon", "mixed model")
"""Beginnings of the methods whose rows stand beside the main comparison of the same pair."""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings."""
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def interval_of(row: dict[str, Any], digits: int = 3) -> Interval:
    return Interval(Number(row["value"], digits), Number(row["low"], digits), Number(row["high"], digits))


def difference_of(row: dict[str, Any], digits: int = 3) -> Interval:
    return Interval(
        Number(row["difference"], digits, signed=True), Number(row["low"], digits, signed=True),
        Number(row["high"], digits, signed=True),
    )  # fmt: skip


def comparison_cells(row: dict[str, Any], reach: float) -> list[Cell]:
    """Difference, its drawing, p, corrected p, smallest difference that would be seen, false claim, verdict."""
    whisker = Whisker(row["difference"], row["low"], row["high"], -reach, reach, 0.0)
    return [
        difference_of(row), whisker, Number(row["p"], 3, kind="p"), Number(row["p_adjusted"], 3, kind="p"),
        Number(row["mde"], 3), Number(row["p_false_claim"], 2, kind="p"), Verdict(row["verdict"]),
    ]  # fmt: skip


def names(*texts: str) -> list[Cell]:
    return [Name(text) for text in texts]
