"""What was given to be read: files, folders and zips, as the bytes of one regular file after another."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from secondread.images.decode import DecodePolicy, Refusal, read_bytes

ZIP_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")
MOST_ENTRIES = 50_000
MOST_UNPACKED = 32 << 30


@dataclass(frozen=True)
class Found:
    """One regular file (of an archive: one entry), or one that could not even be opened (`failure`)."""

    file: str
    content: bytes = b""
    failure: str = ""


def find_files(paths: Iterable[Path], policy: DecodePolicy, own: Sequence[Path] = ()) -> Iterator[Found]:
    """Every regular file under `paths` in a fixed order; one at a time, so that any number of them fits in memory.

    `own`: files and folders that readings are written to, not read where they lie within one of the `paths`.
    """
    written = {path.resolve() for path in own}
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path, followlinks=True):  # as gather does
                inside = (name for name in folders if not _leads_back(Path(folder, name)))
                folders[:] = sorted(name for name in inside if Path(folder, name).resolve() not in written)
                for file in (Path(folder) / name for name in sorted(names)):
                    if file.is_file() and not (written and file.resolve() in written):  # no pipe or link to nowhere
                        yield from _of_file(file, policy)
        else:
            yield from _of_file(path, policy)


def _leads_back(path: Path) -> bool:
    """Whether a folder is a link to one that it was reached through."""
    return path.is_symlink() and path.resolve() in [parent.resolve() for parent in path.absolute().parents]


def _of_file(path: Path, policy: DecodePolicy) -> Iterator[Found]:
    try:
        if _is_zip(path):
            yield from _of_zip(path, policy)
        else:
            yield Found(str(path), read_bytes(path, policy))
    except (Refusal, OSError) as error:
        told = error.reason if isinstance(error, Refusal) else f"the file cannot be read: {error.strerror or error}"
        yield Found(str(path), failure=told)


def _is_zip(path: Path) -> bool:
    if not stat.S_ISREG(path.stat().st_mode):
        return False
    with open(path, "rb") as opened:
        return opened.read(4) in ZIP_BEGINNINGS


def _of_zip(path: Path, policy: DecodePolicy) -> Iterator[Found]:
    """The entries of a zip; one that is broken or hostile as a whole is a single failure."""
    try:
        with zipfile.ZipFile(path) as packed:
            entries = [entry for entry in packed.infolist() if not entry.filename.endswith("/")]
            wrong = _what_is_wrong(entries)
            if wrong:
                yield Found(str(path), failure=f"the archive is refused: {wrong}")
                return
            for entry in entries:
                yield _of_entry(path, packed, entry, policy)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError) as error:
        yield Found(str(path), failure=f"the archive is refused: {error}")


def _what_is_wrong(entries: list[zipfile.ZipInfo]) -> str:
    if not entries:
        return "it is empty"
    if len(entries) > MOST_ENTRIES:
        return f"it has {len(entries)} entries, at most {MOST_ENTRIES} are read"
    if sum(entry.file_size for entry in entries) > MOST_UNPACKED:
        return "it unpacks to more than 32 GiB"
    for entry in entries:
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        if not name.parts:
            return f"the entry {entry.filename[:60]!r} has no name"
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            return f"the entry {entry.filename[:60]!r} points outside it"
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            return f"the entry {entry.filename[:60]!r} is no regular file"
        if entry.flag_bits & 1:
            return "it is encrypted"
    return ""


def _of_entry(path: Path, packed: zipfile.ZipFile, entry: zipfile.ZipInfo, policy: DecodePolicy) -> Found:
    file = f"{path}/{entry.filename}"
    if entry.file_size > policy.max_bytes:
        return Found(file, failure=f"the file has {entry.file_size} bytes; at most {policy.max_bytes} are read")
    try:
        content = packed.read(entry)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, OSError, EOFError, RuntimeError) as error:
        return Found(file, failure=f"the entry is damaged: {error}")
    if content[:4] in ZIP_BEGINNINGS:
        return Found(file, failure="an archive inside an archive is not opened")
    return Found(file, content)
