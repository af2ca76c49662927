"""The proof as a page: the promise beside what was found, scores, calibration, certainty, subgroups, cases, data."""

from __future__ import annotations

import pandas as pd

from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import interval_of, records
from secondread.evaluate.part_cases import browser_data, sample_rows
from secondread.evaluate.part_data import audit_blocks
from secondread.evaluate.result_tables import without_rare
from secondread.images.cache import PixelCache
from secondread.models.bundle import Bundle
from secondread.pages import confusion, forest, pictures, trade_offs
from secondread.pages import reliability as reliability_page
from secondread.pages.blocks import Block, Browser, Folded, Report, Section, Tabled, Tile, Words
from secondread.pages.numbers import Number, count, metric_title
from secondread.pages.sentences import Sentence
from secondread.pages.tables import Cell, Interval, Name, Table, Verdict
from secondread.proving import curves, words
from secondread.proving.claims import Claim, Outcome
from secondread.proving.judged import Judged

BAND = "Bands: 95 % of bootstrap curves over patients, at each point."
MARGIN = (
    "Promised: the test scores on the bundle's card, with 95 % intervals whatever its study asked for. Differences: "
    "here minus promised, for independent sets (Zou and Donner, 2008). Patients: here, of the class that the figure "
    "rests on. It holds where the lower end of the difference is above minus the margin; all figures must, which needs "
    "no correction (Berger, 1982). Lower: a loss is shown and may be larger than the margin."
)


def report_of(
    bundle: Bundle, judged: Judged, claims: list[Claim], outcome: Outcome, margin: float, cache: PixelCache,
    gallery: Gallery,
) -> Report:  # fmt: skip
    scores = judged.table
    return Report(
        title=judged.unseen.dataset.root.rstrip("/").rpartition("/")[2],
        about=f"Does the bundle {bundle.card.name} hold on these images?",
        facts=_facts(bundle, judged),
        banners=words.banners(bundle, judged),
        sentences=words.sentences(outcome, claims, judged, margin),
        tiles=[
            Tile(f"{metric_title(one.metric)} here", _interval(one.here), name=_class_of(one, judged))
            for one in claims[:4]
        ],
        sections=[
            _promise(claims, margin, gallery),
            _results(judged, scores, gallery),
            _calibration(judged, gallery),
            _parts(judged, scores),
            _cases(judged, cache, gallery),
            _data(judged),
        ],
        footer="secondread. For research and education, not a medical device.",
        kind="Proof report",
    )


def _facts(bundle: Bundle, judged: Judged) -> list[tuple[str, str | Number | Name]]:
    return [
        ("Task", bundle.card.task), ("Classes", Name(", ".join(bundle.card.classes))),
        ("Images", count(judged.cases.n)), ("Bundle", Name(bundle.sha256[:12])),
    ]  # fmt: skip


def _class_of(one: Claim, judged: Judged) -> Name | None:
    return None if judged.card.task == "binary" or one.row == "macro" else Name(one.row)


def _promise(claims: list[Claim], margin: float, gallery: Gallery) -> Section:
    rows: list[list[Cell]] = [
        [
            metric_title(one.metric), Name(one.row), _interval(one.promised), _interval(one.here),
            _interval(one.difference, signed=True), Verdict(one.verdict), _holds(one), count(one.patients),
        ]
        for one in claims
    ]  # fmt: skip
    columns = ["Figure", "Class", "Promised", "Here", "Difference", "Here against promised",
               f"Within {margin:g}", "Patients"]  # fmt: skip
    table = Table("table-claims", "What the card promises, and what was found", columns, rows, MARGIN)
    drawn = pd.DataFrame({
        "group": [metric_title(one.metric) for one in claims], "label": [one.row for one in claims],
        "value": [one.difference[0] for one in claims], "low": [one.difference[1] for one in claims],
        "high": [one.difference[2] for one in claims], "verdict": [one.verdict for one in claims],
    })  # fmt: skip
    title = "Here minus promised"
    figure = gallery.show(
        "promise", title, "Right of the line: better here than promised.", lambda: forest.figure(drawn, title)
    )
    return Section("promise", "The promise", [Tabled(table), figure] if claims else [Tabled(table)])


def _holds(one: Claim) -> str:
    return "too few" if one.few else "holds" if one.holds else "lower" if one.broken else "not shown"


