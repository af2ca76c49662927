"""The report's section on parts of the test set, shifts, external sets and other prevalences."""

from __future__ import annotations

import pandas as pd

from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import Lookup, interval_of, names, records
from secondread.evaluate.record import Record
from secondread.evaluate.result_tables import MEANS, apart
from secondread.evaluate.subsets import values_not_shown
from secondread.pages import forest
from secondread.pages.blocks import Block, Folded, Heading, Section, Tabled, Words, short_or_folded
from secondread.pages.numbers import metric_title
from secondread.pages.sentences import Sentence
from secondread.pages.tables import Cell, Table

SHIFT = (
    "The network itself has seen the part in training; only what validation taught is left out. A true test of shift "
    "needs another hospital."
)
BAND = (
    "The band takes in the twentieth of the validation cases that lies nearest to the threshold (of many labels, of "
    "each label); served as a bundle it calls such images uncertain and leaves them to the reader."
)
FEW = "A dash: fewer than ten cases on a side, too few for a number."


def subset_tables(record: Record) -> list[Table]:
    """The tables of this section, as far as there is anything to tell."""
    found = [
        apart(record, "test: ", "table-subgroups", "Subgroups of the test set", f"{FEW}{_not_shown(record)}"),
        apart(
            record, "left out: ", "table-left-out", "Read as if new: calibration and thresholds without this part", FEW
        ),
        apart(record, "band: ", "table-band", "Where the picked trial is certain, and where not", f"{BAND} {FEW}"),
        apart(record, "external: ", "table-external", "External sets, at the frozen operating points", FEW),
        prevalence_table(record),
    ]
    return [table for table in found if table is not None]


def subsets_section(record: Record, gallery: Gallery) -> Section:
    tables = {table.name: table for table in subset_tables(record)}
    blocks: list[Block] = []
    groups, drawn = tables.get("table-subgroups"), _forest_rows(record)
    if groups and not drawn["value"].notna().any():
        blocks += [Heading("Subgroups"), short_or_folded(groups)]
    elif groups:
        title = f"{metric_title(Lookup.of(record).primary)} by subgroup"
        blocks += [Heading("Subgroups"), gallery.show(
            "subgroups", title, "One training: the picked trial with its other folds (and the baseline's of the same "
            f"network and seed). Overlapping lines do not prove that groups are served alike.{_alike(groups)}",
            lambda: forest.figure(drawn, title, zero=None),
        ), Folded("The same as a table", [Tabled(groups)])]  # fmt: skip
    if left := tables.get("table-left-out"):
        blocks += [Heading("Shift"), Tabled(left), _small(SHIFT)]
    if band := tables.get("table-band"):
        blocks += [Heading("Uncertain images"), Tabled(band)]
    if outside := tables.get("table-external"):
        blocks += [Heading("External sets"), Tabled(outside)]
    if predictive := tables.get("table-prevalence"):
        blocks += [Heading("At other prevalences"), short_or_folded(predictive)]
    if not blocks:
        blocks.append(_small("Nothing is known about sex, age, view or site of these images."))
    return Section("subgroups", "Subgroups, shift and prevalence", blocks)


def _not_shown(record: Record) -> str:
    """Of which columns some values are no subgroup here."""
    rows = record.rows.reindex(record.picked_trial.predicted.test.row_ids)
    left = {column: values_not_shown(rows, column) for column in record.study.evaluate.subgroups}
    return "".join(f" Of {column} {number} rarer values are not shown." for column, number in left.items() if number)


def _alike(groups: Table) -> str:
    """A caution where the means of the groups are over other labels."""
    return " Means are over labels with enough cases in the group (see the table)." * (MEANS in groups.note)


def _small(text: str) -> Words:
    return Words(Sentence("", [text]), small=True)


def _forest_rows(record: Record) -> pd.DataFrame:
    look, s = Lookup.of(record), record.scores
    own = s[s["split"].str.startswith("test: ") & (s["metric"] == look.primary)]
    label = own["split"].str.removeprefix("test: ").str.split(" = ", n=1)
    value = label.str[1]
    if own["arm"].nunique() > 1:
        value = value + " · " + own["arm"]
    return pd.DataFrame({
        "group": label.str[0], "label": value,
        "value": own["value"], "low": own["low"], "high": own["high"],
    })  # fmt: skip


def prevalence_table(record: Record) -> Table | None:
    """PPV and NPV of the picked arm and model by prevalence."""
    s = record.scores
    own = s[s["metric"].str.match(r"[pn]pv@") & (s["repeat"] == -1)]
    if own.empty:
        return None
    own = own.assign(at=own["metric"].str.split("@").str[1], kind=own["metric"].str[:3])
    rows: list[list[Cell]] = []
    for (name, at), group in own.groupby(["class", "at"], sort=False):
        found = {row["kind"]: interval_of(row) for row in records(group)}
        rows.append([*names(str(name)), *names(f"{100 * float(str(at)):g} %"), found.get("ppv"), found.get("npv")])
    note = (
        "What a decision of the picked recipe would mean where the finding is as frequent as that: Bayes' rule on "
        "sensitivity and specificity, the ends of their intervals taken together. It holds only if cases there are "
        "like those here."
    )
    columns = ["Class", "Prevalence", "PPV", "NPV"]
    return Table("table-prevalence", "Predictive values at deployment prevalences", columns, rows, note)
