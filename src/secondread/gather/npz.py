"""MedMNIST's `.npz`: `train_images`, `train_labels` and so on."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData, WrongRequest
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.gather.files import Listing, listing
from secondread.gather.found import Found
from secondread.gather.table import label_text
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
    count = sum(array.shape[0] for array in arrays)
    if not count:
        raise BadData(f"the arrays of {name} hold no image")
    parts = [_labels(root / name, array) for array in arrays if array.shape[0]]
    if len({part.shape[1] for part in parts}) > 1:
        raise BadData(f"{name}: labels have one column in one array and several in another")
    labels = np.concatenate(parts)
    numbers = np.arange(count)
    rows = pd.DataFrame({"row_id": [f"{name}#{k}" for k in numbers], "path": name, "index": numbers})
    rows["split_given"] = [split for array in arrays for split in [SPLITS.get(array.name)] * array.shape[0]]
    if labels.shape[1] > 1:
        return _from_columns(root, rows, labels, _names(name, range(labels.shape[1]), classes), notes)
    known = np.unique(labels)
    names = _names(name, known.tolist(), classes)
    places = np.searchsorted(known, labels[:, 0])
    values = np.zeros((count, len(known)), np.float32)
    values[np.arange(count), places] = 1.0
    rows["label"] = [names[place] for place in places.tolist()]
    return Found(root, rows, names, values, True, notes)


def _from_columns(
    root: Path, rows: pd.DataFrame, labels: NDArray[np.int64], names: list[str], notes: list[str]
) -> Found:
    """One column per class: as many labels per row as it likes, unless every row has exactly one."""
    if labels.max() > 1:
        raise BadData(f"{rows['path'].iloc[0]}: labels of several columns are 0 or 1 in each; there is {labels.max()}")
    values, exclusive = labels.astype(np.float32), bool((labels.sum(axis=1) == 1).all())
    return Found(root, rows.assign(label=label_text(values, names)), names, values, exclusive, notes)


def _labels(path: Path, array: NpzArray) -> NDArray[np.int64]:
    key = array.name.replace("images", "labels") if "images" in array.name else "labels"
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(f"{key}.npy").file_size > MOST_LABEL_BYTES:
                raise BadData(f"{path.name}: {key} is too large to be labels")
        with np.load(path, allow_pickle=False) as opened:
            found = opened[key]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BadData(f"{path.name} has no usable labels for {array.name} ({key})") from error
    if np.ndim(found) < 1 or len(found) != array.shape[0] or not _whole(found):
        raise BadData(f"{path.name}: {key} does not hold one row of whole numbers per image")
    labels: NDArray[np.int64] = found.reshape(len(found), -1).astype(np.int64)
    return labels


def _whole(numbers: NDArray[Any]) -> bool:
    """Whether all are whole numbers from 0 on that an integer holds."""
    if numbers.dtype.kind not in "buif" or not numbers.size:
        return False
    return bool(
        np.isfinite(numbers).all() and (numbers % 1 == 0).all() and numbers.min() >= 0 and numbers.max() < 2**53
    )


def _names(file: str, labels: Sequence[int], given: list[str] | None) -> list[str]:
    """The name of each label; `given` ones are those of 0, 1, 2 …"""
    if given is None:
        return [str(label) for label in labels]
    if len(given) <= max(labels):
        raise WrongRequest(f"npz: classes names {len(given)} labels, {file} has one more at the least: {max(labels)}")
    if len(set(given)) < len(given):
        raise WrongRequest("npz: classes gives one name to two labels; merge them with gather.labels")
    return [given[label] for label in labels]
