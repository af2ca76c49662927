"""The audit as one self-contained page: findings with the images side by side, probes, labels, sizes, examples."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from secondread.core.spec import Prepare
from secondread.pages import labels as label_figures
from secondread.pages import pictures
from secondread.pages.blocks import Banner, Block, Findings, Folded, Report, Section, Shown, Tabled, Tile, Words
from secondread.pages.blocks import Finding as ShownFinding
from secondread.pages.document import embedded, render
from secondread.pages.numbers import Number, count
from secondread.pages.sentences import Sentence, listed
from secondread.pages.style import styled
from secondread.pages.tables import Cell, Interval, Name, Table
from secondread.prepare.audit import MEANS, Audited
from secondread.prepare.material import Finding, Material
from secondread.prepare.montage import strips

NAMED_FILES = 12
ACROSS, STRIP_ROWS = 8, 4
EXAMPLES = 8
PROTOCOL = "Nothing was deleted: what is left out is listed in prepare/dropped.parquet with its reason."


def audit_page(result: Audited, name: str) -> str:
    """The page as HTML."""
    told = result.as_dict()
    m = result.material
    report = Report(
        title=name,
        about="What was found in the images before anything was trained on them.",
        facts=[("Images", count(told["files"])), ("Classes", count(len(m.classes))), ("Task", told["task"])],
        banners=[Banner("SHORTCUT", banner.removeprefix("SHORTCUT: ")) for banner in result.banners],
        sentences=_sentences(result, told),
        tiles=_tiles(told),
        sections=[
            Section("findings", "Findings", _finding_blocks(result)),
            Section("shortcuts", "Shortcuts", _probe_blocks(result)),
            Section("labels", "Labels", _label_blocks(m)),
            Section("images", "Images", _image_blocks(m)),
            Section("understood", "How the data were understood", [Words(Sentence("", [note])) for note in m.notes]),
        ],
        footer=PROTOCOL + " For research and education, not a medical device.",
        kind="Data audit",
    )
    return render("report.html.j2", report=report)


def _sentences(result: Audited, told: dict[str, Any]) -> list[Sentence]:
    grave = [one for one in result.found if one.severity == "error"]
    grave_or_not = [one for one in result.found if one.severity != "info"][:6]
    said = [Sentence("Found.", [_capital(one.message) + "."], "warning") for one in grave_or_not]
    if not grave and (sure := _sure(result)):
        said.insert(0, Sentence("No error.", [_capital(" and ".join(sure)) + "."], "good"))
    if left_out := [check.replace("_", " ") for check in Prepare().checks if check not in result.checks]:
        said.append(Sentence("Not asked for.", [*listed(left_out), "."], "warning"))
    dropped = len(result.material.cleaned.dropped)
    said.append(Sentence("Left out.", [count(dropped), " of ", count(told["files"]), " images."]))
    return said


def _sure(result: Audited) -> list[str]:
    """What may be said of the images where there is no error: only what was looked for."""
    codes = {one.code for one in result.found}
    said = {"unreadable": "every image is read", "label_conflicts": "no label contradicts another"}
    return [words for check, words in said.items() if check in result.checks and f"near_{check}" not in codes]


def _capital(message: str) -> str:
    return message[:1].upper() + message[1:]


def _tiles(told: dict[str, Any]) -> list[Tile]:
    wanted = [
        ("Readable images", "readable"), ("Distinct files", "distinct_bytes"),
        ("Groups of identical files", "exact_groups"), ("Groups of near duplicates", "near_groups"),
        ("Patients", "patients"), ("Patients in several classes", "patients_across_classes"),
    ]  # fmt: skip
    return [Tile(what, count(told[key])) for what, key in wanted]


def _finding_blocks(result: Audited) -> list[Block]:
    if not result.found:
        return [Words(Sentence("", ["Nothing was found of what was looked for."]))]
    blocks: list[Block] = []
    for one in result.found:
        named, more = one.files[:NAMED_FILES], max(len(one.files) - NAMED_FILES, 0)
        done = f" What was done: {one.done}." if one.done else ""
        shown = ShownFinding(one.severity, one.code, f"{_capital(one.message)}.{done}", named, more)
        blocks.append(Findings([shown]))
        picture = _picture(result.material, one)
        if picture:
            blocks.append(picture)
    return blocks


def _picture(m: Material, one: Finding) -> Shown | None:
    """The offending images side by side; groups of them apart from each other."""
    groups = one.groups or [[file] for file in one.files[: ACROSS * STRIP_ROWS]]
    place = {row_id: k for k, row_id in enumerate(m.rows["row_id"])}
    if not m.seen.looked:
        return None
    readable = m.readable
    told = [[place[file] for file in group if readable[place[file]]][:ACROSS] for group in groups[:24]]
    found = [list(m.seen.small[np.array(group)]) for group in told if group]
    if not found:
        return None
    title = "Side by side" if one.groups else "The first of them"
    caption = (
        f"{one.code.replace('_', ' ')}; {'images that touch belong together' if one.groups else 'in order of name'}"
    )
    return Shown(f"seen-{one.code}-{len(one.files)}", title, caption, strips(found, ACROSS, STRIP_ROWS), raster=True)


def _probe_blocks(result: Audited) -> list[Block]:
    rows: list[list[Cell]] = []
    for name, told in result.probes.items():
        rows.append([MEANS[name], _interval(told), told.get("reason", "")])
        if told.get("without_names"):
            rows.append(["the same without names", _interval(told["without_names"]), ""])
    if not rows:
        return [Words(Sentence("", ["The probes were not asked for, or there are too few images."]))]
    note = "Cross-validated by patient; 0.5 is chance. What a small model can do here, a network can do too."
    columns = ["Seen", "AUROC", "Remark"]
    table = Table("probes", "What tells the classes apart without anatomy", columns, rows, note, False)
    blocks: list[Block] = [Tabled(table)]
    site = result.material.rows["site"]
    if site.notna().any():
        blocks.append(Tabled(_crosstab("site", site, result.material)))
    if result.material.seen.looked:
        formats = result.material.seen.facts["format"].astype("string").set_axis(result.material.rows.index)
        blocks.append(Tabled(_crosstab("format", formats, result.material)))
    return blocks


def _interval(told: dict[str, Any]) -> Cell:
    if told["auroc"] is None:
        return None
    return Interval(Number(told["auroc"]), Number(told["low"]), Number(told["high"]))


def _crosstab(what: str, names: pd.Series, m: Material) -> Table:
    """How many images of each class come from each value of `names`."""
    usual = names.value_counts().head(12).index
    rows: list[list[Cell]] = []
    for name in usual:
        own = (names == name).fillna(False).to_numpy(dtype=bool)
        rows.append([Name(str(name)), *(count(int(n)) for n in (m.labels[own] == 1).sum(axis=0))])
    return Table(f"by-{what}", f"{what.capitalize()} by class", [what.capitalize(), *m.classes], rows, result=False)


def _label_blocks(m: Material) -> list[Block]:
    kept = m.rows["dropped"].isna().to_numpy()
    columns = ["Class", "Gathered", "Clean", "Uncertain", "Not said"]
    rows: list[list[Cell]] = [
        [Name(name), count(int((m.labels[:, k] == 1).sum())), count(int((m.labels[kept, k] == 1).sum())),
         count(int((m.labels[kept, k] == -1).sum())), count(int(np.isnan(m.labels[kept, k]).sum()))]
        for k, name in enumerate(m.classes)
    ]  # fmt: skip
    blocks: list[Block] = [Tabled(Table("labels-table", "Images per class before and after cleaning", columns, rows,
                                        result=False))]  # fmt: skip
    counts = pd.DataFrame(
        [{"class": name, "split": split, "count": int((m.labels[mask & kept, k] == 1).sum())}
         for k, name in enumerate(m.classes) for split, mask in _given(m.rows).items()]
    )  # fmt: skip
    title = "Labels per given split" if m.rows["split_given"].notna().any() else "Labels"
    blocks.append(
        _figure("label-distribution", title, "Clean images of each class.", label_figures.distribution(counts))
    )
    if not m.exclusive and len(m.classes) > 1:
        present = pd.DataFrame(np.where(m.labels < 0, np.nan, m.labels), columns=m.classes)
        caption = "Which labels go together, over all images that say something of both."
        blocks.append(
            _figure("label-correlation", "Label correlation", caption, label_figures.correlation(present.corr()))
        )
    return blocks


def _given(rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    given = rows["split_given"]
    if given.isna().all():
        return {"all": np.ones(len(rows), dtype=bool)}
    return {str(name): (given == name).fillna(False).to_numpy(dtype=bool) for name in given.dropna().unique()}


def _image_blocks(m: Material) -> list[Block]:
    if not m.seen.looked or not m.readable.any():
        return [Words(Sentence("", ["No image was looked at."]))]
    facts = m.seen.facts[m.readable]
    sizes = (facts["width"].astype(int).astype(str) + " × " + facts["height"].astype(int).astype(str)).value_counts()
    rows: list[list[Cell]] = [[str(size), count(int(number))] for size, number in sizes.head(12).items()]
    note = f"{len(sizes)} different sizes in all" if len(sizes) > 12 else ""
    blocks: list[Block] = [Tabled(Table("sizes", "Sizes in pixels", ["Size", "Images"], rows, note, False))]
    means, numbers, examples = {}, {}, []
    for k, name in enumerate(m.classes):
        own = np.flatnonzero((m.labels[:, k] == 1) & m.readable)
        if not len(own):
            continue
        step = max(1, len(own) // 2000)
        means[name], numbers[name] = m.seen.small[own[::step]].mean(axis=0), len(own)
        chosen = own[np.linspace(0, len(own) - 1, min(EXAMPLES, len(own))).astype(int)]
        shown = Shown(f"examples-{k}", name, f"{len(chosen)} of {len(own)} images, evenly spaced by name.",
                      strips([list(m.seen.small[chosen])], EXAMPLES, 1), raster=True)  # fmt: skip
        examples.append(shown)
    caption = "Differences at the border, or text in a corner, are shortcuts."
    blocks.append(_figure("mean-images", "Mean image per class", caption, pictures.means(means, numbers)))
    return [*blocks, Folded("Examples of each class", examples)]


@styled  # so that the same audit gives the same bytes
def _figure(name: str, title: str, caption: str, figure: Figure) -> Shown:
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=150)
    return Shown(name, title, caption, embedded(svg.getvalue(), png.getvalue()))
