"""The report's sections on what other steps left: synthetic images, heatmaps, the exported bundle and its speed."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from secondread.core.files import read_json
from secondread.core.tables import read_csv
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import names, records
from secondread.evaluate.record import Record
from secondread.pages import gans, speed
from secondread.pages.blocks import Block, Folded, Heading, Section, Shown, Tabled, Words
from secondread.pages.document import data_url
from secondread.pages.numbers import Number
from secondread.pages.sentences import Sentence
from secondread.pages.tables import Cell, Interval, Table

FIRST_METRICS = ("fid", "kid", "spectrum", "precision", "recall", "density", "coverage", "copies", "nearer_than_unseen")
BASELINES = ("noise", "pixel_gaussian")
WIDEST = 1100
MOST_SHEETS = 12


def synthetic_section(record: Record, gallery: Gallery) -> Section | None:
    """GAN quality beside its floor; None where no GAN was trained."""
    path = record.where.synthetic_quality
    if not path.exists():
        return None
    quality = read_csv(path)
    if quality.empty:
        return None
    blocks: list[Block] = [gallery.show(
        "gan_quality", "Synthetic images", "Bars: mean over folds and seeds, with the range. The black line is what "
        "real images of the same number give against each other: only what lies beyond it speaks against the GAN. Two "
        "baselines (noise, a Gaussian per pixel) stand beside the GANs.", lambda: gans.figure(quality_shown(quality)),
    ), Tabled(quality_table(quality))]  # fmt: skip
    curves = training_curves(record.where.synthesize)
    if not curves.empty:
        blocks.append(gallery.show(
            "gan_training", "Quality while training", "FID and KID of the averaged generator against training images, "
            "by the fold's own feature network. The dot is the generator that drew the samples; the black line is the "
            "FID of real images against each other.", lambda: gans.training(curves),
        ))  # fmt: skip
    sheets = _gan_sheets(record.where.synthesize)
    if sheets:
        blocks.append(Folded("What the GANs drew last", sheets))
    return Section("synthetic", "Synthetic images", blocks)


def quality_shown(quality: pd.DataFrame) -> pd.DataFrame:
    """The columns that the figure draws, one extractor (the first)."""
    own = quality[quality["extractor"] == quality["extractor"].iloc[0]]
    own = own[own["metric"].isin(["fid", "kid", "coverage", "precision", "recall"])]
    spread = own["spread"].fillna(0.0)
    return pd.DataFrame({
        "gan": own["gan"], "class": own["target"], "metric": own["metric"].str.upper().where(
            own["metric"].isin(["fid", "kid"]), own["metric"]),
        "value": own["value"], "low": own["value"] - spread, "high": own["value"] + spread, "floor": own["floor"],
    })  # fmt: skip


def training_curves(folder: Path) -> pd.DataFrame:
    """The `curve.csv` of every GAN, class, fold and seed, with the update that was kept."""
    found = []
    for path in sorted(folder.glob("*/*/r*f*s*/curve.csv")):
        curve, told = read_csv(path), path.with_name("kept.json")
        kept = read_json(told)["step"] if told.exists() else int(curve["step"].iloc[-1])
        run = "/".join(path.parts[-3:-1])
        found.append(curve.assign(run=run, gan=path.parts[-4], kept=curve["step"] == kept))
    return pd.concat(found) if found else pd.DataFrame()


def quality_table(quality: pd.DataFrame) -> Table:
    rows: list[list[Cell]] = []
    known = [metric for metric in FIRST_METRICS if metric in set(quality["metric"])]
    grouped = quality.groupby(["gan", "target", "extractor"], sort=False)
    for (gan, target, extractor), group in grouped:
        cells: list[Cell] = list(names(str(gan), str(target), str(extractor)))
        for metric in known:
            own = group[group["metric"] == metric]
            cells.append(_with_floor(own) if len(own) else None)
        rows.append(cells)
    note = "Mean over folds and seeds; after the stroke the floor (quality.csv). FID of few images is mostly bias."
    columns = ["GAN", "Class", "Judged by", *(metric.replace("_", " ") for metric in known)]
    return Table("table-gans", "Quality of synthetic images", columns, rows, note, result=False)


def _with_floor(own: pd.DataFrame) -> Cell:
    value, floor = float(own["value"].mean()), float(own["floor"].mean())
    return f"{value:.3g}" + ("" if math.isnan(floor) else f" / {floor:.3g}")


def _gan_sheets(folder: Path) -> list[Block]:
    """The last sheet of the first fold and seed of each GAN and class, and its images nearest to training images."""
    found: list[Block] = []
    for one in sorted(folder.glob("*/*/r0f0s*"))[: MOST_SHEETS * 2]:
        sheets = sorted((one / "sheets").glob("*.png"))
        if sheets and len(found) < MOST_SHEETS:
            gan, target = one.parts[-3:-1]
            found.append(
                _embedded(sheets[-1], f"gan-{len(found)}", f"{gan}, {target}", f"At {sheets[-1].stem}{_kept(one)}.")
            )
            for pairs in sorted(one.glob("closest-*.png"))[:1]:
                caption = "Each generated image beside the training image it is nearest to: is it a copy?"
                found.append(_embedded(pairs, f"gan-{len(found)}", f"{gan}, {target}: closest pairs", caption))
    return found


def _kept(folder: Path) -> str:
    """Which update drew the samples, where that is not the last one."""
    told = read_json(folder / "kept.json") if (folder / "kept.json").exists() else {}
    return "" if told.get("step") == told.get("trained") else f"; samples were drawn at {told['step']}"


def heatmap_section(record: Record) -> Section | None:
    """Sheets and quality of the heatmaps that `explain` left."""
    blocks: list[Block] = []
    for told_at in sorted((record.where.root / "explain").glob("*/*/cases.json")):
        told = read_json(told_at)
        blocks.append(Heading(f"{told.get('arm')} · {told.get('model')}"))
        methods = ", ".join(str(name) for name in dict(told.get("methods", {})).values())
        where = f"{methods} at {told.get('layer')}, {told.get('split')} rows."
        blocks.append(
            _small(f"{where} A map shows where this network found evidence for a class, not where disease is.")
        )
        for group, file in dict(told.get("sheets", {})).items():
            path = told_at.parent / str(file)
            if path.exists():
                title = str(group).replace("_", " ").capitalize()
                caption = "Image, then one map per method and class."
                blocks.append(Folded(title, [_embedded(path, f"heat-{len(blocks)}", title, caption)]))
        quality = told_at.parent / "quality.csv"
        if quality.exists():
            table = heat_quality(read_csv(quality), f"table-heat-{len(blocks)}")
            blocks.append(Folded(table.caption, [Tabled(table)]))
    return Section("heatmaps", "Heatmaps", blocks) if blocks else None


def heat_quality(quality: pd.DataFrame, name: str) -> Table:
    rows: list[list[Cell]] = []
    for row in records(quality):
        value = Interval(Number(row["value"]), Number(row["low"]), Number(row["high"]))
        note = "" if pd.isna(row.get("note")) else str(row.get("note"))
        rows.append([str(row["measure"]).replace("_", " "), *names(str(row["method"]), str(row["class"])), value,
                     Number(float(row["n"]), 0, kind="count"), note])  # fmt: skip
    columns = ["Measure", "Method", "Class", "Value", "n", "Remark"]
    note = "95 % intervals over patients; from explain's quality.csv."
    return Table(name, "Are the maps to be trusted?", columns, rows, note, result=False)


def bundle_section(record: Record, gallery: Gallery) -> Section | None:
    """What was exported, how well it agrees with its checkpoint, how fast it is."""
    cards = sorted((record.where.root / "export").glob("*/*/card.json"))
    benches = sorted((record.where.root / "export").rglob("bench*.json"))
    if not cards and not benches:
        return None
    blocks: list[Block] = []
    if cards:
        blocks.append(Tabled(bundle_table(record, cards)))
    timed = [row for path in benches for row in read_json(path)]
    if timed:
        table = pd.DataFrame(timed)
        blocks.append(gallery.show(
            "speed", "Speed", "Latency and throughput of the exported model, measured in one run on the machine named "
            "under provenance.", lambda: speed.figure(table),
        ))  # fmt: skip
    return Section("bundle", "Exported model", blocks)


def bundle_table(record: Record, cards: list[Path]) -> Table:
    rows: list[list[Cell]] = []
    for path in cards:
        card: dict[str, Any] = read_json(path)
        parity = card.get("parity", {})
        agreed = "; ".join(f"{key.replace('_', ' ')} {_brief(value)}" for key, value in parity.items())
        heat = str(card.get("heatmaps") or card.get("no_heatmaps", ""))
        folder, digest = path.parent.relative_to(record.where.root).as_posix(), str(card.get("sha256", ""))[:16]
        inside = ", ".join(map(str, card.get("members", [])))
        rows.append([*names(folder), str(card.get("precision", "")), *names(digest, inside), agreed, heat])
    columns = ["Bundle", "Precision", "SHA-256", "Trials inside", "Agreement with the checkpoint", "Heatmaps"]
    return Table("table-bundles", "Bundles", columns, rows, "From each bundle's card.json.", result=False)


def _brief(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _embedded(path: Path, name: str, title: str, caption: str) -> Shown:
    """A picture of another step, at most 1100 pixels wide, as JPEG."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if image.width > WIDEST:
        image = image.resize((WIDEST, max(1, round(image.height * WIDEST / image.width))))
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=80)
    return Shown(name, title, caption, data_url(content.getvalue(), "image/jpeg"), raster=True)


def _small(text: str) -> Words:
    return Words(Sentence("", [text]), small=True)
