"""The report's sections on scores, comparisons and calibration."""

from __future__ import annotations

from typing import Any

import pandas as pd

from secondread.evaluate import result_tables as tables
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import Lookup, names
from secondread.evaluate.record import Record
from secondread.evaluate.traces import Traces
from secondread.metrics.cases import Cases
from secondread.metrics.scores import confusion_matrix, counts
from secondread.pages import bars, confusion, forest, reliability, trade_offs
from secondread.pages.blocks import Block, Folded, Section, Shown, Tabled, short_or_folded
from secondread.pages.numbers import Number, metric_title, shown
from secondread.pages.tables import Cell, Interval, Name, Table


def results_section(record: Record, gallery: Gallery, traces: Traces) -> Section:
    at, pairs = record.picked, record.evidence.pairs
    marked = pairs.index((at["arm"], at["model"]))
    blocks: list[Block] = [
        Tabled(tables.overview(record), marked),
        bars_figure(record, gallery),
        *([short_or_folded(several)] if (several := tables.together(record)).rows else []),
        Tabled(tables.per_class(record, at["arm"], at["model"])),
        Folded("Every metric, test and validation", [
            Tabled(tables.more_metrics(record, "test"), marked), Tabled(tables.more_metrics(record, "val"), marked),
        ]),
        *curves_figures(record, gallery, traces),
        confusion_figure(record, gallery),
    ]  # fmt: skip
    others = [pair for pair in pairs if pair != (at["arm"], at["model"])]
    if others:
        blocks.append(
            Folded("Per class, every other arm and model", [Tabled(tables.per_class(record, *o)) for o in others])
        )
    return Section("results", "Results", blocks)


def bars_figure(record: Record, gallery: Gallery) -> Shown:
    look = Lookup.of(record)
    found = []
    for metric in look.metrics:
        for arm, model in record.evidence.pairs:
            row = look.row(arm, model, "test", metric)
            if row is not None:
                found.append({**row, "metric": metric_title(metric)})
    table = pd.DataFrame(found, columns=["arm", "model", "metric", "value", "low", "high"])
    return gallery.show(
        "metrics", "Metrics on test", "Bars start at zero; whiskers are the intervals of the tables; a dash: not "
        "defined. Whether two differ is not for overlapping whiskers to say: see the comparisons.",
        lambda: bars.figure(table, record.baseline),
    )  # fmt: skip


def curves_figures(record: Record, gallery: Gallery, traces: Traces) -> list[Block]:
    who = f"class {record.classes[1]}" if record.task == "binary" else "mean over the classes"
    level = f"{100 * record.study.evaluate.confidence:g} %"
    band = f"Bands: {level} of bootstrap curves over test patients, at each point."
    if record.folded:
        band = f"Means over folds: scores of different trainings share no scale. {band}"
    found: list[Block] = [
        gallery.show(
            "roc", f"ROC curves, {who}", band, lambda: trade_offs.roc(traces.by_model("roc"), record.baseline)
        ),
        gallery.show(
            "precision_recall", f"Precision over recall, {who}", f"{band} The dotted line is the prevalence: what "
            "guessing would give.", lambda: trade_offs.precision_recall(traces.by_model("pr"), record.baseline),
        ),
    ]  # fmt: skip
    if len(record.classes) > 2:
        model = record.picked["model"]
        inner: list[Block] = [
            gallery.show(
                "roc_classes", f"ROC curves of each class against the rest, {model}", band,
                lambda: trade_offs.roc(traces.by_class("roc"), record.baseline),
            ),
            gallery.show(
                "precision_recall_classes", f"Precision over recall of each class, {model}", band,
                lambda: trade_offs.precision_recall(traces.by_class("pr"), record.baseline),
            ),
        ]  # fmt: skip
        found.append(Folded("The same for each class", inner))
    return found


def confusion_figure(record: Record, gallery: Gallery) -> Shown:
    counts, rates = decisions(record)
    title = "Decisions on test"
    if record.task == "multilabel":
        caption = "Images of each label: found, missed, and false alarms, summed over the trainings of a recipe."
        return gallery.show("confusion", title, caption, lambda: confusion.per_label(rates, record.classes))
    caption = (
        "Rows are the truth, columns the decision at the frozen thresholds; per cent of each true class. Counts are "
        "summed over the trainings of a recipe."
    )
    return gallery.show("confusion", title, caption, lambda: confusion.figure(counts, record.classes))


