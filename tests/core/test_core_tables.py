"""Tables: columns, bytes, labels; and the leak guard on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.core.errors import BadData, Leak
from secondread.core.leakage import forbid_overlap, read_contents, write_contents
from secondread.core.tables import SPLIT_COLUMNS, known_labels, labels_of, read_table, with_columns, write_table


def split_table() -> pd.DataFrame:
    return pd.DataFrame(
        {"row_id": ["a", "b"], "split": ["train", None], "repeat": [0, 0], "fold": [1, 0], "extra": [1.5, 2.5]}
    )


def test_a_table_comes_back_as_it_went(tmp_path: Path) -> None:
    write_table(split_table(), tmp_path / "t.parquet", SPLIT_COLUMNS)
    back = read_table(tmp_path / "t.parquet")
    assert list(back.columns) == ["repeat", "fold", "row_id", "split", "extra"]
    assert list(back["row_id"]) == ["a", "b"]
    assert back["split"].isna().tolist() == [False, True]
    assert back["fold"].dtype == np.int64


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    write_table(split_table(), tmp_path / "a.parquet", SPLIT_COLUMNS)
    write_table(split_table().iloc[:, ::-1], tmp_path / "b.parquet", SPLIT_COLUMNS)
    write_table(split_table().set_axis([5, 9]), tmp_path / "c.parquet", SPLIT_COLUMNS)
    first = (tmp_path / "a.parquet").read_bytes()
    assert first == (tmp_path / "b.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


def test_a_missing_column_and_a_broken_file_are_bad_data(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="'split' is missing"):
        write_table(split_table().drop(columns="split"), tmp_path / "t.parquet", SPLIT_COLUMNS)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(BadData, match=r"broken\.parquet cannot be read"):
        read_table(tmp_path / "broken.parquet")


def test_labels_go_to_columns_and_back() -> None:
    labels = np.array([[1, 0], [-1, np.nan]], np.float32)
    table = with_columns(pd.DataFrame({"row_id": ["a", "b"]}, index=[3, 4]), ["x", "y"], labels, "y_")
    np.testing.assert_array_equal(labels_of(table, ["x", "y"]), labels)
    np.testing.assert_array_equal(known_labels(labels), [[1, 0], [np.nan, np.nan]])


ROWS = pd.DataFrame({"row_id": list("abcd"), "content_id": list("ABCD"), "group": ["p", "p", "q", "r"]})


def test_a_held_out_row_its_duplicate_or_its_patient_is_a_leak(tmp_path: Path) -> None:
    write_contents(tmp_path / "contents.json", ["A", "A", "D"])
    fitted_on = read_contents(tmp_path / "contents.json")
    assert fitted_on == {"A", "D"}
    forbid_overlap(fitted_on, ROWS.iloc[[2]], ROWS, "the GAN")
    with pytest.raises(Leak, match="the GAN was fitted on 1 of the rows"):
        forbid_overlap(fitted_on, ROWS.iloc[[3]], ROWS, "the GAN")
    with pytest.raises(Leak, match="relatives of 1 more"):
        forbid_overlap(fitted_on, ROWS.iloc[[1]], ROWS, "the GAN")
    with pytest.raises(Leak):  # another study's copy of the same image has another row id, but the same content
        forbid_overlap(fitted_on, pd.DataFrame({"row_id": ["z"], "content_id": ["A"], "group": ["z"]}), ROWS, "it")
