"""Which files of a folder are images to be gathered, and what their folders say."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from secondread.core.errors import BadData

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".dcm", ".dicom",
                  ".ima"}  # fmt: skip
TABLE_SUFFIXES = {".csv", ".tsv", ".parquet", ".xlsx"}
MASK_FOLDERS = {"mask", "masks", "segmentation", "segmentations", "lung_masks", "annotations"}
IMAGE_FOLDERS = {"image", "images", "img", "imgs", "data", "files", "jpg", "jpeg", "png", "dicom"}
MEDIA_INDEX = "DICOMDIR"
"""Lists the files of a DICOM disc and holds no image, though it begins like one."""
SPLIT_FOLDERS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
MASK_NAME = re.compile(r"(.+?)[ _-]+(?:masks?|seg|segmentation)(?:[ _-]?\d+)?$", re.IGNORECASE)
"""`benign (1)_mask_1`: of the image `benign (1)`, when that lies beside it."""
SKIPPED = re.compile(r"^(\.|__MACOSX$|@eaDir$|Thumbs\.db$)")


@dataclass
class Listing:
    """The image files of a folder (paths relative to it, in order), its tables, and what was passed over."""

    root: Path
    images: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)
    masks: int = 0
    beside: list[str] = field(default_factory=list)
    """Masks that lie beside their image; a table may name them all the same."""
    others: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> list[str]:
        told = []
        if self.masks:
            told.append(f"{self.masks} files in folders of masks were passed over")
        if self.beside:
            told.append(f"{len(self.beside)} masks beside their images were passed over (first: {self.beside[0]})")
        if self.others:
            kinds = ", ".join(f"{count} {kind or 'without suffix'}" for kind, count in self.others.most_common(4))
            told.append(f"{sum(self.others.values())} files of other kinds were passed over: {kinds}")
        return told


def listing(root: Path) -> Listing:
    """Everything under `root`, sorted by path; raises `BadData` when it is no folder."""
    if not root.is_dir():
        raise BadData(f"{root} is not a folder: say where the images are with --data or gather.source.root")
    found = Listing(root)
    for relative, in_masks in _walk(root, "", False):
        suffix = os.path.splitext(relative)[1].lower()
        if os.path.basename(relative).upper() == MEDIA_INDEX:
            continue
        if suffix in TABLE_SUFFIXES:
            found.tables.append(relative)
        elif suffix == ".npz":
            found.arrays.append(relative)
        elif suffix in IMAGE_SUFFIXES or (is_bare(relative) and _is_dicom(root / relative)):
            if in_masks:
                found.masks += 1
            else:
                found.images.append(relative)
        else:
            found.others[suffix] += 1
    _pass_over_masks(found)
    return found


def _pass_over_masks(found: Listing) -> None:
    """Masks that lie beside their images would be learned from as images of the same class."""
    stems = {os.path.splitext(path)[0] for path in found.images}
    names = [(path, MASK_NAME.match(os.path.splitext(path)[0])) for path in found.images]
    found.beside = [path for path, mask in names if mask and mask.group(1) in stems]
    passed = set(found.beside)
    found.images = [path for path in found.images if path not in passed]


def _walk(root: Path, inside: str, in_masks: bool) -> Iterator[tuple[str, bool]]:
    folders = []
    try:
        entries = sorted(os.scandir(root / inside), key=lambda entry: entry.name)
    except OSError as error:
        raise BadData(f"cannot list {root / inside}: {error.strerror}") from error
    for entry in entries:
        if SKIPPED.match(entry.name):
            continue
        if not _is_text(entry.name):
            raise BadData(
                f"the name {os.fsencode(entry.name)!r} in {root / inside} is not UTF-8 and fits no table: rename "
                "it (convmv does so for whole folders)"
            )
        relative = f"{inside}/{entry.name}" if inside else entry.name
        if _is_folder(entry):
            if is_study(root / relative):
                continue
            folders.append((relative, in_masks or entry.name.lower() in MASK_FOLDERS))
        elif entry.is_symlink() or entry.is_file():
            yield relative, in_masks
    for relative, masks in folders:
        if not leads_back(root, relative):
            yield from _walk(root, relative, masks)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def leads_back(root: Path, relative: str) -> bool:
    """Whether a folder is a link to one that contains it, perhaps by way of further links."""
    path = root / relative
    if not path.is_symlink():
        return False
    beside = path.parent.resolve()
    return path.resolve() in (beside, *beside.parents)


def _is_text(name: str) -> bool:
    """Whether a name is text: archives from other systems leave bytes that are none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_study(folder: Path) -> bool:
    """Whether a folder is a study's directory: its pictures and tables were made, not given."""
    return (folder / "study.yaml").is_file() and (folder / "gather" / "dataset.json").is_file()


def is_bare(name: str) -> bool:
    """Whether no ending says what a file is: it has none, or the last number of an identifier (1.2.840.4)."""
    ending = os.path.splitext(name)[1][1:]
    return not ending or ending.isdecimal()


def _is_dicom(path: Path) -> bool:
    try:
        with open(path, "rb") as opened:
            return opened.read(132)[128:] == b"DICM"
    except OSError:
        return False


def split_of(relative: str) -> str | None:
    """train, val or test where a folder of the path says so."""
    return next(
        (SPLIT_FOLDERS[part.lower()] for part in relative.split("/")[:-1] if part.lower() in SPLIT_FOLDERS), None
    )
