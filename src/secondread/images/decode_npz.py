"""Images inside an uncompressed or compressed `.npz` (MedMNIST's layout), read entry by entry in constant memory.

The arrays `train_images`, `val_images`, `test_images` (or one array `images`) count as one sequence, in that order.
Nothing in the file is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from secondread.images.decode_types import Decoded, DecodePolicy, FileFacts, Refusal

ARRAYS = ("train_images", "val_images", "test_images")
LONE_ARRAYS = ("images", "x", "X", "arr_0")
READ_AT_ONCE = 2**22
BROKEN = (OSError, ValueError, EOFError, SyntaxError, NotImplementedError, RuntimeError, TypeError, zipfile.BadZipFile,
          zlib.error, KeyError)  # fmt: skip
"""What damaged archives and array headers make the readers raise."""


@dataclass(frozen=True)
class NpzArray:
    """One array of images in an npz: its shape is [N, H, W] or [N, H, W, C]."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def entry_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize


def image_arrays(path: Path) -> list[NpzArray]:
    """The arrays of images an npz holds, in reading order; raises `Refusal`."""
    try:
        with zipfile.ZipFile(path) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
            names = [name for name in ARRAYS if name in there] or [name for name in LONE_ARRAYS if name in there][:1]
            return [_header(archive, name) for name in names]
    except BROKEN as error:
        raise Refusal("damaged", f"the npz file cannot be read: {str(error)[:100]}") from error


def entries(path: Path, wanted: Sequence[int] | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
    """(index, array [H, W] or [H, W, 3]) of the wanted entries, in ascending order."""
    keep = None if wanted is None else set(wanted)
    offset = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for array in image_arrays(path):
                yield from _entries_of(archive, array, offset, keep)
                offset += array.shape[0]
    except BROKEN as error:
        raise Refusal("truncated", f"the npz file ends early or is damaged: {str(error)[:100]}") from error


def decode_entry(entry: NDArray[Any]) -> Decoded:
    """An entry as a decoded image; integers of 8 or 16 bits only."""
    if entry.ndim == 3 and entry.shape[2] == 1:
        entry = entry[..., 0]
    entry = entry.astype(entry.dtype.newbyteorder("="), copy=False)
    if entry.dtype not in (np.uint8, np.uint16, np.bool_) or (entry.dtype == np.uint16 and entry.ndim == 3):
        raise Refusal("unsupported_depth", f"npz images of type {entry.dtype} have no known white; store uint8")
    bits = 16 if entry.dtype == np.uint16 else 8
    pixels = entry.astype(np.uint8) * 255 if entry.dtype == np.bool_ else entry
    colour = pixels.ndim == 3
    if colour and (pixels[..., :1] == pixels).all():
        pixels = pixels[..., 0]
    facts = FileFacts(
        "NPZ", "RGB" if colour else "L", entry.shape[1], entry.shape[0], bits, 3 if colour else 1, entry.nbytes
    )
    return Decoded(np.ascontiguousarray(pixels), bits, facts)


def _header(archive: zipfile.ZipFile, name: str) -> NpzArray:
    with archive.open(f"{name}.npy") as opened:
        shape, fortran, dtype = _array_header(opened)
    if fortran or dtype.hasobject or len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        told = f"{shape} of {dtype}{' in Fortran order' if fortran else ''}"
        raise Refusal("unsupported_layout", f"{name}: images are [N, H, W] or [N, H, W, 3]; this is {told}")
    if not 1 <= shape[1] * shape[2] <= DecodePolicy.max_pixels:
        raise Refusal(
            "too_large" if shape[1] * shape[2] else "damaged",
            f"{name}: images of {shape[2]} by {shape[1]} pixels are not read",
        )
    return NpzArray(name, shape, dtype)


def _array_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(opened)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(opened)
    return tuple(int(side) for side in shape), bool(fortran), dtype


def _entries_of(
    archive: zipfile.ZipFile, array: NpzArray, offset: int, keep: set[int] | None
) -> Iterator[tuple[int, NDArray[Any]]]:
    size = array.entry_bytes
    with archive.open(f"{array.name}.npy") as opened:
        _array_header(opened)
        for number in range(array.shape[0]):
            content = _exactly(opened, size)
            if keep is None or offset + number in keep:
                yield offset + number, np.frombuffer(content, array.dtype).reshape(array.shape[1:])


def _exactly(opened: IO[bytes], size: int) -> bytes:
    parts, missing = [], size
    while missing:
        part = opened.read(min(missing, READ_AT_ONCE))
        if not part:
            raise EOFError("an array is shorter than its header says")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
