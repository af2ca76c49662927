"""The report's section on single cases: samples, suspected labels, the per-case browser."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.core.files import write_with
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import names, records
from secondread.evaluate.record import Record
from secondread.evaluate.suspects import suspected_labels
from secondread.images.cache import PixelCache
from secondread.metrics.cases import Cases
from secondread.metrics.defended import right
from secondread.pages import pictures
from secondread.pages.blocks import Block, Browser, Heading, Section, Tabled, Words
from secondread.pages.document import data_url
from secondread.pages.numbers import Number, count
from secondread.pages.sentences import Sentence
from secondread.pages.tables import Cell, Table

MOST_CASES = 2000
MOST_IMAGES = 400
MOST_SUSPECTS = 40
THUMB = 96
ACROSS = 8


def cases_section(record: Record, gallery: Gallery, cache: PixelCache | None) -> Section:
    one = record.picked_trial
    blocks: list[Block] = []
    if cache is not None and one.test.n:
        found = sample_rows(one.test, one.predicted.test.row_ids, cache, record.study.evaluate.seed)
        blocks.append(gallery.show(
            "samples", "Predicted test images", "Drawn at random among right and wrong decisions of the picked trial; "
            "the last line holds the errors it was most sure of. Under each image the decision and its calibrated "
            "probability, which may be low where the class has a low threshold. Blue frame: right; orange: wrong.",
            lambda: pictures.samples(found, ACROSS),
        ))  # fmt: skip
    blocks += suspect_blocks(record)
    if one.test.n:
        blocks.append(Browser("Every test case", browser_data(one.test, one.predicted.test.row_ids, cache)))
        if one.test.n > MOST_CASES:
            blocks.append(
                _small(f"The browser holds all errors and a random part of the right decisions, {MOST_CASES} in all.")
            )
    return Section("cases", "Cases", blocks)


def sureness(cases: Cases) -> NDArray[np.float64]:
    """[N]: how sure the decision was: the decided class's probability; of labels, the mean over them."""
    p, d = np.asarray(cases.probabilities, dtype=np.float64), cases.decisions
    if cases.exclusive:
        return np.asarray(np.where(d == 1, p, 0.0).sum(axis=1))
    return np.asarray(np.nan_to_num(np.where(d == 1, p, 1 - p)).mean(axis=1))


def sample_rows(
    cases: Cases, row_ids: NDArray[np.object_], cache: PixelCache, seed: int
) -> dict[str, list[pictures.Sample]]:
    """Right, wrong, and the most confident errors, as far as their pixels are cached."""
    draws = np.random.default_rng(seed)
    there = np.array([str(row_id) in cache.position for row_id in row_ids])
    fine, read = right(cases), cases.read
    known = there & read.any(axis=1) & (read == cases.known).all(axis=1)
    sure = sureness(cases)
    wrong = np.flatnonzero(known & ~fine)
    groups = {
        "Right": draws.permutation(np.flatnonzero(known & fine))[:ACROSS],
        "Wrong": draws.permutation(wrong)[:ACROSS],
        "Most confident errors": wrong[np.argsort(-sure[wrong], kind="stable")][:ACROSS],
    }
    return {
        title: [
            _sample(cases, int(i), cache.pixels[cache.position[str(row_ids[i])]], bool(fine[i]), float(sure[i]))
            for i in at
        ]
        for title, at in groups.items()
    }


def _sample(cases: Cases, i: int, image: NDArray[np.uint8], fine: bool, sure: float) -> pictures.Sample:
    nothing = "none" if cases.known[i].all() else "none known"
    truth = ", ".join(cases.classes[k] for k in np.flatnonzero(cases.truth[i])) or nothing
    read = ", ".join(cases.classes[k] for k in np.flatnonzero(cases.decisions[i] == 1)) or "none"
    return pictures.Sample(np.asarray(image), truth, read, sure, fine)


def suspect_blocks(record: Record) -> list[Block]:
    """A table of rows whose label the trials agree to doubt; all of them go to tables/suspected_labels.csv."""
    table = suspected_labels(record.judged)
    path = record.where.evaluate / "tables" / "suspected_labels.csv"
    write_with(path, lambda temporary: table.to_csv(temporary, index=False))
    heading = Heading("Suspected labels")
    if table.empty:
        return [heading, _small("The trials together doubt no label (or read too poorly, below an AUROC of 0.75).")]
    rows: list[list[Cell]] = [
        [
            *names(row["row_id"], row["label"], row["suggested"]), Number(row["own"], 2), Number(row["other"], 2),
            count(row["trials"]),
        ]
        for row in records(table.head(MOST_SUSPECTS))
    ]  # fmt: skip
    note = (
        "Test and validation rows, mean probability over all trials that read them without having trained on them "
        "(confident learning, Northcutt and others, 2021). A suspicion, not a correction: a hard case looks the same. "
        "All of them stand in tables/suspected_labels.csv."
    )
    columns = ["Image", "Label", "Trials suggest", "p of label", "p of suggestion", "Trials"]
    caption = f"The {len(rows)} least believable of {len(table)} suspected labels"
    return [heading, Tabled(Table("table-suspects", caption, columns, rows, note, result=False))]


def browser_data(cases: Cases, row_ids: NDArray[np.object_], cache: PixelCache | None) -> dict[str, Any]:
    """Errors first, then the others, thumbnails for the first few hundred; `ok` is null where no truth is known."""
    fine, known, sure = right(cases), cases.known, sureness(cases)
    wrong = known.any(axis=1) & ~fine
    draws = np.random.default_rng(0)
    at = draws.permutation(cases.n)
    at = at[np.argsort(~wrong[at], kind="stable")][:MOST_CASES]
    p = np.asarray(cases.probabilities, dtype=np.float64)
    shown = []
    for place, i in enumerate(at):
        row_id = str(row_ids[i])
        shown.append({
            "id": row_id, "true": np.flatnonzero(cases.truth[i]).tolist(),
            "unknown": np.flatnonzero(~known[i]).tolist(), "read": np.flatnonzero(cases.decisions[i] == 1).tolist(),
            "p": [round(float(v), 4) if np.isfinite(v) else None for v in p[i]],
            "ok": bool(fine[i]) if known[i].any() else None,
            "sure": round(float(sure[i]), 4), "image": thumbnail(cache, row_id) if place < MOST_IMAGES else None,
        })  # fmt: skip
    shown.sort(key=lambda case: str(case["id"]))
    return {"classes": list(cases.classes), "exclusive": cases.exclusive, "cases": shown}


def thumbnail(cache: PixelCache | None, row_id: str) -> str | None:
    """A small JPEG as a data URL; None where the pixels are not cached."""
    if cache is None or row_id not in cache.position:
        return None
    image = Image.fromarray(np.asarray(cache.pixels[cache.position[row_id]]))
    image.thumbnail((THUMB, THUMB))
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=72)
    return data_url(content.getvalue(), "image/jpeg")


def _small(text: str) -> Words:
    return Words(Sentence("", [text]), small=True)
