"""Whether data are as they were when they were gathered: the names, sizes and times of their files, not their bytes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from secondread.core.errors import BadData
from secondread.core.files import sha256_of_json
from secondread.core.fingerprints import record_of
from secondread.core.studydir import State, Unit
from secondread.core.tables import read_table
from secondread.gather.files import IMAGE_SUFFIXES, SKIPPED, TABLE_SUFFIXES, is_study, leads_back, names_no_kind

READ_SUFFIXES = {*IMAGE_SUFFIXES, *TABLE_SUFFIXES, ".npz", ".txt"}
"""What a source may read: images, tables, arrays, NIH's lists, DICOM files without a suffix."""


@dataclass(frozen=True)
class SourceUnit(Unit):
    """The rows of a source: stale also when files under `data` were added, removed or changed since.

    Where the data are not there, what was gathered stays done. `seen` holds what was listed before in this command.
    """

    data: Path | None = None
    seen: dict[str, str | None] = field(default_factory=dict)

    def state(self) -> State:
        state = super().state()
        return "stale" if state == "done" and self.files_changed() else state

    def files_changed(self) -> bool:
        """Whether these settings were gathered from other files than lie there now."""
        try:
            told = record_of(self.done_file) if self.done_file.exists() else {}
        except BadData:
            return False
        before = told.get("files")  # not kept by the first studies
        return before is not None and told["key"] == self.key() and self.files() not in (None, before)

    def files(self) -> str | None:
        """Digest of the files that lie there; None when there are none to be seen."""
        if self.data is None:
            return None
        name = str(self.data)
        if name not in self.seen:
            self.seen[name] = digest_of_files(self.data)
        return self.seen[name]


def digest_of_files(root: Path) -> str | None:
    """Digest of the names, sizes and times of all files that a source may read under `root`, or beside a table."""
    if root.is_file() and root.suffix.lower() == ".npz":
        return sha256_of_json([root.name, root.stat().st_size, root.stat().st_mtime_ns])
    top = root.parent if root.is_file() else root
    digest, seen, waiting = hashlib.sha256(), False, [""]
    while waiting:  # no recursion and no object per file: sets of 225,000 images are listed by every command
        inside = waiting.pop()
        lines, folders = _listed(top, inside)
        waiting += folders
        if lines:
            seen = True
            digest.update("\n".join([inside, *lines, ""]).encode(errors="surrogateescape"))
    return digest.hexdigest() if seen else None


def _listed(top: Path, inside: str) -> tuple[list[str], list[str]]:
    """A line for each file of one folder that a source may read, and the folders in it, as gather would list them."""
    lines, folders = [], []
    try:
        with os.scandir(f"{top}/{inside}") as opened:
            entries = sorted(opened, key=attrgetter("name"))
    except OSError:
        return [], []
    for entry in entries:
        name = entry.name
        if SKIPPED.match(name):
            continue
        try:
            if entry.is_dir():
                if not (entry.is_symlink() and leads_back(top, f"{inside}{name}")):
                    folders.append(f"{inside}{name}/")
            elif (suffix := os.path.splitext(name)[1].lower()) in READ_SUFFIXES or names_no_kind(suffix):
                told = entry.stat()
                lines.append(f"{name}\0{told.st_size}\0{told.st_mtime_ns}")
            elif inside and name == "study.yaml" and is_study(top / inside):
                return [], []
        except OSError:  # a link that leads nowhere
            lines.append(name)
    return lines, folders


def what_changed(before: dict[str, str], rows: Path) -> str:
    """What is other in the rows gathered now than in those of before (their contents by id), in one line."""
    now = contents_of(rows)
    added, removed = len(now.keys() - before.keys()), len(before.keys() - now.keys())
    changed = sum(before[name] != now[name] for name in before.keys() & now.keys())
    if added or removed or changed:
        counts = f"images: {added} added, {removed} removed, {changed} changed"
        return f"the data have changed since they were gathered ({counts})"
    return "files in the data folder have changed since they were gathered, but no image was added, removed or changed"


def contents_of(rows: Path) -> dict[str, str]:
    """Content of each row of a table that was gathered; empty when there is none."""
    if not rows.exists():
        return {}
    table = read_table(rows)
    return dict(zip(table["row_id"], table["content_id"].fillna(""), strict=True))
