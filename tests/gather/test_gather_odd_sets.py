"""Sets as they are downloaded and exported: unpacked twice, spelt in two ways, masks and odd tables beside images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from secondread.core.errors import WrongRequest
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.core.tables import UNLABELLED, Dataset, read_dataset, read_table
from secondread.gather import run
from secondread.gather.changes import digest_of_files
from secondread.gather.files import listing
from secondread.gather.levels import recognised_levels


def gathered(out: Path, data: Path, source: Any, **options: Any) -> tuple[Dataset, pd.DataFrame]:
    where = StudyDir(out, data)
    run.run(parse_study({"study": "s", "gather": {"source": source, **options}}), where)
    return read_dataset(where.dataset), read_table(where.rows)


def paint(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        grey = np.random.default_rng([k, len(str(folder))]).integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(grey).save(folder / f"{name}.png")


def test_a_copy_of_the_class_folders_inside_them_is_no_class(tmp_path: Path) -> None:
    """Archives of public sets hold themselves once more: chest_xray/chest_xray/train, brain_tumor_dataset/yes."""
    for name in ("NORMAL", "PNEUMONIA"):
        for folder in (f"set/train/{name}", f"set/test/{name}", f"set/set/train/{name}"):
            paint(tmp_path / "data" / folder, "1", "2", "3")
    for source in ("auto", "class_folders"):
        dataset, rows = gathered(tmp_path / source, tmp_path / "data", source)
        assert dataset.classes == ["NORMAL", "PNEUMONIA"]
        assert len(rows) == 18
        assert any("repeat the class folders" in note and "set" in note for note in dataset.notes)
    assert recognised_levels(["ill/lungs/1.png", "ill/heart/2.png", "well/3.png", "well/4.png"]).labels == [
        "ill",
        "ill",
        "well",
        "well",
    ]


def test_class_folders_of_two_spellings_are_one_class(tmp_path: Path) -> None:
    for folder, count in (("Train/Tumor", 4), ("Train/Normal", 4), ("Test/tumor", 2), ("Test/normal", 2)):
        paint(tmp_path / "data" / folder, *map(str, range(count)))
    dataset, rows = gathered(tmp_path / "out", tmp_path / "data", "class_folders")
    assert dataset.classes == ["Normal", "Tumor"]
    assert rows["label"].value_counts().to_dict() == {"Tumor": 4, "Normal": 4, "tumor": 2, "normal": 2}
    assert rows["y_Tumor"].sum() == 6
    assert "classes: Normal = Normal or normal; Tumor = Tumor or tumor" in dataset.notes


def test_masks_beside_their_images_are_passed_over_unless_a_table_names_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in ("benign", "malignant"):
        paint(data / folder, "a (1)", "a (1)_mask", "a (1)_mask_1", "b_mask")
    dataset, rows = gathered(tmp_path / "out", data, "class_folders")
    assert rows["row_id"].tolist() == [
        f"{one}/{name}.png" for one in ("benign", "malignant") for name in ("a (1)", "b_mask")
    ]
    assert any(note.startswith("4 masks beside their images") for note in dataset.notes)
    (data / "t.csv").write_text("file,label\nbenign/a (1).png,0\nbenign/a (1)_mask.png,1\n")
    _, rows = gathered(tmp_path / "tabled", data, {"name": "table", "file": "t.csv"})
    assert len(rows) == 2


def test_the_patient_may_be_a_column_by_the_name_that_the_table_has(tmp_path: Path) -> None:
    """Columns whose role was recognised are called otherwise in the rows; a study names them as the table does."""
    data = tmp_path / "data"
    paint(data, *"0123")
    lines = ["file,finding,Patient ID,Hospital,index", *(f"{k}.png,{k % 2},P{k // 2},H{k},N{k % 2}" for k in range(4))]
    (data / "t.csv").write_text("\n".join(lines))
    for column, patients in (("Patient ID", ["P0", "P0", "P1", "P1"]), ("Hospital", ["H0", "H1", "H2", "H3"]),
                             ("index", ["N0", "N1", "N0", "N1"])):  # fmt: skip
        dataset, rows = gathered(tmp_path / column, data, "table", patient=column)
        assert rows["patient"].tolist() == patients
        assert dataset.patient_rule == f"column {column}"
    with pytest.raises(WrongRequest, match=r"no column.*Columns: Hospital, Patient ID, file, index$"):
        gathered(tmp_path / "none", data, "table", patient="Nobody")


def test_why_a_table_was_passed_over_is_told(tmp_path: Path) -> None:
    """A table that nobody could read left images without labels, and nothing was said of it."""
    data = tmp_path / "data"
    paint(data, *"0123")
    (data / "Fälle.csv").write_bytes("Datei;Diagnose\n0.png;Erguss möglich\n".encode("cp1252"))
    dataset, _ = gathered(tmp_path / "out", data, "auto")
    assert dataset.classes == [UNLABELLED]
    assert any("is not UTF-8: save it" in note for note in dataset.notes)
    paint(data / "a", *"4567")
    paint(data / "b", *"4567")
    (data / "Fälle.csv").write_text("file,label\n0.png,x\n1.png,y\n2.png,x\n")
    for k in range(4):
        (data / f"{k}.png").rename(data / "a" / f"{k}.png")
    dataset, _ = gathered(tmp_path / "out2", data, "auto")
    assert dataset.classes == ["a", "b"]
    assert "table: Fälle.csv names 3 of 12 images and was passed over" in dataset.notes


def test_links_to_themselves_and_in_a_ring_end_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("ill", "well"):
        paint(data / name, "1", "2")
    (data / "ill" / "self").symlink_to("self")
    (data / "ill" / "self.png").symlink_to("self.png")
    paint(data / "ill" / "one", "3")
    (data / "ill" / "one" / "two").symlink_to(data / "ill" / "three")
    (data / "ill" / "three").symlink_to(data / "ill" / "one")
    images = listing(data).images
    assert images == [
        *(f"ill/{name}.png" for name in ("1", "2", "self", "one/3", "three/3")),
        "well/1.png",
        "well/2.png",
    ]
    before = digest_of_files(data)
    paint(data / "ill" / "one", "4")
    assert digest_of_files(data) != before


def test_a_space_makes_no_second_class(tmp_path: Path) -> None:
    for name in ("ill", " ill", "very  well", "very well"):
        paint(tmp_path / "data" / name, "1", "2")
    paint(tmp_path / "data" / "ill", "3")
    paint(tmp_path / "data" / "very well", "3")
    dataset, rows = gathered(tmp_path / "out", tmp_path / "data", "class_folders")
    assert dataset.classes == ["ill", "very well"]
    assert rows["y_ill"].sum() == 5