def _results(judged: Judged, scores: pd.DataFrame, gallery: Gallery) -> Section:
    own = scores[scores["split"] == "all"]
    rows: list[list[Cell]] = [
        [metric_title(str(row["metric"])), Name(str(row["class"])), interval_of(row), count(row["n"])]
        for row in records(own)
    ]
    table = Table("table-scores", "Every score", ["Score", "Class", "Here", "Images"], rows)
    pairs, rates = curves.decisions(judged)
    exclusive = judged.cases.exclusive
    blocks: list[Block] = [
        gallery.show("roc", "ROC curves", BAND, lambda: trade_offs.roc(curves.trade_offs(judged, "roc"), None)),
        gallery.show(
            "precision_recall", "Precision over recall", f"{BAND} The dotted line is the prevalence here.",
            lambda: trade_offs.precision_recall(curves.trade_offs(judged, "pr"), None),
        ),
        gallery.show(
            "confusion", "Decisions", "At the bundle's frozen thresholds; per cent of each true class."
            if exclusive else "At the bundle's frozen thresholds.",
            lambda: confusion.figure(pairs, judged.card.classes) if exclusive
            else confusion.per_label(rates, judged.card.classes),
        ),
        Folded("Every score as a table", [Tabled(table)]),
    ]  # fmt: skip
    return Section("results", "Results", blocks)


def _calibration(judged: Judged, gallery: Gallery) -> Section:
    rows: list[list[Cell]] = []
    for name, line, parts in curves.calibration(judged):
        slope: Cell = line.reason or _interval((line.slope, *line.slope_interval), digits=2)
        intercept = _interval((line.intercept, *line.intercept_interval), digits=2, signed=True)
        rows.append([Name(name), slope, intercept, *(Number(one) for one in (parts.reliability, parts.resolution))])
    note = (
        "Slope 1 and intercept 0 are perfect; a slope below 1 says that probabilities are too extreme, an intercept "
        "above 0 that they are too low here, as where a class is more frequent than it was."
    )
    columns = ["Class", "Slope", "Intercept", "Unreliability", "Resolution"]
    return Section("calibration", "Calibration", [
        gallery.show(
            "reliability", "Reliability", "How often it was true when the bundle said p, in groups of equally many "
            "images. The band is a bootstrap interval.", lambda: reliability_page.figure(curves.reliability(judged)),
        ),
        Tabled(Table("table-lines", "Calibration of the bundle's probabilities", columns, rows, note, result=False)),
    ])  # fmt: skip


def _parts(judged: Judged, scores: pd.DataFrame) -> Section:
    rows: list[list[Cell]] = []
    own = scores[scores["split"] != "all"]
    metrics = list(dict.fromkeys(own["metric"]))
    for split, group in own.groupby("split", sort=False):
        found = {row["metric"]: interval_of(row) for row in records(group)}
        rows.append([Name(str(split)), count(float(group["n"].max())), *(found.get(metric) for metric in metrics)])
    note = (
        "A served bundle leaves uncertain images to the reader and refuses those that its gate finds unlike its "
        "training images. A dash: fewer than ten cases on a side."
    )
    columns = ["Part", "Images", *map(metric_title, metrics)]
    table = Table("table-parts", "Parts", columns, rows, f"{note} {without_rare(own, judged.card.classes)}".strip())
    return Section("parts", "Certainty and subgroups", [Tabled(table)])


def _cases(judged: Judged, cache: PixelCache, gallery: Gallery) -> Section:
    ids = judged.unseen.rows["row_id"].to_numpy(dtype=object)
    samples = sample_rows(judged.cases, ids, cache, seed=0)
    return Section("cases", "Cases", [
        gallery.show(
            "samples", "Images and what was read in them", "Drawn at random among right and wrong decisions; the last "
            "line holds the errors it was most sure of. Blue frame: right; orange: wrong.",
            lambda: pictures.samples(samples),
        ),
        Browser("Every case", browser_data(judged.cases, ids, cache)),
    ])  # fmt: skip


def _data(judged: Judged) -> Section:
    rule = judged.unseen.dataset.patient_rule
    told = f"Patients are told by: {rule}." if rule else "Nothing names the patients: an image stands for one."
    return Section("data", "The images", [Words(Sentence("", [told]), small=True), *audit_blocks(judged.unseen.audit)])


def _interval(values: tuple[float, ...], *, digits: int = 3, signed: bool = False) -> Interval:
    value, low, high = (Number(one, digits, signed=signed) for one in values)
    return Interval(value, low, high)
