"""Tables as programs write them, and as they name files on other systems."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.core.errors import BadData
from secondread.core.spec import Gather
from secondread.gather.finder import FileFinder
from secondread.gather.found import Found
from secondread.gather.table import table
from secondread.gather.table_files import read_table_file

SIX = [f"{k}.png" for k in range(6)]
COMMAS = [["file", "label", "age"], *([name, "ab"[k % 2], f"4{k},5"] for k, name in enumerate(SIX))]
WHOLE = [["file", "label", "age"], *([name, "ab"[k % 2], f"4{k}"] for k, name in enumerate(SIX))]


def folder(root: Path, files: list[str] = SIX) -> Path:
    for name in files:
        (root / name).write_bytes(b"")
    return root


def read(root: Path, *columns: str, files: list[str] = SIX) -> Found:
    """Rows of a table with the column `file` and those given, each as its name and its cells."""
    cells = {column.split()[0]: column.split()[1:] for column in columns}
    pd.DataFrame({"file": files, **cells}).to_csv(folder(root, files) / "t.csv", index=False)
    return table(root, Gather())


@pytest.mark.parametrize(
    ("name", "separator", "encoding", "before", "cells"),
    [
        ("t.csv", ",", "utf-8", "", WHOLE),
        ("t.csv", "|", "utf-8", "", COMMAS),
        ("t.csv", ";", "utf-8-sig", "", COMMAS),
        ("t.csv", ";", "utf-8", "sep=;\r\n", COMMAS),
        ("t.csv", ";", "utf-16", "sep=;\n", COMMAS),
        ("t.csv", "\t", "utf-16", "", COMMAS),
        ("t.tsv", "\t", "utf-16-le", "", WHOLE),
        ("t.csv", ",", "utf-16-be", "", WHOLE),
    ],
)
def test_whatever_separates_and_encodes(
    tmp_path: Path, name: str, separator: str, encoding: str, before: str, cells: list[list[str]]
) -> None:
    text = before + "\n".join(separator.join(line) for line in cells)
    (folder(tmp_path) / name).write_bytes(text.encode(encoding))
    rows = table(tmp_path, Gather()).rows
    assert rows["label"].tolist() == list("ababab")
    assert rows["age"].tolist() == [40 + k + (0.5 if cells is COMMAS else 0) for k in range(6)]


def test_bars_in_the_name_of_a_column_separate_no_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label (a|b|c)\n0.png,a|b\n1.png,c\n")
    assert read_table_file(tmp_path / "t.csv").columns.tolist() == ["file", "label (a|b|c)"]


def test_decimal_commas_are_numbers_of_whole_columns_only(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("dose;codes;flag;plain\n1,5;1,2;1,0;1.5\n-2;3,x;0,0;2\n;4;;3\n")
    found = read_table_file(tmp_path / "t.csv")
    np.testing.assert_array_equal(found["dose"], [1.5, -2.0, np.nan])
    np.testing.assert_array_equal(found["flag"], [1.0, 0.0, np.nan])
    assert found["codes"].tolist() == ["1,2", "3,x", "4"]
    assert found["plain"].tolist() == [1.5, 2.0, 3.0]
    (tmp_path / "t.csv").write_text('dose,n\n"1,5",1\n"2,5",2\n')
    assert read_table_file(tmp_path / "t.csv")["dose"].tolist() == ["1,5", "2,5"]  # here a comma may mean thousands


def test_what_is_no_unicode_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("file,label\n0.png,Übel\n".encode("latin-1"))
    with pytest.raises(BadData, match="not UTF-8"):
        read_table_file(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes("file,label".encode("utf-16") + b"\x00")
    with pytest.raises(BadData, match=r"t\.csv"):
        read_table_file(tmp_path / "t.csv")


def test_lists_and_the_index_of_a_parquet_table_are_read(tmp_path: Path) -> None:
    lists = [["a", "b"], ["a"], [], ["b"], ["a"], ["b"]]
    frame = pd.DataFrame({"label": lists}, index=pd.Index(SIX, name="file"))
    frame.to_parquet(folder(tmp_path) / "t.parquet")
    found = table(tmp_path, Gather())
    assert found.classes == ["a", "b"]
    assert found.values.tolist() == [[float(name in told) for name in "ab"] for told in lists]


def test_a_workbook_whose_first_sheet_names_nothing_is_told(tmp_path: Path) -> None:
    with pd.ExcelWriter(folder(tmp_path) / "t.xlsx") as book:
        pd.DataFrame({"about": ["us", "them"]}).to_excel(book, sheet_name="readme", index=False)
        pd.DataFrame({"file": SIX, "label": list("ababab")}).to_excel(book, sheet_name="data")
    with pytest.raises(BadData, match="the first sheet is read"):
        table(tmp_path, Gather())


def test_capitals_and_codings_of_accents_do_not_hide_a_file() -> None:
    decomposed = unicodedata.normalize("NFD", "B/é1.png")
    finder = FileFinder(["A/IM1.PNG", decomposed, "C/xy.png", "C/XY.png"], "")
    assert finder.find_all(["a/im1.png", "B/é1.png", "é1", "C/xy.png"]) == ["A/IM1.PNG", None, None, "C/xy.png"]
    assert finder.find_all(["IM1", "B/é1.png", "c/Xy.png"]) == ["A/IM1.PNG", decomposed, None]  # of twins neither
    assert FileFinder(["img_1.png"], "").find_all(["IMG_1", "img_1"]) == [None, "img_1.png"]  # the exact one goes first
    assert finder.find_all(["a/im1.png", "A/IM1.PNG"]) == [None, "A/IM1.PNG"]


def test_what_might_have_been_meant_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, "effusion yes no yes no yes no", "nodule no no yes yes no no",
                 "split train train train train holdout holdout")  # fmt: skip
    told = " ".join(found.notes)
    assert "passed over: nodule" in told
    assert "says 'holdout'" in told
    found = read(tmp_path, "label a,b a b,c a a,b c", "part chest chest chest knee knee knee")
    told = " ".join(found.notes)
    assert "'a,b' counts as one class" in told
    assert "passed over" not in told
    assert "taken for a split" not in told
    assert not any("counts as one" in note for note in read(tmp_path, "label a,x a b,c d e,f g").notes[3:])
