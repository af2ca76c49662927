"""Letters on pictures. Pillow's own font knows ASCII and little more: of 7 × 7 or Ödem it draws empty boxes."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from PIL import ImageFont


@cache
def letters(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as it lies in matplotlib (Latin, Greek, Cyrillic and more), found without importing it."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("matplotlib")
    fonts = Path(found.submodule_search_locations[0], "mpl-data", "fonts", "ttf")
    return ImageFont.truetype(fonts / "DejaVuSans.ttf", size)
