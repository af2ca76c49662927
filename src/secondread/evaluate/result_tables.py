"""The result tables of the report, of tables/*.tex and tables/*.md: every number is a row of a results file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from secondread.evaluate.lookup import SPECIAL, Lookup, comparison_cells, interval_of, names, records
from secondread.evaluate.record import Record
from secondread.metrics.scores import left_out_of
from secondread.models.chosen import TOGETHER
from secondread.pages.numbers import Number, count, metric_title
from secondread.pages.tables import Cell, Interval, Name, Table, Whisker

HEADLINE = 4
"""Metrics beside the primary one in the first table; all of them stand in a second one."""
SPLIT_WORDS = {"test": "test", "val": "validation"}
FIRST = ("accuracy", "recall", "specificity", "f1", "precision", "average_precision")


def overview(record: Record) -> Table:
    """The primary metric on validation and test, and the first metrics of the study on test."""
    columns, rows = _overview(record, record.evidence.pairs, "")
    return Table("table-overview", f"Validation and test, {_what(record)}", columns, rows, _note(record))


def together(record: Record) -> Table:
    """The same of seeds read together, where a recipe has several."""
    look = Lookup.of(record)
    pairs = [pair for pair in record.evidence.pairs if look.row(*pair, f"{TOGETHER}val", look.primary)]
    columns, rows = _overview(record, pairs, TOGETHER)
    note = (
        "The mean of the logits of all seeds of a fold, with calibration and thresholds of its own from validation: "
        "what a bundle answers that is exported with `ensemble`. No verdict is given on it; the scores above are means "
        "over single trainings."
    )
    return Table("table-together", f"All seeds read together, {_what(record)}", columns, rows, note)


def _overview(record: Record, pairs: Sequence[tuple[str, str]], prefix: str) -> tuple[list[str], list[list[Cell]]]:
    """Columns and rows: the primary metric on both splits, and some more on test."""
    look, on = Lookup.of(record), f"{prefix}test"
    primary, *others = look.metrics
    others = sorted(others, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))[:HEADLINE]
    columns = ["Arm", "Model", f"{metric_title(primary)}, validation", f"{metric_title(primary)}, test", ""]
    rows: list[list[Cell]] = []
    reach = _scale([look.interval(arm, model, on, primary) for arm, model in pairs])
    for arm, model in pairs:
        on_test = look.interval(arm, model, on, primary)
        cells: list[Cell] = [*names(arm, model), _cell(look.interval(arm, model, f"{prefix}val", primary))]
        cells += [_cell(on_test), _whisker(on_test, *reach)]
        rows.append(cells + [_cell(look.interval(arm, model, on, metric)) for metric in others])
    return columns + [metric_title(m) for m in others], rows


def more_metrics(record: Record, split: str) -> Table:
    """Every metric of the study on one split."""
    look = Lookup.of(record)
    metrics = look.metrics + (["expected_cost"] if record.study.evaluate.threshold.cost else [])
    rows = [
        [*names(arm, model), *(_cell(look.interval(arm, model, split, metric)) for metric in metrics)]
        for arm, model in record.evidence.pairs
    ]
    title = f"Every metric on {SPLIT_WORDS[split]}"
    return Table(f"table-all-{split}", title, ["Arm", "Model", *map(metric_title, metrics)], rows, _note(record, split))


PER_CLASS = ("recall", "specificity", "precision", "f1", "auroc", "average_precision")


def per_class(record: Record, arm: str, model: str, split: str = "test") -> Table:
    """One line per class and one per average: rates with intervals and the counts behind them."""
    look = Lookup.of(record)
    averages = [a for a in ("macro", "micro", "weighted", "chexpert_five") if look.row(arm, model, split, "recall", a)]
    if record.task == "binary":  # two classes mirror each other: their averages say nothing new
        averages = []
    rows: list[list[Cell]] = []
    for name in [*record.classes, *averages]:
        label: Cell = Name(name) if name in record.classes else name.replace("_", " ")
        cells: list[Cell] = [label]
        for counted in ("tp", "fp", "fn", "tn"):
            row = look.row(arm, model, split, counted, name)
            cells.append(None if row is None else count(row["value"]))
        share = look.row("all", "all", split, "prevalence", name)
        cells.append(None if share is None else Number(share["value"], 3))
        rows.append(cells + [_cell(look.interval(arm, model, split, metric, name)) for metric in PER_CLASS])
    columns = ["Class", "TP", "FP", "FN", "TN", "Share", *map(metric_title, PER_CLASS)]
    where = SPLIT_WORDS[split]
    note = (
        "Each class against the rest. Counts are summed over all trainings of the recipe. The share of a class among "
        "the images is the average precision that guessing would give."
    )
    return Table(
        f"table-class-{slugged(arm, model, split)}", f"Per class on {where}: {arm} · {model}", columns, rows, note
    )


def differences(record: Record) -> Table:
    """Arms against the baseline on the primary metric."""
    look = Lookup.of(record)
    rows = records(look.verdicts(look.primary))
    reach = _reach(rows)
    body = [[*names(row["arm"], row["model"]), *comparison_cells(row, reach)] for row in rows]
    caption = f"{metric_title(look.primary)} on test: difference to {record.baseline}"
    note = (
        "Positive: the arm is higher. p: paired test on the same test rows; corrected by Holm over all rows of this "
        f"table. {SMALLEST} {_false_claim('arm')}"
    )
    return Table("table-differences", caption, ["Arm", "Model", *COMPARED], body, note)


COMPARED = ("Difference", "", "p", "p corrected", "Smallest shown", "False claim", "Verdict")
SMALLEST = (
    "Smallest shown: the true difference that four of five such test sets would show if it were the only one compared."
)


def _false_claim(who: str) -> str:
    return (
        f"False claim: probability that the {who} is not the more accurate one, whatever the metric of the row, with "
        "images taken for independent (Christodoulou and others, 2025)."
    )


def other_differences(record: Record) -> Table:
    look = Lookup.of(record)
    body: list[list[Cell]] = []
    for metric in look.metrics[1:]:
        rows = records(look.verdicts(metric))
        reach = _reach(rows)
        body += [[metric_title(metric), *names(r["arm"], r["model"]), *comparison_cells(r, reach)] for r in rows]
    caption = f"Every other metric on test: difference to {record.baseline}"
    note = (
        "Corrected by Holm within each metric. Log loss, Brier score, ECE and Hamming loss are better when lower. "
        f"{_false_claim('arm')}"
    )
    return Table("table-differences-all", caption, ["Metric", "Arm", "Model", *COMPARED], body, note)


def special_differences(record: Record) -> Table:
    """Simultaneous intervals, resampled folds, treatment over blocks."""
    c = record.comparisons
    rows = records(c[(c["baseline"] == record.baseline) & c["method"].str.startswith(SPECIAL)])
    reach = _reach(rows)
    body: list[list[Cell]] = [
        [row["method"], *names(row["arm"], row["model"]), *comparison_cells(row, reach)] for row in rows
    ]
    note = (
        "Max-T intervals hold all at once. Nadeau-Bengio's t corrects for training rows that folds share. Tests over "
        "blocks ask whether an arm helps across architectures and seeds, with the test set as it is."
    )
    columns = ["Method", "Arm", "Model", *COMPARED]
    return Table("table-special", "The same question by other methods, primary metric", columns, body, note)


def models_compared(record: Record) -> Table:
    c = record.comparisons
    rows = records(c[(c["arm"] == c["baseline"]) & c["model"].str.contains(" vs ", regex=False)])
    reach = _reach(rows)
    body = [[*names(row["arm"], row["model"]), *comparison_cells(row, reach)] for row in rows]
    note = (
        f"Positive: the first network is higher. Corrected by Holm within each arm. {SMALLEST} {_false_claim('first')}"
    )
    caption = f"{metric_title(Lookup.of(record).primary)} on test: networks against each other"
    return Table("table-models", caption, ["Arm", "Networks", *COMPARED], body, note)


def apart(record: Record, prefix: str, name: str, caption: str, note: str = "") -> Table | None:
    """Scores on parts of the test rows, whose split reads `<prefix>…`: subgroups, left-out sites, external sets."""
    s = record.scores
    own = s[s["split"].str.startswith(prefix) & (s["repeat"] == -1)]
    if own.empty:
        return None
    first = Lookup.of(record).primary
    metrics = sorted(dict.fromkeys(own["metric"]), key=lambda name: (name != first, *_place(name)))
    rows: list[list[Cell]] = []
    for (split, arm, model), group in own.groupby(["split", "arm", "model"], sort=False):
        found = {row["metric"]: interval_of(row) for row in records(group)}
        images: Cell = count(float(group["n"].max()))
        told: list[Cell] = [_cell(found.get(metric)) for metric in metrics]
        rows.append([*names(str(split).removeprefix(prefix).strip(": "), str(arm), str(model)), images, *told])
    columns = ["Part", "Arm", "Model", "Images", *map(metric_title, metrics)]
    return Table(name, caption, columns, rows, f"{note} {without_rare(own, record.classes)}".strip())


MEANS = "Means leave out labels with fewer than ten cases on a side there."


def without_rare(scores: pd.DataFrame, classes: Sequence[str]) -> str:
    """Which labels the means of some parts leave out, and of which parts; empty where each mean has all of them."""
    parts_of: dict[str, dict[str, None]] = {}
    for split, method in zip(scores["split"], scores["method"], strict=True):
        if left := left_out_of(str(method)):
            parts_of.setdefault(left, {})[str(split).partition(": ")[2] or str(split)] = None
    told = "; ".join(f"{_shorter(left, classes)}: {', '.join(parts)}" for left, parts in parts_of.items())
    return f"{MEANS} {told[:1].upper()}{told[1:]}." if told else ""


def _shorter(left: str, classes: Sequence[str]) -> str:
    """The labels that a mean leaves out, or those it is over where they are fewer."""
    rest, kept = f"{left}, ", []
    for name in classes:
        if rest.startswith(f"{name}, "):
            rest = rest.removeprefix(f"{name}, ")
        else:
            kept.append(name)
    return f"without {left}" if 2 * len(kept) >= len(classes) else f"over {', '.join(kept)} alone"


def result_tables(record: Record) -> list[Table]:
    """All that is also written as LaTeX and Markdown."""
    at = record.picked
    found = [overview(record), more_metrics(record, "test"), more_metrics(record, "val")]
    found += [
        together(record),
        per_class(record, at["arm"], at["model"]),
        differences(record),
        other_differences(record),
    ]
    found += [special_differences(record), models_compared(record)]
    return [table for table in found if table.rows]


def slugged(*parts: str) -> str:
    """An id that is safe in HTML and LaTeX whatever the names."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else "-" for c in part) for part in parts)


