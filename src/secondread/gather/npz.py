"""MedMNIST's `.npz`: `train_images`, `train_labels` and so on."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData, WrongRequest
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.gather.files import Listing, listing
from secondread.gather.found import Found
from secondread.images.decode_npz import NpzArray, image_arrays

MOST_LABEL_BYTES = 2**28
SPLITS = {"train_images": "train", "val_images": "val", "test_images": "test"}


@part("sources", "npz")
def npz(root: Path, gather: Gather, /, *, file: str = "", classes: list[str] | None = None) -> Found:
    """Images and labels in one npz file (MedMNIST's layout); `classes` names the labels 0, 1, 2 ..."""
    if root.is_file():
        return from_npz(root.parent, root.name, classes, [])
    there = listing(root)
    return from_listing(there, file, classes)


def from_listing(there: Listing, file: str = "", classes: list[str] | None = None) -> Found:
    named = [file] if file else there.arrays
    if len(named) != 1:
        raise BadData(f"{there.root} holds {len(named)} npz files ({', '.join(named[:4])}); name one: file: NAME.npz")
    return from_npz(there.root, named[0], classes, there.notes)


def from_npz(root: Path, name: str, classes: list[str] | None, notes: list[str]) -> Found:
    arrays = image_arrays(root / name)
    if not arrays:
        raise BadData(f"{name} holds no images (train_images, val_images, test_images or images)")
    labels = np.concatenate([_labels(root / name, array) for array in arrays])
    count = sum(array.shape[0] for array in arrays)
    numbers = np.arange(count)
    rows = pd.DataFrame({"row_id": [f"{name}#{k}" for k in numbers], "path": name, "index": numbers})
    rows["split_given"] = [split for array in arrays for split in [SPLITS.get(array.name)] * array.shape[0]]
    if labels.shape[1] > 1:
        if labels.max(initial=0) > 1:
            raise BadData(f"{name}: labels of several columns are 0 or 1 in each; there is {labels.max()}")
        names = _names(labels.shape[1], classes)
        values = labels.astype(np.float32)
        rows["label"] = [
            "|".join(name for name, v in zip(names, row, strict=True) if v == 1) for row in values.tolist()
        ]
        return Found(root, rows, names, values, False, notes)
    known = sorted(int(value) for value in np.unique(labels))
    names = _names(max(known) + 1, classes)
    values = np.zeros((count, len(known)), np.float32)
    values[np.arange(count), np.searchsorted(known, labels[:, 0])] = 1.0
    rows["label"] = [names[int(value)] for value in labels[:, 0]]
    return Found(root, rows, [names[value] for value in known], values, True, notes)


def _labels(path: Path, array: NpzArray) -> NDArray[np.int64]:
    key = array.name.replace("images", "labels") if "images" in array.name else "labels"
    try:
        if zipfile.ZipFile(path).getinfo(f"{key}.npy").file_size > MOST_LABEL_BYTES:
            raise BadData(f"{path.name}: {key} is too large to be labels")
        with np.load(path, allow_pickle=False) as opened:
            found = opened[key]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BadData(f"{path.name} has no usable labels for {array.name} ({key})") from error
    found = np.asarray(found).reshape(len(found), -1) if np.ndim(found) else np.empty((0, 1))
    if len(found) != array.shape[0] or not np.isin(found % 1, 0).all() or (found < 0).any():
        raise BadData(f"{path.name}: {key} does not hold one row of whole numbers per image")
    return found.astype(np.int64)


def _names(count: int, given: list[str] | None) -> list[str]:
    if given is None:
        return [str(k) for k in range(count)]
    if len(given) < count:
        raise WrongRequest(f"npz: classes names {len(given)} labels, the file has {count}")
    return given[:count]
