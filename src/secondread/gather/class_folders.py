"""Folders named after classes, also inside split folders and with `images` beside `masks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from secondread.core.errors import BadData
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.gather.files import Listing, listing, split_of
from secondread.gather.found import Found, one_class_per_row
from secondread.gather.levels import Role, levels_of, named_folders, need_class


@part("sources", "class_folders", refuses=need_class)
def class_folders(root: Path, gather: Gather, /, *, folders: list[Role] | None = None) -> Found:
    """Images in folders named after their class; `folders`: what each level of folders is, if not found by itself."""
    return from_listing(listing(root), folders)


def from_listing(there: Listing, folders: Sequence[Role] | None = None) -> Found:
    """The rows of a listing; raises `BadData` when its folders do not look like classes."""
    if not there.images:
        raise BadData(f"no image was found under {there.root}")
    levels = levels_of(there.images, folders)
    if levels.labels is None:
        loose = next((path for path in there.images if not named_folders(path)), None)
        why = levels.why or (
            f"the folders under {there.root} do not look like classes{f' ({loose} lies in none)' if loose else ''}; "
            "use a source that has labels (table, chexpert, nih, npz, dicom)"
        )
        raise BadData(why)
    rows = pd.DataFrame({"row_id": there.images, "path": there.images, "index": -1, "label": levels.labels})
    rows = levels.told(rows)
    rows["split_given"] = [split_of(path) for path in there.images]
    notes = [*there.notes, *levels.notes]
    if rows["split_given"].notna().any():
        counts = rows["split_given"].value_counts().to_dict()
        notes.append("folders give a split: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return one_class_per_row(there.root, rows, notes, "folders" if "patient" in rows else "")
