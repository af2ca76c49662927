"""The report's section on training: curves, schedule, spread over seeds and folds, what each trial cost."""

from __future__ import annotations

import pandas as pd

from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import Lookup, interval_of, names, records
from secondread.evaluate.record import Record
from secondread.pages import bars, curves
from secondread.pages.blocks import Block, Folded, Section, Tabled
from secondread.pages.numbers import Number, count, metric_title
from secondread.pages.tables import Cell, Table


def training_section(record: Record, gallery: Gallery) -> Section:
    blocks: list[Block] = [
        gallery.show(
            "curves", "Training and validation", "Solid: validation, mean over seeds and folds; faint: each of them; "
            "dotted: training. The epoch that is kept is chosen on validation.",
            lambda: curves.figure(record.epochs, record.baseline),
        ),
        gallery.show(
            "schedule", "Learning rate", "Over optimiser steps; arms take equally many steps.",
            lambda: curves.schedule(record.epochs, record.baseline),
        ),
    ]  # fmt: skip
    if (spread := trial_scores(record)).groupby(["arm", "model", "split"]).size().max() > 1:
        title = metric_title(Lookup.of(record).primary)
        blocks.append(
            gallery.show(
                "spread", f"{title} over seeds and folds", "One dot per trial, a bar at the mean. The fall from "
                "validation to test is the optimism of choosing on validation.",
                lambda: bars.spread(spread, title, record.baseline),
            )
        )  # fmt: skip
    blocks.append(Folded("Every trial", [Tabled(trial_result_table(record)), Tabled(trial_table(record))]))
    return Section("training", "Training", blocks)


def trial_scores(record: Record) -> pd.DataFrame:
    """The headline of the primary metric of each trial on each split."""
    look, s = Lookup.of(record), record.scores
    own = (s["metric"] == look.primary) & (s["class"] == look.headline(look.primary)) & (s["repeat"] >= 0)
    return s[own & s["split"].isin(["val", "test"])]


def trial_result_table(record: Record) -> Table:
    """The primary metric of each trial on validation and test."""
    look = Lookup.of(record)
    scores = {
        (row["arm"], row["model"], f"{row['repeat']} / {row['fold']} / {row['seed']}", row["split"]): interval_of(row)
        for row in records(trial_scores(record))
    }
    rows: list[list[Cell]] = []
    for arm, model, member in dict.fromkeys(key[:3] for key in scores):
        cells: list[Cell] = [scores.get((arm, model, member, split)) for split in ("val", "test")]
        rows.append([*names(arm, model, member), *cells])
    title = metric_title(look.primary)
    columns = ["Arm", "Model", "Repeat / fold / seed", f"{title}, validation", f"{title}, test"]
    return Table("table-each-trial", f"{title} of every trial", columns, rows)


def trial_table(record: Record) -> Table:
    """What each trial took; from its card."""
    rows: list[list[Cell]] = []
    for one in record.evidence.trials:
        card = one.card
        told: list[Cell] = [
            count(card["best_epoch"]), count(card["steps"]), Number(float(card["seconds"]), 0),
            count(card["parameters"]), str(card.get("weights", "")), "; ".join(card.get("notes", [])),
        ] if card else [None] * 6  # fmt: skip
        rows.append([*names(one.arm, one.model), f"{one.trial.repeat} / {one.trial.fold} / {one.trial.seed}", *told])
    columns = [
        "Arm",
        "Model",
        "Repeat / fold / seed",
        "Kept epoch",
        "Steps",
        "Seconds",
        "Parameters",
        "First weights",
        "Notes",
    ]
    note = "From each trial's card.json."
    return Table("table-trials", "Trials", columns, rows, note, result=False)
