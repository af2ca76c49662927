"""The report's section on the data: labels, correlations, mean images, split, audit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import read_json
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import names
from secondread.evaluate.record import Record
from secondread.images.cache import PixelCache
from secondread.pages import labels, pictures
from secondread.pages.blocks import Block, Finding, Findings, Heading, Section, Tabled, Words
from secondread.pages.numbers import Number, count
from secondread.pages.sentences import Sentence
from secondread.pages.tables import Cell, Table

MOST_FILES = 6
MEAN_OF = 400
SEVERITY = ("error", "warning", "info")


def data_section(record: Record, gallery: Gallery, cache: PixelCache | None) -> Section:
    blocks: list[Block] = []
    counts = label_counts(record)
    if not counts.empty:
        blocks.append(gallery.show(
            "labels", "Labels by split", "Images of each class; with several folds, of the first one.",
            lambda: labels.distribution(counts),
        ))  # fmt: skip
        blocks.append(Tabled(split_table(record, counts)))
    if record.task == "multilabel" and not record.rows.empty:
        blocks.append(gallery.show(
            "label_correlation", "Which labels occur together", "Correlation (phi) over all images.",
            lambda: labels.correlation(label_correlation(record)),
        ))  # fmt: skip
    if cache is not None and (means := class_means(record, cache)):
        blocks.append(gallery.show(
            "means", "Mean training image of each class", "On one grey scale. A difference at the border, in a corner "
            "or in overall brightness is something that a network can learn instead of the disease.",
            lambda: pictures.means({k: v[0] for k, v in means.items()}, {k: v[1] for k, v in means.items()}),
        ))  # fmt: skip
    blocks += audit_blocks(record.audit)
    if record.evidence.dataset.notes:
        blocks.append(Heading("How the source was understood"))
        blocks += [Words(Sentence("", [note]), small=True) for note in record.evidence.dataset.notes]
    return Section("data", "Data and audit", blocks)


def label_counts(record: Record) -> pd.DataFrame:
    """class, split, count: of the first repeat and fold."""
    columns = ["class", "split", "count"]
    if record.rows.empty or record.splits.empty:
        return pd.DataFrame(columns=columns)
    first = record.splits[["repeat", "fold"]].min()
    own = record.splits[(record.splits["repeat"] == first["repeat"]) & (record.splits["fold"] == first["fold"])]
    told = record.rows.reindex(own["row_id"])
    found = []
    for name in record.classes:
        present = told[f"y_{name}"].to_numpy(dtype=float) == 1
        for split in ("train", "val", "test"):
            found.append((name, split, int((present & (own["split"] == split).to_numpy()).sum())))
    return pd.DataFrame(found, columns=columns)


def split_table(record: Record, counts: pd.DataFrame) -> Table:
    table = counts.pivot_table(index="class", columns="split", values="count", sort=False)
    rows: list[list[Cell]] = [
        [*names(str(name)), *(count(float(row[split])) for split in ("train", "val", "test"))]
        for name, row in table.iterrows()
    ]
    note = f"Patients are told by: {record.evidence.dataset.patient_rule or 'nothing; an image stands for a patient'}."
    columns = ["Class", "Training", "Validation", "Test"]
    return Table("table-labels", "Images of each class", columns, rows, note, result=False)


def label_correlation(record: Record) -> pd.DataFrame:
    """Pearson correlation of the known labels of all rows; NaN where a label never varies."""
    known = record.rows[[f"y_{name}" for name in record.classes]].astype(float)
    known = known.where(known >= 0)
    known.columns = pd.Index(record.classes)
    varies = known.std() > 0
    return known.loc[:, varies].corr().reindex(index=record.classes, columns=record.classes)


def class_means(record: Record, cache: PixelCache) -> dict[str, tuple[NDArray[np.floating], int]]:
    """Mean image of up to 400 training images of each class."""
    if record.splits.empty or record.rows.empty:
        return {}
    train = record.splits.loc[record.splits["split"] == "train", "row_id"].unique()
    told = record.rows.reindex(train)
    found: dict[str, tuple[NDArray[np.floating], int]] = {}
    for name in record.classes:
        ids = told.loc[told[f"y_{name}"] == 1, "row_id"].tolist()[:MEAN_OF]
        ids = [row_id for row_id in ids if row_id in cache.position]
        if ids:
            pixels = cache.take(ids).astype(np.float32)
            grey = pixels.mean(axis=-1) if pixels.ndim == 4 else pixels
            found[name] = (grey.mean(axis=0), len(ids))
    return found


def audit_blocks(audit: dict[str, Any]) -> list[Block]:
    found = audit.get("findings", [])
    blocks: list[Block] = [Heading("Audit")]
    if not audit:
        return [*blocks, Words(Sentence("", ["prepare left no audit."]), small=True)]
    if probes := audit.get("probes"):
        blocks.append(Tabled(probe_table(probes)))
    ordered = sorted(found, key=lambda one: SEVERITY.index(one.get("severity", "info")))
    shown = [_finding(one) for one in ordered]
    blocks.append(Findings(shown) if shown else Words(Sentence("", ["The audit found nothing to report."])))
    return blocks


def probe_table(probes: dict[str, Any]) -> Table:
    """How well the classes are told apart without any anatomy."""
    rows: list[list[Cell]] = []
    for name, probe in probes.items():
        values = [probe.get(key) for key in ("auroc", "low", "high")]
        cells: list[Cell] = [Number(float("nan") if value is None else float(value)) for value in values]
        rows.append([PROBES.get(name, name.replace("_", " ")), *cells, str(probe.get("reason", ""))])
    note = "0.5 is chance. A probe well above it means that the classes differ in something other than the disease."
    return Table(
        "table-probes", "Shortcut probes", ["Sees only", "AUROC", "from", "to", "Remark"], rows, note, result=False
    )


PROBES = {
    "metadata": "file facts: format, size, aspect, depth, compression, names",
    "intensity": "mean and spread of the pixels",
    "border": "the outer frame of the image",
}


def _finding(told: dict[str, Any]) -> Finding:
    files = [str(file) for file in told.get("files", [])]
    message, done = str(told.get("message", "")), str(told.get("done", ""))
    more = max(0, int(told.get("count", len(files))) - MOST_FILES)
    code, severity = str(told.get("code", "")), str(told.get("severity", "info"))
    return Finding(severity, code, f"{message}. Done: {done}." if done else message, files[:MOST_FILES], more)


def open_cache(record: Record) -> PixelCache | None:
    """The pixels as the picked trial saw them, or any other cache of the study; none is made for the report."""
    if not record.where.pixels.exists():
        return None
    known = read_json(record.where.pixels).get("caches", {})
    card = record.picked_trial.predicted.card
    wanted = f"{card.get('size')}-{card.get('fit')}"
    for name in sorted(known, key=lambda key: key != wanted):
        try:
            return PixelCache.open(record.where.root / known[name]["file"])
        except BadData:
            continue
    return None
