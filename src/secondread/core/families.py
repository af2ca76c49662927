"""What images from one place have in common where nothing names the place: how their files are called."""

from __future__ import annotations

import re
from pathlib import PurePosixPath


def name_family(row_id: str) -> str:
    """What file names have in common: the letters before the first digit, and the ending."""
    name = PurePosixPath(row_id.split("#")[0]).name
    stem, _, ending = name.rpartition(".")
    letters = re.match(r"[^\d]*", stem)
    return f"{letters.group(0) if letters else ''}….{ending.lower()}" if stem else "…"
