"""Sample sheets: a grid of images from fixed noise, and the film of a training stitched from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.core.files import write_with

FILM_FRAMES = 150


def grid(images: NDArray[np.uint8], columns: int = 8, gap: int = 2) -> Image.Image:
    """[N, H, W] or [N, H, W, 3] as one picture of rows of `columns`."""
    count, height, width = images.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *images.shape[3:])
    sheet = np.full(shape, 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet)


def save_sheet(images: NDArray[np.uint8], path: Path) -> None:
    sheet = grid(images)
    write_with(path, lambda temporary: sheet.save(temporary, "PNG", optimize=True))


def save_film(sheets: Sequence[Path], path: Path, milliseconds: int = 120) -> None:
    """Stitch sample sheets, oldest first, into an animated WebP or GIF (by the ending); at most 150 frames."""
    if not sheets:
        return
    chosen = [sheets[index] for index in np.unique(np.linspace(0, len(sheets) - 1, FILM_FRAMES).astype(int))]
    frames = [Image.open(sheet).convert("RGB" if path.suffix == ".webp" else "P") for sheet in chosen]
    durations = [milliseconds] * (len(frames) - 1) + [2000]
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
    if path.suffix == ".webp":
        options |= {"quality": 60, "method": 4}
    kind = path.suffix.removeprefix(".").upper()
    write_with(path, lambda temporary: frames[0].save(temporary, kind, **options))


def pairs_montage(left: NDArray[np.uint8], right: NDArray[np.uint8], path: Path) -> None:
    """Generated images, each beside its nearest training image, as one PNG of rows of four pairs."""
    paired = np.stack([left, right], axis=1).reshape(-1, *left.shape[1:])
    sheet = grid(paired, columns=8, gap=2)
    write_with(path, lambda temporary: sheet.save(temporary, "PNG", optimize=True))
