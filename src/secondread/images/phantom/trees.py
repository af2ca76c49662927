"""The trees of the public data sets: where each image lies, what its file is called, and the tables beside it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondread.images.phantom.defects import Entry
from secondread.images.phantom.spec import PhantomSpec

CHEXPERT_ROOT = "CheXpert-v1.0-small"
CHEXPERT_OBSERVATIONS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
NIH_COLUMNS = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
NIH_NAMES = {"Lung Lesion": "Nodule", "Pleural Effusion": "Effusion", "PNEUMONIA": "Pneumonia"}
OPACITIES = {"Lung Lesion", "Edema", "Consolidation"}
Files = list[str]
Place = Callable[[PhantomSpec, Sequence[Entry]], Files]
Tables = Callable[[PhantomSpec, Sequence[Entry], Files, Path], None]


@dataclass(frozen=True)
class Tree:
    """How a data set lies on disk: the encoding of its images, their places, and its tables."""

    encoding: str
    places: Place
    tables: Tables
    splits: bool = False  # the tree says which images are for training and which for testing


def _suffix(entry: Entry, usual: str) -> str:
    """PNG where the usual format cannot hold the defect, so that the name tells the truth."""
    return ".png" if entry.defect in ("rgba", "sixteen_bit") else usual


def label_of(entry: Entry) -> str:
    """The one class written down for an entry."""
    return next(name for name, value in entry.labels.items() if value == 1.0)


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A CSV with plain newlines; None becomes an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


# class folders -------------------------------------------------------------------------------------------------------


def _folder_places(spec: PhantomSpec, entries: Sequence[Entry]) -> Files:
    names = [f"patient{entry.patient + 1:05d}_visit{entry.visit + 1:02d}.png" for entry in entries]
    if spec.task.multilabel:
        return [f"images/{name}" for name in names]
    return [f"{label_of(entry)}/{name}" for entry, name in zip(entries, names, strict=True)]


def _folder_tables(spec: PhantomSpec, entries: Sequence[Entry], files: Files, root: Path) -> None:
    if spec.task.multilabel:
        labels_csv(spec, entries, files, root)


def labels_csv(spec: PhantomSpec, entries: Sequence[Entry], files: Files, root: Path) -> None:
    """`labels.csv`: file, patient, visit, site, and either one column per observation or the class."""
    header = ["file", "patient", "visit", "site", *(spec.task.names if spec.task.multilabel else ["label"])]
    rows = []
    for entry, file in zip(entries, files, strict=True):
        labels = entry.labels.values() if spec.task.multilabel else [label_of(entry)]
        rows.append([file, f"patient{entry.patient + 1:05d}", entry.visit + 1, entry.case.site, *labels])
    write_csv(root / "labels.csv", header, rows)


# CheXpert ------------------------------------------------------------------------------------------------------------


def _chexpert_places(spec: PhantomSpec, entries: Sequence[Entry]) -> Files:
    files = []
    for entry in entries:
        part = "valid" if entry.split == "test" else "train"
        study = f"patient{entry.patient + 1:05d}/study{entry.visit + 1}"
        files.append(f"{CHEXPERT_ROOT}/{part}/{study}/view1_frontal{_suffix(entry, '.jpg')}")
    return files


def _chexpert_tables(spec: PhantomSpec, entries: Sequence[Entry], files: Files, root: Path) -> None:
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_OBSERVATIONS]
    rows: dict[str, list[list[object]]] = {"train": [], "valid": []}
    for entry, file in zip(entries, files, strict=True):
        part = file.split("/")[1]
        case = entry.case
        facts = [file, "Female" if case.female else "Male", case.age, "Frontal", "AP" if case.anteroposterior else "PA"]
        rows[part].append([*facts, *_observations(spec, entry, certain=part == "valid")])
    for part, lines in rows.items():
        write_csv(root / CHEXPERT_ROOT / f"{part}.csv", header, lines)


def _observations(spec: PhantomSpec, entry: Entry, certain: bool) -> list[float | None]:
    """The 14 columns: what was written down in train; 0 or 1 everywhere in valid, as read by several radiologists."""
    own: dict[str, float | None] = dict(entry.labels)
    if certain and entry.defect is None:
        own = {name: float(value) for name, value in entry.case.truth.items()}
    if not spec.task.multilabel:
        own = {"Pneumonia": own["PNEUMONIA"]}
    seen = {name for name, value in own.items() if value == 1.0}
    own["No Finding"] = None if any(value in (1.0, -1.0) for value in own.values()) else 1.0
    own["Lung Opacity"] = 1.0 if seen & OPACITIES else None
    own["Support Devices"] = 1.0 if entry.case.devices else None
    filled = [own.get(name) for name in CHEXPERT_OBSERVATIONS]
    return [0.0 if value is None or value < 0 else value for value in filled] if certain else filled


# NIH ChestX-ray14 ----------------------------------------------------------------------------------------------------


def _nih_places(spec: PhantomSpec, entries: Sequence[Entry]) -> Files:
    return [f"images/{entry.patient + 1:08d}_{entry.visit:03d}.png" for entry in entries]


def _nih_tables(spec: PhantomSpec, entries: Sequence[Entry], files: Files, root: Path) -> None:
    lines = [NIH_COLUMNS]
    for entry, file in zip(entries, files, strict=True):
        present = [name for name, value in entry.labels.items() if value in (1.0, -1.0) and name != "NORMAL"]
        labels = "|".join(sorted(NIH_NAMES.get(name, name) for name in present)) or "No Finding"
        case = entry.case
        who = f"{entry.visit},{entry.patient + 1},{case.age},{'F' if case.female else 'M'}"
        view = "AP" if case.anteroposterior else "PA"
        lines.append(f"{Path(file).name},{labels},{who},{view},{spec.size},{spec.size},0.143,0.143,")
    (root / "Data_Entry_2017.csv").write_text("\n".join(lines) + "\n")
    for name, wanted in (("train_val_list.txt", ("train", "val")), ("test_list.txt", ("test",))):
        names = [Path(file).name for entry, file in zip(entries, files, strict=True) if entry.split in wanted]
        (root / name).write_text("".join(f"{line}\n" for line in names))


# COVID-19 Radiography ------------------------------------------------------------------------------------------------


def _radiography_places(spec: PhantomSpec, entries: Sequence[Entry]) -> Files:
    numbers: Counter[str] = Counter()
    files = []
    for entry in entries:
        label = label_of(entry)
        numbers[label] += 1
        files.append(f"{label}/images/{label}-{numbers[label]}.png")
    return files


def _radiography_tables(spec: PhantomSpec, entries: Sequence[Entry], files: Files, root: Path) -> None:
    from openpyxl import Workbook

    for label in spec.task.names:
        book = Workbook()
        page = book.active
        page.title = "Sheet1"
        page.append(["FILE NAME", "FORMAT", "SIZE", "URL"])
        for file in files:
            if file.startswith(f"{label}/"):
                page.append([Path(file).stem, "PNG", f"{spec.size}*{spec.size}", "phantom"])
        book.save(root / f"{label}.metadata.xlsx")


# Kermany chest_xray --------------------------------------------------------------------------------------------------


def _kermany_places(spec: PhantomSpec, entries: Sequence[Entry]) -> Files:
    files = []
    for entry in entries:
        person, label = entry.patient + 1, label_of(entry)
        if label == "NORMAL":
            name = f"{'NORMAL2-' if person % 2 else ''}IM-{person:04d}-{entry.visit + 1:04d}"
        else:
            name = f"person{person}_{entry.case.kind or 'bacteria'}_{entry.index + 1}"
        files.append(f"chest_xray/{entry.split}/{label}/{name}{_suffix(entry, '.jpeg')}")
    return files


def _no_tables(spec: PhantomSpec, entries: Sequence[Entry], files: Files, root: Path) -> None:
    return


# MedMNIST-like npz ---------------------------------------------------------------------------------------------------


def _npz_places(spec: PhantomSpec, entries: Sequence[Entry]) -> Files:
    return [f".arrays/{entry.index}.npy" for entry in entries]


def npz_name(spec: PhantomSpec) -> str:
    return f"{spec.preset}_{spec.size}.npz"


def _npz_tables(spec: PhantomSpec, entries: Sequence[Entry], files: Files, root: Path) -> None:
    """Gather the arrays into one file of uint8 images [N, S, S] and labels [N, 1] or [N, L]; doubt counts as 1."""
    arrays: dict[str, NDArray[np.uint8]] = {}
    for split in ("train", "val", "test"):
        chosen = [i for i, entry in enumerate(entries) if entry.split == split]
        images = [np.load(root / files[i], allow_pickle=False) for i in chosen]
        labels = [_npz_label(spec, entries[i]) for i in chosen]
        width = len(spec.task.names) if spec.task.multilabel else 1
        arrays[f"{split}_images"] = np.array(images, np.uint8).reshape(-1, spec.size, spec.size)
        arrays[f"{split}_labels"] = np.array(labels, np.uint8).reshape(-1, width)
    np.savez_compressed(root / npz_name(spec), allow_pickle=False, **arrays)
    for file in files:
        (root / file).unlink()
    (root / ".arrays").rmdir()


def _npz_label(spec: PhantomSpec, entry: Entry) -> list[int]:
    if spec.task.multilabel:
        return [int(value in (1.0, -1.0)) for value in entry.labels.values()]
    return [list(entry.labels).index(label_of(entry))]


# DICOM ---------------------------------------------------------------------------------------------------------------


def _dicom_places(spec: PhantomSpec, entries: Sequence[Entry]) -> Files:
    return [f"patient{entry.patient + 1:05d}/study{entry.visit + 1}/image0001.dcm" for entry in entries]


TREES: dict[str, Tree] = {
    "folder": Tree("png", _folder_places, _folder_tables),
    "chexpert": Tree("jpeg", _chexpert_places, _chexpert_tables, splits=True),
    "nih": Tree("png", _nih_places, _nih_tables, splits=True),
    "radiography": Tree("png", _radiography_places, _radiography_tables),
    "kermany": Tree("jpeg", _kermany_places, _no_tables, splits=True),
    "npz": Tree("npy", _npz_places, _npz_tables, splits=True),
    "dicom": Tree("dicom", _dicom_places, labels_csv),
}