def _what(record: Record) -> str:
    if record.task == "binary":
        return f"positive class {record.classes[1]}"
    return "mean over the classes" if record.task == "multiclass" else "mean over the labels"


def _note(record: Record, split: str = "test") -> str:
    level = f"{100 * record.study.evaluate.confidence:g} %"
    rare = Lookup.of(record).rare(split) if record.task != "binary" else []
    least = "fewer than ten cases on a side" if record.task == "multilabel" else "no case"
    without = f" Means leave out what has {least} on {SPLIT_WORDS[split]}: {', '.join(rare)}." if rare else ""
    return (
        f"Under each value its {level} interval; the method of each is a column of scores.csv. Thresholds and "
        "calibration were fitted on validation and frozen. The shaded line is the one picked on validation."
        f"{without}"
    )


def _cell(found: Interval | None) -> Cell:
    return found


def _whisker(found: Interval | None, left: float, right: float) -> Cell:
    if found is None:
        return Whisker(math.nan, math.nan, math.nan, left, right)
    return Whisker(found.value.value, found.low.value, found.high.value, left, right)


def _place(metric: str) -> tuple[int, str]:
    """Where a metric stands among others: the same order in every table."""
    return (FIRST.index(metric) if metric in FIRST else len(FIRST), metric)


def _scale(found: list[Interval | None]) -> tuple[float, float]:
    edges = [v for one in found if one for v in (one.low.value, one.high.value, one.value.value) if math.isfinite(v)]
    return (min(edges), max(edges)) if edges else (0.0, 1.0)


def _reach(rows: list[dict[str, Any]]) -> float:
    edges = np.array([[row["low"], row["high"], row["difference"]] for row in rows], dtype=float)
    finite = np.abs(edges[np.isfinite(edges)])
    return float(finite.max()) if len(finite) else 1.0
