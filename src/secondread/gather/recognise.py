"""What kind of data set a folder is, found by looking at it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from secondread.core.errors import BadData
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.core.tables import NO_LABELS
from secondread.gather import chexpert, class_folders, dicom, nih, npz, table
from secondread.gather.files import Listing, listing
from secondread.gather.found import Found, unlabelled
from secondread.gather.levels import recognised_levels

DICOM_SHARE = 0.5


@part("sources", "auto")
def auto(root: Path, gather: Gather, /) -> Found:
    """Recognises the layout: CheXpert, NIH, npz, DICOM, a table, class folders; else images without labels."""
    if root.is_file():
        return _file(root)
    if chexpert.is_chexpert(root):
        return _told(chexpert.chexpert(root, gather), "CheXpert")
    there = listing(root)
    if nih.table_of(there):
        return _told(nih.from_listing(there), "NIH ChestX-ray14")
    if there.arrays and not there.images:
        return _told(npz.from_listing(there), "npz")
    if not there.images:
        raise BadData(f"no image was found under {root}")
    tabled, refused = _by_table(there)
    if _mostly_dicom(there):
        try:
            return _told(dicom.recognised(there, gather.patient), "DICOM")
        except BadData:
            if tabled is None:
                raise
    levels = recognised_levels(there.images)
    labels = levels.labels
    if tabled is not None and (labels is None or len(tabled.rows) >= 0.9 * len(there.images)):
        return _told(tabled, "table")
    if tabled is not None:
        refused = [f"{tabled.notes[0]} names {len(tabled.rows)} of {len(there.images)} images and was passed over"]
    if labels is not None and len(set(labels)) > 1:
        return _told(class_folders.from_listing(there), "class folders", *refused)
    refused += [f"{NO_LABELS}{levels.why}"] if levels.why else []
    return _told(unlabelled(there, there.notes), "images without labels", *refused)


def _file(path: Path) -> Found:
    if path.suffix.lower() == ".npz":
        return _told(npz.from_npz(path.parent, path.name, None, []), "npz")
    there = listing(path.parent)
    return _told(table.from_table(there, path.name, {}), "table")


def _by_table(there: Listing) -> tuple[Found | None, list[str]]:
    """The best table, if it speaks of the images at all; else why none was taken."""
    try:
        return (table.best_table(there, {}) if there.tables else None), []
    except BadData as error:
        return None, [str(error)]


def _mostly_dicom(there: Listing) -> bool:
    sample = there.images[:: max(1, len(there.images) // 50)]
    hits = 0
    for name in sample:
        try:
            with open(there.root / name, "rb") as opened:
                hits += opened.read(132)[128:] == b"DICM"
        except OSError:
            continue
    return hits > DICOM_SHARE * len(sample)


def _told(found: Found, layout: str, *notes: str) -> Found:
    return replace(found, notes=[f"layout: {layout}", *notes, *found.notes])
