"""Zip files of images: checked whole from their directory before one byte is unpacked, never written to disk."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from secondread.images.decode import Refusal

BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    ValueError,
    EOFError,
    RuntimeError,
    OverflowError,
    OSError,
)  # the last for places in the file that cannot be
MOST_RATIO = 1000


def is_zip(path: Path) -> bool:
    with open(path, "rb") as opened:
        return opened.read(4) in BEGINNINGS


def checked_entries(path: Path, files: int, unpacked_bytes: int, file_bytes: int) -> list[str]:
    """Names of the images of an archive, in order; raises `Refusal` when the archive as a whole is not taken."""
    try:
        with zipfile.ZipFile(path) as packed:
            entries = _wanted(packed)
    except BROKEN as error:
        raise Refusal("damaged_archive", f"the archive cannot be read: {str(error)[:80]}") from error
    if not entries:
        raise Refusal("empty_archive", "the archive holds no files")
    if len(entries) > files:
        raise Refusal("too_many_files", f"the archive holds {len(entries)} files; at most {files} are taken at once")
    if sum(entry.file_size for entry in entries) > unpacked_bytes:
        raise Refusal("archive_too_large", f"the archive unpacks to more than {unpacked_bytes >> 20} MB")
    for entry in entries:
        _check(entry, file_bytes)
    if len({entry.filename for entry in entries}) < len(entries):  # by name only the first of them would be found
        raise Refusal("unsafe_archive", "the archive holds two files of the same name")
    return [entry.filename for entry in entries]


def read_entry(path: Path, name: str, file_bytes: int) -> bytes:
    """The bytes of one entry, never more than its directory said; raises `Refusal`."""
    try:
        with zipfile.ZipFile(path) as packed:
            found = [entry for entry in _wanted(packed) if entry.filename == name]
            _check(found[0], file_bytes)
            with packed.open(found[0]) as opened:
                content = opened.read(file_bytes + 1)
    except (*BROKEN, IndexError) as error:
        raise Refusal("damaged_archive", f"the file in the archive is damaged: {str(error)[:80]}") from error
    if len(content) > file_bytes:
        raise Refusal("too_large", f"the file has more than {file_bytes >> 20} MB")
    if content[:4] in BEGINNINGS:
        raise Refusal("nested_archive", "an archive inside an archive is not opened")
    return content


def _wanted(packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Entries that are files, without what desktop systems add."""
    return [
        entry
        for entry in packed.infolist()
        if not entry.filename.endswith("/") and not entry.filename.startswith("__MACOSX/")
        and _last(entry) != "DICOMDIR" and not _last(entry).startswith(".")
    ]  # fmt: skip


def _last(entry: zipfile.ZipInfo) -> str:
    return entry.filename.replace("\\", "/").rsplit("/", 1)[-1]


def _check(entry: zipfile.ZipInfo, file_bytes: int) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if not name.parts:
        raise Refusal("unsafe_archive", "a file in the archive has no name")
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise Refusal("unsafe_archive", "a file in the archive points outside it")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise Refusal("unsafe_archive", "the archive holds a link or a device")
    if entry.flag_bits & 1:
        raise Refusal("encrypted_archive", "the archive is encrypted")
    if entry.file_size > file_bytes:
        raise Refusal("too_large", f"a file in the archive has more than {file_bytes >> 20} MB")
    if entry.file_size > MOST_RATIO * max(entry.compress_size, 1):
        raise Refusal("archive_too_large", f"a file in the archive is packed more than {MOST_RATIO} to 1")
