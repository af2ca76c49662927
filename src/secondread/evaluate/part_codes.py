"""The report's section on autoencoders: how well their codes keep an image, beside a plain resize of the same size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from secondread.core.tables import read_csv
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.lookup import names, records
from secondread.evaluate.part_made import embedded_picture
from secondread.evaluate.record import Record
from secondread.pages import curves
from secondread.pages.blocks import Block, Folded, Section, Tabled
from secondread.pages.numbers import Number
from secondread.pages.tables import Cell, Table

MODEL = "coded_cnn"
MOST_PANELS = 6


def codes_section(record: Record, gallery: Gallery) -> Section | None:
    """Curves, reconstructions and fidelity of every autoencoder; None where no network works on codes."""
    found = autoencoders(record)
    if not found:
        return None
    epochs = pd.concat([read_csv(one / "epochs.csv").assign(coder=one.parent.name, member=one.name) for one in found])
    blocks: list[Block] = [gallery.show(
        "autoencoders", "Reconstruction while training", "Mean squared error of pixels from 0 to 1. Solid: validation; "
        "dotted: training. The epoch that is kept is chosen on validation.",
        lambda: curves.reconstruction(epochs),
    )]  # fmt: skip
    measured = [one for one in found if (one / "quality.csv").exists()]
    if measured:
        blocks.append(Tabled(fidelity_table(measured)))
    pictures: list[Block] = [
        embedded_picture(
            one / "reconstructions.png", f"codes-{at}", f"{one.parent.name}, {one.name}",
            "Validation images above, what the code keeps of them below.",
        )
        for at, one in enumerate(measured[:MOST_PANELS])
    ]  # fmt: skip
    return Section("codes", "Autoencoders", [*blocks, *([Folded("Reconstructions", pictures)] if pictures else [])])


def autoencoders(record: Record) -> list[Path]:
    """The folders of those whose codes the study's trials work on."""
    room = record.where.trial("autoencoders")
    cards = [one.card for one in record.evidence.trials if one.card.get("part") == MODEL]
    found = [path.parent for card in cards for path in sorted(room.glob(f"{_label(card)}/epochs.csv"))]
    return list(dict.fromkeys(found))


def _label(card: dict[str, object]) -> str:
    """The folder that `train` names after its settings, as a glob: what a card leaves out is a default."""
    options = card["options"] if isinstance(card["options"], dict) else {}
    channels, epochs = (options.get(name, "*") for name in ("channels", "encoder_epochs"))
    return f"{card['size']}px-{card['fit']}-{channels}ch-{epochs}ep/r{card['repeat']}f{card['fold']}"


def fidelity_table(measured: list[Path]) -> Table:
    """PSNR and SSIM of each autoencoder and of the resize; of several folds the mean."""
    told = pd.concat([read_csv(one / "quality.csv").assign(coder=one.parent.name) for one in measured])
    mean = told.groupby(["coder", "method"], sort=False).mean(numeric_only=True).reset_index()
    rows: list[list[Cell]] = [
        [*names(row["coder"], row["method"]), Number(row["values"], 0, kind="count"), Number(row["share_of_pixels"], 2),
         Number(row["bits"], 0, kind="count"), Number(row["psnr"], 2), Number(row["ssim"], 3)]
        for row in records(mean)
    ]  # fmt: skip
    note = (
        "Validation images, mean over folds. A code is kept as 32-bit floats, a resized image as bytes. Whether codes "
        "are worth more than a smaller picture is for the comparisons to say, not for these figures."
    )
    columns = ["Autoencoder", "Kept as", "Numbers", "Of pixels", "Bits", "PSNR (dB)", "SSIM"]
    return Table("table-codes", "What a code keeps, beside a resize to as many numbers", columns, rows, note, False)
