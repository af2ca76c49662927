"""The one-page report of a read: banner, verdict, picture, bars, and what it was made with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.decode import display_pixels
from secondread.models.bundle.card import DISCLAIMER
from secondread.models.bundle.overlay import colours, onto_image, shrunk
from secondread.serve.reads.models import Read
from secondread.serve.reads.pixels import StoredPixels
from secondread.serve.reads.reading import unpacked_heat
from secondread.serve.reads.words import Bar, Verdict, about_map, engine, mapped_class, verdict_of, warnings
from secondread.serve.reports.pdf import AVERAGE_WIDTH, HEIGHT, WIDTH, PdfPage, lines_of

MARGIN = 48.0
GREY, PALE, INK, AMBER = (0.38, 0.43, 0.5), (0.91, 0.93, 0.95), (0.09, 0.36, 0.46), (0.99, 0.95, 0.85)
BROWN = (0.48, 0.31, 0.0)
PICTURE = 230.0
NAME = 150.0
"""For the name of a class, before its bar."""
MOST_BARS = 14
BELOW_BARS = 14.0
"""For the line that explains them."""
BOLD_SHARE = 0.85
"""Of a line: bold letters are wider than those that lines are broken by."""
STRONGEST = 0.6
FOOT_LETTERS = 120


def report_pdf(read: Read, stored: StoredPixels) -> bytes:
    """The report as bytes of a PDF."""
    card, verdict, page = read.bundle.card, verdict_of(read, read.bundle.card), PdfPage()
    page.box(0, HEIGHT - 34, WIDTH, 34, AMBER)
    page.text(MARGIN, HEIGHT - 21, DISCLAIMER, 10, bold=True)
    page.text(MARGIN, HEIGHT - 66, "secondread: second reading of an image", 9, colour=GREY)
    wide = WIDTH - 2 * MARGIN
    floor = _facts(page, read, card) + 14
    y = (
        page.paragraph(MARGIN, HEIGHT - 92, verdict.headline, BOLD_SHARE * wide, 19, bold=True, floor=HEIGHT - 180)
        + 6.6
    )
    y = page.paragraph(MARGIN, y, verdict.sentence, wide, 10.5, floor=HEIGHT - 250)
    y = _pictures(page, y - 6, read, stored)
    y = _bars(page, y - 22, verdict, floor)
    for name, text in verdict.texts[:3]:
        if y - 14 < floor:
            break
        page.text(MARGIN, y, f"About {name}", 10, bold=True)
        y = page.paragraph(MARGIN, y - 14, text, wide, 9.5, floor=floor) - 6
    return page.to_bytes(f"Second reading {read.id}")


def picture_with_heat(
    read: Read, stored: StoredPixels, longest: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """The image as shown, grey or colour uint8, and the same under the map of the decided class where there is one."""
    shown = shrunk(display_pixels(stored.decoded), longest)
    maps = unpacked_heat(read)
    if maps is None or read.state == "refused":
        return shown, None
    card = read.bundle.card
    height, width = shown.shape[:2]
    heat = onto_image(maps[card["classes"].index(mapped_class(read))], height, width, card["fit"], card["crop_border"])
    rgb = np.repeat(shown[..., None], 3, axis=2) if shown.ndim == 2 else shown
    opacity = (STRONGEST * np.sqrt(np.clip(heat, 0, 1)))[..., None]
    mixed = rgb * (1.0 - opacity) + colours(heat) * opacity
    return shown, np.round(mixed).astype(np.uint8)


def _pictures(page: PdfPage, y: float, read: Read, stored: StoredPixels) -> float:
    shown, heated = picture_with_heat(read, stored, 700)
    scale = min(PICTURE / shown.shape[1], PICTURE / shown.shape[0])
    width, height = float(shown.shape[1] * scale), float(shown.shape[0] * scale)
    page.picture(MARGIN, y - height, width, height, shown)
    if heated is not None:
        left = WIDTH - MARGIN - PICTURE
        page.picture(left, y - height, width, height, heated)
        for at, line in enumerate(lines_of(about_map(read), PICTURE, 7.5)[:2]):
            page.text(left, y - height - 12 - 9 * at, line, 7.5, colour=GREY)
    return y - height - 20


def _bars(page: PdfPage, y: float, verdict: Verdict, floor: float) -> float:
    """As many as there is room for above `floor`, what was decided before what was not."""
    left, wide = MARGIN + NAME, WIDTH - 2 * MARGIN - NAME - 50
    room = min(MOST_BARS, max(1, int((y - floor - BELOW_BARS) / 18)))
    shown = sorted(verdict.bars, key=lambda bar: not (bar.decided or bar.doubtful))[:room]
    for bar in shown:
        page.paragraph(MARGIN, y, bar.name, NAME - 14, 10, bold=bar.decided or bar.doubtful, floor=y)
        page.box(left, y - 1, wide, 8, PALE)
        page.box(left, y - 1, wide * bar.probability, 8, BROWN if bar.doubtful else INK if bar.decided else GREY)
        if bar.threshold is not None:
            page.box(left + wide * bar.threshold - 0.6, y - 4, 1.2, 14, (0.1, 0.1, 0.1))
        page.text(left + wide + 10, y, _said(bar), 9)
        y -= 18
    said = (
        "Upright marks: thresholds, fitted on validation images." if any(b.threshold is not None for b in shown) else ""
    )
    if more := len(verdict.bars) - len(shown):
        said = f"{said} {more} more of {len(verdict.bars)} classes: see the page of this read.".strip()
    page.text(left, y + 4, said, 7.5, colour=GREY)
    return y - 14


def _said(bar: Bar) -> str:
    return bar.percent.replace(" ", "\u00a0")


def _facts(page: PdfPage, read: Read, card: dict[str, Any]) -> float:
    """At the foot of the page; gives its upper edge."""
    facts, made = read.image.facts, (read.result or {}).get("made_with", {})
    told = [
        f"Model {card['name']}, bundle {read.bundle_id}",
        f"Image {read.image.content_id} (SHA-256 of its bytes), {facts.get('format')}, "
        f"{facts.get('width')} x {facts.get('height')}, {facts.get('bits')} bits",
        f"Read {read.id}, {read.finished:%Y-%m-%d %H:%M} UTC, {engine(read)}, decoder {made.get('decoder', '')}",
        *warnings(read),
    ]
    lines = [line for one in told for line in lines_of(one, FOOT_LETTERS * AVERAGE_WIDTH * 7.5, 7.5)]
    top = 42.0 + 11 * len(lines)
    page.box(MARGIN, top, WIDTH - 2 * MARGIN, 0.6, GREY)
    for at, line in enumerate(lines):
        page.text(MARGIN, 30 + 11 * (len(lines) - at), line, 7.5, colour=GREY)
    return top
