"""Folders named after classes, also inside split folders and with `images` beside `masks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from secondread.core.errors import BadData
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.gather.files import IMAGE_FOLDERS, SPLIT_FOLDERS, Listing, listing, split_of
from secondread.gather.found import MOST_CLASSES, Found, one_class_per_row

NEUTRAL = {*SPLIT_FOLDERS, *IMAGE_FOLDERS}


@part("sources", "class_folders")
def class_folders(root: Path, gather: Gather, /) -> Found:
    """Images in folders named after their class (Kermany's and COVID-19 Radiography's trees too)."""
    return from_listing(listing(root))


def from_listing(there: Listing) -> Found:
    """The rows of a listing; raises `BadData` when its folders do not look like classes."""
    if not there.images:
        raise BadData(f"no image was found under {there.root}")
    labels = class_of_each(there.images)
    if labels is None:
        loose = next((path for path in there.images if not _named_folders(path)), None)
        why = f" ({loose} lies in none)" if loose else ""
        raise BadData(
            f"the folders under {there.root} do not look like classes{why}; use a source that has labels (table, "
            "chexpert, nih, npz, dicom)"
        )
    rows = pd.DataFrame({"row_id": there.images, "path": there.images, "index": -1, "label": labels})
    rows["split_given"] = [split_of(path) for path in there.images]
    notes = list(there.notes)
    if copies := _repeating(_folders_of(there.images)):
        notes.append(f"folders that repeat the class folders beside them were looked into: {', '.join(sorted(copies))}")
    if rows["split_given"].notna().any():
        counts = rows["split_given"].value_counts().to_dict()
        notes.append("folders give a split: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return one_class_per_row(there.root, rows, notes)


def class_of_each(paths: Sequence[str]) -> list[str] | None:
    """The class each path names: its first folder that is no split, no `images` and not the same for all.

    A folder that repeats the class folders beside it, as archives unpacked twice have it, is looked into.
    """
    folders = _folders_of(paths)
    while copies := _repeating(folders):
        folders = [names[1:] if names[0] in copies else names for names in folders]
    if not folders or not all(folders):
        return None
    labels = [names[0] for names in folders]
    return labels if len(set(labels)) <= min(MOST_CLASSES, max(2, len(paths) // 2)) else None


def _named_folders(path: str) -> list[str]:
    """The folders of a path that are no split and no `images`."""
    return [name for name in path.split("/")[:-1] if name.lower() not in NEUTRAL]


def _folders_of(paths: Sequence[str]) -> list[list[str]]:
    """The folders of each path that may name a class."""
    folders = [_named_folders(path) for path in paths]
    while folders and all(folders) and len({names[0] for names in folders}) == 1 and all(len(f) > 1 for f in folders):
        folders = [names[1:] for names in folders]
    return folders


def _repeating(folders: Sequence[Sequence[str]]) -> set[str]:
    """First folders in which nothing lies but folders called as those beside them."""
    inside: dict[str, set[str | None]] = {}
    for first, *further in filter(None, folders):
        inside.setdefault(first, set()).add(further[0] if further else None)
    return {first for first, names in inside.items() if names <= inside.keys() - {first}}
