"""The contact sheet: what each preset looks like, on one page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from secondread.core.files import write_bytes
from secondread.images.lettering import letters
from secondread.images.phantom.cohort import plan
from secondread.images.phantom.drawing import PhantomImage, render
from secondread.images.phantom.spec import PRESETS, PhantomSpec

TILE, COLUMNS, CAPTION = 176, 7, 15
LARGEST_BYTES = 400_000


def contact_sheet(out: Path) -> Path:
    """Two rows of radiographs per preset would be too many: one row each, in the order of the presets."""
    rows = [_row(name) for name in PRESETS]
    width, height = TILE * COLUMNS, (TILE + CAPTION) * len(rows)
    page = Image.new("L", (width, height), 0)
    writer, told = ImageDraw.Draw(page), letters(11)
    for r, row in enumerate(rows):
        for c, (caption, drawn) in enumerate(row):
            page.paste(Image.fromarray(drawn.image), (c * TILE, r * (TILE + CAPTION) + CAPTION))
            told.draw(writer, c * TILE + 4, r * (TILE + CAPTION) + 1, caption, 200)
    for levels in (128, 64, 48, 32):
        content = _png(page, levels)
        if len(content) <= LARGEST_BYTES:
            break
    write_bytes(out, content)
    return out


def _row(preset: str) -> list[tuple[str, PhantomImage]]:
    """Examples of one preset with distinct pictures first: one of each set of findings, then more in order."""
    spec = PhantomSpec(preset, n=90, size=TILE, visits=1)
    cases = list(plan(spec))
    first = {tuple(sorted(case.findings)): case for case in reversed(cases) if len(case.findings) <= 1}
    chosen = sorted(first.values(), key=lambda case: case.index)
    chosen += [case for case in cases if case not in chosen][: max(0, COLUMNS - len(chosen))]
    chosen = sorted(chosen[:COLUMNS], key=lambda case: (bool(case.findings), sorted(case.findings), case.index))
    return [(_caption(preset, case.truth), render(spec, case)) for case in chosen]


def _caption(preset: str, truth: dict[str, int]) -> str:
    present = ", ".join(name for name, value in truth.items() if value) or "no finding"
    return f"{preset}: {present}"[:34]


def _png(page: Image.Image, levels: int) -> bytes:
    """A palette of fewer greys keeps film grain from filling the file."""
    grey = np.asarray(page, np.uint16)
    coarse = (grey * (levels - 1) + 127) // 255
    palette = np.repeat(np.round(np.arange(levels) * 255 / (levels - 1)).astype(np.uint8), 3)
    small = Image.fromarray(coarse.astype(np.uint8), "P")
    small.putpalette(palette.tobytes())
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
