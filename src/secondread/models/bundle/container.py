"""The files of a bundle, from a folder or a zip, taken into memory only after names, kinds and sizes were checked."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from secondread.core.errors import WrongRequest
from secondread.core.files import atomic_path

MODEL, CARD, REFERENCE, TEXT = "model.onnx", "card.json", "reference.npz", "MODEL_CARD.md"
SEEN = "seen"
"""The array of reference.npz that tells what the bundle was fitted on; bundles of before have none."""
MEBI = 1 << 20
LARGEST = {MODEL: 1536 * MEBI, CARD: 4 * MEBI, REFERENCE: 128 * MEBI, TEXT: 4 * MEBI}
"""The files of a bundle and the most bytes each may have."""
MEASURED = "bench.json"
"""What bench leaves in the folder of a bundle."""
BESIDE = {"done.json", "failed.json", MEASURED}
"""What export and bench leave in the folder of a bundle; no part of it."""


def int8_beside(folder: Path) -> Path:
    """Where the same model lies in 8 bits, if it does."""
    return folder.with_name(f"{folder.name}-int8")


def zip_beside(folder: Path) -> Path:
    """Where the same bundle lies as one file."""
    return folder.with_name(f"{folder.name}.zip")


def files_of(path: Path) -> dict[str, bytes]:
    """The four files of the bundle at `path` (folder or zip); raises `WrongRequest` when it is anything else."""
    try:
        if path.is_dir():
            found = _from_folder(path)
        elif path.is_file():
            found = _from_zip(path)
        else:
            raise WrongRequest(f"no bundle at {path}")
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise WrongRequest(f"{path} cannot be read as a bundle: {error}") from error
    missing = [name for name in LARGEST if name not in found]
    if missing:
        raise WrongRequest(f"{path} is no whole bundle: {', '.join(missing)} missing")
    return found


def write_zip(folder: Path, path: Path) -> None:
    """Pack the bundle in `folder` into one zip; the same bundle gives the same bytes."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as packed:
        for name in LARGEST:
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            kind = zipfile.ZIP_STORED if name == MODEL else zipfile.ZIP_DEFLATED  # weights do not compress
            packed.writestr(entry, (folder / name).read_bytes(), compress_type=kind)


def _from_folder(folder: Path) -> dict[str, bytes]:
    found = {}
    for item in sorted(folder.iterdir()):
        kind = item.lstat().st_mode
        if item.name in BESIDE and stat.S_ISREG(kind):
            continue
        if not stat.S_ISREG(kind):
            raise WrongRequest(f"{folder}: {item.name!r} is not a plain file")
        _check_entry(folder, item.name, item.lstat().st_size)
        found[item.name] = item.read_bytes()
    return found


def _from_zip(path: Path) -> dict[str, bytes]:
    found = {}
    with zipfile.ZipFile(path) as packed:
        entries = [entry for entry in packed.infolist() if not entry.filename.endswith("/")]
        if len(entries) > len(LARGEST) + len(BESIDE):
            raise WrongRequest(f"{path}: {len(entries)} files, a bundle has {len(LARGEST)}")
        folders = {str(PurePosixPath(entry.filename).parent) for entry in entries}
        if len(folders) > 1 or any(".." in name or name.startswith(("/", "\\")) for name in folders):
            raise WrongRequest(f"{path}: the files of a bundle lie in one folder of the zip")
        for entry in entries:
            name = PurePosixPath(entry.filename).name
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
                raise WrongRequest(f"{path}: {name!r} is not a plain file")
            if name in BESIDE:
                continue
            if name in found:
                raise WrongRequest(f"{path}: {name!r} stands twice")
            _check_entry(path, name, entry.file_size)
            with packed.open(entry) as opened:
                found[name] = opened.read(entry.file_size + 1)
    return found


def _check_entry(origin: Path, name: str, size: int) -> None:
    if name not in LARGEST:
        raise WrongRequest(f"{origin}: {name!r} does not belong in a bundle")
    if size > LARGEST[name]:
        raise WrongRequest(f"{origin}: {name} has {size} bytes, at most {LARGEST[name]} are read")