def decisions(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Truth × decision of every arm and model, and TP, FP, FN, TN of each class; summed over trials."""
    pairs: list[dict[str, Any]] = []
    rates: list[dict[str, Any]] = []
    for one in record.judged:
        if one.test.n:
            own_pairs, own_rates = decided(one.test, {"arm": one.predicted.arm, "model": one.predicted.model})
            pairs, rates = pairs + own_pairs, rates + own_rates
    columns = ["arm", "model", "truth", "decision", "count"]
    summed = pd.DataFrame(rates, columns=["arm", "model", "class", "tp", "fp", "fn", "tn"])
    summed = summed.groupby(["arm", "model", "class"], sort=False, as_index=False).sum()
    return pd.DataFrame(pairs, columns=columns).groupby(columns[:4], sort=False, as_index=False).sum(), summed


def decided(cases: Cases, who: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Truth × decision of exclusive classes and TP, FP, FN, TN of each class, every row with the columns `who`."""
    pairs = []
    if cases.exclusive:
        matrix = confusion_matrix(cases)
        for i, truth in enumerate(cases.classes):
            for j, decision in enumerate(cases.classes):
                pairs.append(who | {"truth": truth, "decision": decision, "count": int(matrix[i, j])})
    rates = [
        who | {"class": one.row} | {name: getattr(one, name) for name in ("tp", "fp", "fn", "tn")}
        for one in counts(cases)
    ]
    return pairs, rates


def comparisons_section(record: Record, gallery: Gallery) -> Section | None:
    if record.comparisons.empty:
        return None
    look = Lookup.of(record)
    blocks: list[Block] = []
    main = tables.differences(record)
    if main.rows:
        title = f"Difference in {metric_title(look.primary)} to {record.baseline}"
        blocks = [Tabled(main), gallery.show(
            "forest", title, "Marks: difference on test; lines: its interval. Mark and colour follow the corrected "
            "verdict, not the line alone.", lambda: forest.figure(_forest_rows(record), title),
        )]  # fmt: skip
    for table, fold in (
        (tables.special_differences(record), "Simultaneous intervals, folds, blocks"),
        (tables.other_differences(record), "Every other metric"),
        (tables.models_compared(record), "Networks against each other"),
    ):
        if table.rows:
            blocks.append(Folded(fold, [Tabled(table)]))
    return Section("comparisons", "Comparisons", blocks)


def _forest_rows(record: Record) -> pd.DataFrame:
    rows = Lookup.of(record).verdicts(Lookup.of(record).primary)
    return pd.DataFrame({
        "group": rows["model"], "label": rows["arm"], "value": rows["difference"], "low": rows["low"],
        "high": rows["high"], "verdict": rows["verdict"],
    })  # fmt: skip


def calibration_section(record: Record, gallery: Gallery, traces: Traces) -> Section:
    blocks: list[Block] = [
        gallery.show(
            "reliability", "Reliability of the picked trial on test", "How often it was true when the network said p, "
            "in groups of equally many cases, before and after prior correction and calibration on validation. The "
            "band is a bootstrap interval.", lambda: reliability.figure(traces.reliability()),
        ),
        Tabled(_lines(record, traces)),
        Tabled(_proper(record)),
        short_or_folded(_points(record)),
        gallery.show(
            "decision", "Decision curves", "Net benefit of acting on the calibrated probability, against treating all "
            "and none (Vickers and Elkin, 2006), over the probability at which one would act.",
            lambda: trade_offs.decision(traces.decisions(), record.baseline),
        ),
    ]  # fmt: skip
    return Section("calibration", "Calibration and operating points", blocks)


def _lines(record: Record, traces: Traces) -> Table:
    """Calibration slope, intercept and the parts of the Brier score, per class."""
    rows: list[list[Cell]] = []
    for name, when, line, parts in traces.calibration():
        slope: Cell = line.reason or _bounded(line.slope, line.slope_interval, signed=False)
        intercept = _bounded(line.intercept, line.intercept_interval, signed=True)
        of_brier = [Number(value) for value in (parts.reliability, parts.resolution, parts.uncertainty)]
        rows.append([Name(name), when, slope, intercept, *of_brier])
    columns = ["Class", "Calibration", "Slope", "Intercept", "Unreliability", "Resolution", "Uncertainty"]
    note = (
        "Slope 1 and intercept 0 are perfect; a slope below 1 says that probabilities are too extreme, an intercept "
        "above 0 that they are too low. Brier score ≈ unreliability − resolution + uncertainty (Murphy, 1973)."
    )
    return Table("table-lines", "Calibration of the picked trial on test", columns, rows, note, result=False)


def _bounded(value: float, interval: tuple[float, float], *, signed: bool) -> Interval:
    low, high = (Number(bound, 2, signed=signed) for bound in interval)
    return Interval(Number(value, 2, signed=signed), low, high)


def _proper(record: Record) -> Table:
    """Proper scores before and after calibration."""
    look = Lookup.of(record)
    found: list[list[Cell]] = []
    for arm, model in record.evidence.pairs:
        cells: list[Cell] = [Name(arm), Name(model)]
        for metric in ("log_loss", "brier", "ece"):
            before = look.row(arm, model, "test", f"{metric}_uncalibrated", look.headline(metric))
            cells.append(Number(before["value"]) if before else None)
            cells.append(look.interval(arm, model, "test", metric))
        found.append(cells)
    columns = ["Arm", "Model"]
    columns += [
        f"{metric_title(m)}, {when}" for m in ("log_loss", "brier", "ece") for when in ("network", "calibrated")
    ]
    note = "Lower is better. ECE is biased upwards in small samples and comes last."
    return Table("table-calibration", "Proper scores on test before and after calibration", columns, found, note)


def _points(record: Record) -> Table:
    """What was fitted on validation, per trial."""
    rows: list[list[Cell]] = []
    for one in record.judged:
        point = one.point
        of_classes = ", ".join(f"{name} {cut:.3f}" for name, cut in zip(point.classes, point.thresholds, strict=True))
        shift = (
            ", ".join(shown(s, 2, signed=True) for s in point.prior_correction)
            if any(point.prior_correction)
            else "none"
        )
        heat = ", ".join(f"{slope:.2f}" for slope, _ in point.platt) or f"{point.temperature:.2f}"
        member = f"{one.predicted.trial.repeat} / {one.predicted.trial.fold} / {one.predicted.trial.seed}"
        rows.append([*names(one.predicted.arm, one.predicted.model), member, shift, heat, of_classes])
    columns = ["Arm", "Model", "Repeat / fold / seed", "Prior correction", "Temperature or slopes", "Thresholds"]
    note = f"Fitted on validation only, rule: {record.study.evaluate.threshold.name}. These stand in operating.json."
    return Table("table-points", "Operating points", columns, rows, note, result=False)
