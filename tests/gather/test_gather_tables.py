"""Tables as people keep them: padded numbers, spaces, gaps, files that are missing, text beside labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Gather
from secondread.gather.finder import FileFinder
from secondread.gather.found import Found
from secondread.gather.labels import labelled
from secondread.gather.nih import nih
from secondread.gather.patients import recognised
from secondread.gather.table import table

SIX = [f"{k}.png" for k in range(6)]


def folder(root: Path, files: list[str], content: str, name: str = "t.csv") -> Path:
    """Files of these names (a table is read without looking into them) and a table beside them."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")
    (root / name).write_text(content)
    return root


def lines(head: str, *columns: list[str]) -> str:
    return "\n".join([head, *(",".join(row) for row in zip(*columns, strict=True)), ""])


def read(root: Path, files: list[str], head: str, *columns: list[str], **given: object) -> Found:
    return table(folder(root, files, lines(head, *columns)), Gather(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("gap", [False, True])
def test_numbers_with_zeros_in_front_name_files_and_patients(tmp_path: Path, gap: bool) -> None:
    names = [f"{k:04}" for k in range(1, 7)]
    patients = ["007", "7", "" if gap else "8", "12345678901234567", "12345678901234568", "010"]
    found = read(tmp_path, [f"images/{n}.png" for n in names], "id,label,patient", names, list("ababab"), patients)
    assert found.rows["row_id"].tolist() == [f"images/{name}.png" for name in names]
    assert found.rows["patient"].fillna("").tolist() == patients


def test_a_row_of_a_missing_file_is_not_given_its_namesake(tmp_path: Path) -> None:
    """The label of `A/1.png`, which is missing, would stand at `B/1.png`."""
    paths = ["A/1.png", "B/1.png", "B/2.png", "old/C/3.png", "4"]
    found = read(tmp_path, ["B/1.png", "B/2.png", "C/3.png", "D/4.png"], "path,label", paths, list("vwxyz"))
    told = dict(zip(found.rows["row_id"], found.rows["label"], strict=True))
    assert told == {"B/1.png": "w", "B/2.png": "x", "C/3.png": "y", "D/4.png": "z"}
    assert any("1 rows of the table name files that are not there (first: A/1.png)" in note for note in found.notes)


def test_of_two_paths_that_are_only_alike_neither_is_meant() -> None:
    finder = FileFinder(["C/1.png", "2.png"], "")
    assert finder.find_all(["A/1.png", "B/1.png", "A/2.png", "x/2.png"]) == [None] * 4
    assert finder.find_all(["A/1.png", "A/1.png", "A\\2.png", ""]) == ["C/1.png", "C/1.png", "2.png", None]


def test_files_named_by_identifiers_are_told_apart() -> None:
    finder = FileFinder(["a/1.2.3", "a/1.2.3.4", "a/1.2.3.5"], "")
    assert finder.find_all(["1.2.3", "1.2.3.4", "1.2.3.6"]) == ["a/1.2.3", "a/1.2.3.4", None]


def test_spaces_make_no_second_patient_and_hide_no_split(tmp_path: Path) -> None:
    patients, splits = ["P1", "P1 ", " P1", "P2", " ", ""], [" train", "train", "test ", "test", "val", ""]
    found = read(tmp_path, SIX, "file,patient,split,label", SIX, patients, splits, list("ababab"))
    assert found.rows["patient"].fillna("").tolist() == ["P1", "P1", "P1", "P2", "", ""]
    assert found.rows["split_given"].fillna("").tolist() == ["train", "train", "test", "test", "val", ""]
    named, _, _ = recognised(Found(Path(), found.rows.assign(x_who=patients), [], np.empty((6, 0)), True), "who")
    assert named.nunique() == 2


def test_whole_numbers_stay_whole_beside_a_gap(tmp_path: Path) -> None:
    patients, sexes = ["1", "1", "2", "2", "3", ""], ["0", "1", "0", "1", "", "0"]
    found = read(tmp_path, SIX, "file,patient,sex,label", SIX, patients, sexes, list("ababab"))
    assert found.rows["patient"].fillna("").tolist() == patients
    assert found.rows["sex"].fillna("").tolist() == sexes


def test_a_column_of_patients_that_names_nobody_is_refused(tmp_path: Path) -> None:
    found = read(tmp_path, SIX, "file,who,label", SIX, [""] * 6, list("ababab"))
    with pytest.raises(WrongRequest, match="who names nobody"):
        recognised(found, "who")


@pytest.mark.parametrize("label", [None, "Pneumonia", ["Pneumonia"]])
def test_uncertain_is_no_third_class_of_one_finding(tmp_path: Path, label: str | list[str] | None) -> None:
    flags = ["1", "0", "-1", "", "0", "1"]
    result = labelled(read(tmp_path, SIX, "file,Pneumonia", SIX, flags, label=label), Gather())
    assert result.classes == ["no Pneumonia", "Pneumonia"]
    assert result.found.rows["row_id"].tolist() == ["0.png", "1.png", "4.png", "5.png"]
    assert result.values[:, 1].tolist() == [1, 0, 0, 1]


def test_three_grades_in_a_column_of_labels_are_three_classes(tmp_path: Path) -> None:
    found = read(tmp_path, SIX, "file,label", SIX, ["1", "0", "-1"] * 2)
    assert found.classes == ["-1", "0", "1"]


def test_an_empty_cell_says_nothing_where_others_say_no_finding(tmp_path: Path) -> None:
    cells = ["A|B", "No Finding", "", "A", "B", ""]
    found = read(tmp_path / "said", SIX, "file,labels", SIX, cells)
    assert found.rows["row_id"].tolist() == ["0.png", "1.png", "3.png", "4.png"]
    assert any("2 rows of the table have no label" in note for note in found.notes)
    found = read(tmp_path / "empty", SIX, "file,labels", SIX, ["A|B", "", "", "A", "B", ""])
    assert found.values.sum(axis=1).tolist() == [2, 0, 0, 1, 1, 0]


def test_a_row_of_nihs_table_without_a_label_is_no_class(tmp_path: Path) -> None:
    names = [f"0000000{k}_000.png" for k in range(4)]
    content = lines(
        "Image Index,Finding Labels,Patient ID", names, ["No Finding", "", "Mass|Edema", "Mass"], list("1234")
    )
    found = nih(folder(tmp_path, names, content, "Data_Entry_2017.csv"), Gather())
    assert (found.classes, len(found.rows)) == (["Edema", "Mass"], 3)
    assert any("1 rows of the table have no label" in note for note in found.notes)


def test_reports_in_words_are_not_taken_for_labels(tmp_path: Path) -> None:
    words = [f"the lungs of number {k} are clear; no effusion {k}" for k in range(6)]
    found = read(tmp_path / "both", SIX, "file,findings,label", SIX, words, list("ababab"))
    assert found.classes == ["a", "b"]
    many = [f"{k}.png" for k in range(70)]
    with pytest.raises(BadData, match=r"findings holds 70 different values in 70 rows"):
        read(tmp_path / "one", many, "file,findings", many, [f"report {k}" for k in range(70)])


def test_a_table_that_is_a_broken_link_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.csv").symlink_to(tmp_path / "nowhere.csv")
    assert read(tmp_path, SIX, "file,label", SIX, list("ababab")).classes == ["a", "b"]
    with pytest.raises(BadData, match="holds no NIH table"):
        nih(tmp_path, Gather())
