"""Every source reads what the phantom wrote in that tree: labels, patients, sites, splits as in its manifest."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import sha256_of_file
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.core.tables import Dataset, labels_of, read_dataset, read_table
from secondread.gather import run
from secondread.images.phantom import PhantomSpec, write_phantom

TREES = [
    ("cxr-binary", "folder", "class_folders"),
    ("cxr-binary", "kermany", "class_folders"),
    ("cxr-3class", "radiography", "class_folders"),
    ("cxr-multilabel", "folder", "table"),
    ("cxr-multilabel", "chexpert", "chexpert"),
    ("cxr-multilabel", "nih", "nih"),
    ("cxr-multilabel", "npz", "npz"),
    ("cxr-binary", "npz", "npz"),
    ("cxr-binary", "dicom", "dicom"),
    ("mri-binary", "dicom", "dicom"),
]


def gathered(out: Path, data: Path, source: Any, **options: Any) -> tuple[Dataset, pd.DataFrame]:
    study = parse_study({"study": "s", "gather": {"source": source, **options}})
    where = StudyDir(out, data)
    run.run(study, where)
    assert [unit.state() for unit in run.units(study, where)] == ["done"]
    return read_dataset(where.dataset), read_table(where.rows)


def manifest(data: Path) -> pd.DataFrame:
    told = json.loads((data.with_name(data.name + "_truth") / "phantom.json").read_text())
    return pd.DataFrame(told["rows"])


@pytest.fixture(scope="module", params=TREES, ids=[f"{tree}-{preset}" for preset, tree, _ in TREES])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str, str]:
    preset, form, source = request.param
    folder: Path = tmp_path_factory.mktemp("tree") / "data"
    write_phantom(PhantomSpec(preset, n=40, seed=5, size=32), folder, form, workers=1)
    return folder, preset, form, source


@pytest.mark.parametrize("by", ["auto", "named"])
def test_a_tree_is_read_as_it_was_written(tree: tuple[Path, str, str, str], by: str, tmp_path: Path) -> None:
    folder, preset, form, source = tree
    dataset, rows = gathered(tmp_path, folder, source if by == "named" else "auto")
    truth = manifest(folder)
    assert len(rows) == len(truth)
    if form == "npz":
        truth = pd.concat([truth[truth["split"] == split] for split in ("train", "val", "test")], ignore_index=True)
    else:
        truth = truth.set_index("file").loc[rows["row_id"]].reset_index()
        assert rows["content_id"].tolist() == [sha256_of_file(folder / path) for path in rows["path"]]
        by_patient = pd.crosstab(rows["patient"], truth["patient"].to_numpy())
        assert ((by_patient > 0).sum(axis=1) == 1).all()
        if form != "radiography":
            assert rows["patient"].nunique() == truth["patient"].nunique()
    if form in ("kermany", "chexpert", "nih", "npz"):
        assert rows["split_given"].notna().all()
    if form == "dicom":
        assert rows["site"].str[-1].tolist() == truth["site"].tolist()
        assert dataset.patient_rule.startswith("DICOM")
    assert_labels(dataset, rows, truth, preset, form)


def assert_labels(dataset: Dataset, rows: pd.DataFrame, truth: pd.DataFrame, preset: str, form: str) -> None:
    labels = labels_of(rows, dataset.classes)
    if preset != "cxr-multilabel":
        assert dataset.task == ("multiclass" if preset == "cxr-3class" else "binary")
        if form == "npz":
            return
        found = np.array(dataset.classes)[labels.argmax(axis=1)].tolist()
        assert found == [next(name for name, value in told.items() if value == 1) for told in truth["labels"]]
        assert dataset.classes[0].lower() in ("normal", "no")
        return
    assert dataset.task == "multilabel"
    if form == "folder":
        expected = np.array(
            [[np.nan if told[c] is None else told[c] for c in dataset.classes] for told in truth["labels"]]
        )
        np.testing.assert_array_equal(labels, expected.astype(np.float32))
    if form == "chexpert":
        assert len(dataset.classes) == 14
        train = (rows["split_given"] == "train").to_numpy()
        raw = rows.loc[train, "x_raw_Edema"].to_numpy()
        expected = np.array([np.nan if told["Edema"] is None else told["Edema"] for told in truth["labels"][train]])
        np.testing.assert_array_equal(raw, expected)
        assert not np.isnan(labels).any()
        assert (labels == -1).any()


def test_no_finding_is_a_row_without_labels(tmp_path: Path) -> None:
    folder = tmp_path / "nih"
    write_phantom(PhantomSpec("cxr-multilabel", n=30, seed=2, size=32), folder, "nih", workers=1)
    dataset, rows = gathered(tmp_path / "out", folder, "nih")
    none = (rows["label"] == "No Finding").to_numpy()
    assert none.any()
    assert labels_of(rows, dataset.classes)[none].max() == 0
    assert "No Finding" not in dataset.classes


def images(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), number % 250, np.uint8)).save(path)


def test_table_columns_are_inferred_echoed_and_overridden(tmp_path: Path) -> None:
    data = tmp_path / "data"
    images(data, [f"img/{k:02}.png" for k in range(6)])
    content = pd.DataFrame(
        {"Image Path": [f"C:\\old\\img\\{k:02}.png" for k in range(6)], "Diagnosis": ["flu", "well"] * 3,
         "Patient-ID": [1, 1, 2, 2, 3, 3], "Gender": list("FMFMFM"), "Age": ["054Y", "6M", "7", None, "x", "80"],
         "Subset": ["Training", "Training", "test", "test", "val", "val"], "weight": range(6), "truth2": list("aabbaa")}
    )  # fmt: skip
    for suffix, write in (("csv", content.to_csv), ("parquet", content.to_parquet), ("xlsx", content.to_excel)):
        write(data / f"table.{suffix}", index=False)
        dataset, rows = gathered(tmp_path / suffix, data, {"name": "table", "file": f"table.{suffix}"})
        assert any("patient = Patient-ID" in note and "label = Diagnosis" in note for note in dataset.notes)
        assert rows["split_given"].tolist() == ["train", "train", "test", "test", "val", "val"]
        assert rows["sex"].tolist() == list("FMFMFM")
        np.testing.assert_allclose(rows["age"], [54, 0.5, 7, np.nan, np.nan, 80])
        assert rows["x_weight"].tolist() == list(range(6))
        assert sorted(dataset.classes) == ["flu", "well"]
        (data / f"table.{suffix}").unlink()
    content.to_csv(data / "table.csv", index=False, sep=";")
    other, rows = gathered(tmp_path / "other", data, {"name": "table", "label": "truth2", "patient": "weight"})
    assert other.classes == ["a", "b"]
    assert rows["patient"].nunique() == 6
    with pytest.raises(WrongRequest, match=r"nothing.*Columns"):
        gathered(tmp_path / "wrong", data, {"name": "table", "label": "nothing"})


def test_tables_of_flags_and_of_separated_labels(tmp_path: Path) -> None:
    data = tmp_path / "data"
    images(data, [f"{k}.png" for k in range(4)])
    names = [f"{k}.png" for k in range(4)]
    pd.DataFrame({"file": names, "Edema": [1, 0, -1, None], "Mass": [1, 1, 0, 0]}).to_csv(data / "t.csv", index=False)
    dataset, rows = gathered(tmp_path / "flags", data, "table")
    assert dataset.task == "multilabel"
    np.testing.assert_array_equal(labels_of(rows, ["Edema"])[:, 0], [1, 0, -1, np.nan])
    pd.DataFrame({"file": names, "label": ["A|B", "B", "No Finding", "A"]}).to_csv(data / "t.csv", index=False)
    dataset, rows = gathered(tmp_path / "separated", data, "table")
    np.testing.assert_array_equal(labels_of(rows, ["A", "B"]), [[1, 1], [0, 1], [0, 0], [1, 0]])
    pd.DataFrame({"file": names, "x": [1, 0, 0, 0], "y_": [0, 1, 1, 1]}).to_csv(data / "t.csv", index=False)
    assert gathered(tmp_path / "onehot", data, "table")[0].task == "binary"


def test_several_rows_per_image_are_found_and_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    images(data, ["1.2.8.png", "1.2.9.png"])
    content = pd.DataFrame({"id": ["1.2.8"] * 4 + ["1.2.9"] * 4 + ["1.2.9.4"], "label": list("abcabbbba")})
    content.to_csv(data / "t.csv", index=False)
    dataset, rows = gathered(tmp_path / "out", data, {"name": "table", "path": "id"})
    assert rows["label"].tolist() == ["a", "b"]
    assert any("1 images have rows with different labels" in note for note in dataset.notes)
    assert any("1 rows of the table name files that are not there (first: 1.2.9.4)" in note for note in dataset.notes)


def test_words_among_numbers_are_kept_and_unknown_splits_refused(tmp_path: Path) -> None:
    data, names = tmp_path / "data", ["0.png", "1.png"]
    images(data, names)
    content = pd.DataFrame({"file": names, "label": ["a", "b"], "note": [1, "x"], "set": ["train", "holdout"]})
    content.to_excel(data / "t.xlsx", index=False)
    assert gathered(tmp_path / "out", data, "table")[1]["x_note"].tolist() == ["1", "x"]
    with pytest.raises(WrongRequest, match="holdout"):
        gathered(tmp_path / "split", data, {"name": "table", "split": "set"})


def test_coordinates_and_measures_are_no_labels(tmp_path: Path) -> None:
    data, names = tmp_path / "data", [f"{k}.png" for k in range(4)]
    images(data, names)
    boxes = pd.DataFrame({"patientId": range(4), "x": [None, 3, None, 9], "y": [None, 152, None, 99],
                          "Target": [0, 1, 0, 1]})  # fmt: skip
    boxes.to_csv(data / "t.csv", index=False)
    dataset, rows = gathered(tmp_path / "boxes", data, "table")
    assert (dataset.classes, len(rows)) == (["0", "1"], 4)
    pd.DataFrame({"file": names, "target": [0.5, 1.25, 3, 4]}).to_csv(data / "t.csv", index=False)
    with pytest.raises(BadData, match="looks like a label"):
        gathered(tmp_path / "measures", data, "table")


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_none_is_a_class_and_no_patient(tmp_path: Path, suffix: str) -> None:
    data, names = tmp_path / "data", [f"{k}.png" for k in range(4)]
    images(data, names)
    content = pd.DataFrame({"file": names, "tumour": ["None", "glioma", "None", "glioma"],
                            "patient": ["a", "None", "None", "b"], "dose": ["None", 1, 2, 3]})  # fmt: skip
    (content.to_csv if suffix == "csv" else content.to_excel)(data / f"t.{suffix}", index=False)
    dataset, rows = gathered(tmp_path / "out", data, {"name": "table", "label": "tumour"})
    assert dataset.classes == ["None", "glioma"]
    assert rows["label"].tolist() == content["tumour"].tolist()
    assert rows["patient"].isna().tolist() == [False, True, True, False]
    assert rows["x_dose"].tolist()[1:] == [1, 2, 3]


@pytest.mark.parametrize("told", [["yes", "no"], [2, 0]])
def test_label_columns_hold_nothing_but_flags(tmp_path: Path, told: list[Any]) -> None:
    data = tmp_path / "data"
    images(data, ["0.png", "1.png"])
    pd.DataFrame({"file": ["0.png", "1.png"], "A": told, "B": [0, 1]}).to_csv(data / "t.csv", index=False)
    with pytest.raises(WrongRequest, match=f"A holds '{told[0]}'"):
        gathered(tmp_path / "out", data, {"name": "table", "label": ["A", "B"]})
    np.savez(data / "t.npz", images=np.zeros((2, 8, 8), np.uint8), labels=np.array([[0, 1], [3, 0]]))
    with pytest.raises(BadData, match="there is 3"):
        gathered(tmp_path / "npz", data, "npz")


def test_rows_without_files_and_files_without_rows_are_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    images(data, ["a.png", "b.png", "c.png"])
    pd.DataFrame({"file": ["a.png", "b.png", "lost.png", "a.png"], "label": list("pqpq")}).to_csv(data / "t.csv")
    dataset, rows = gathered(tmp_path / "out", data, "table")
    assert rows["row_id"].tolist() == ["a.png", "b.png"]
    told = " ".join(dataset.notes)
    assert "lost.png" in told
    assert "1 images are in no row" in told
    assert "earlier row" in told


def test_folders_of_masks_splits_and_images_are_understood(tmp_path: Path) -> None:
    data = tmp_path / "data"
    images(data, ["set/train/COVID/images/1.png", "set/train/COVID/masks/1.png", "set/test/Normal/images/2.png",
                  "set/test/COVID/images/3.png", "set/train/Normal/images/4.png", "set/.hidden/x.png"])  # fmt: skip
    (data / "set" / "readme.txt").write_text("words")
    dataset, rows = gathered(tmp_path / "out", data, "class_folders")
    assert rows["label"].tolist() == ["COVID", "Normal", "COVID", "Normal"]
    assert rows["split_given"].tolist() == ["test", "test", "train", "train"]
    assert dataset.classes == ["Normal", "COVID"]
    assert any("masks" in note for note in dataset.notes)


def test_what_cannot_be_gathered_is_said(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadData, match="no image"):
        gathered(tmp_path / "a", empty, "class_folders")
    images(tmp_path / "one", ["only/1.png", "only/2.png"])
    with pytest.raises(BadData, match="two"):
        gathered(tmp_path / "b", tmp_path / "one", "class_folders")
    with pytest.raises(BadData, match="CheXpert"):
        gathered(tmp_path / "c", empty, "chexpert")
    with pytest.raises(BadData, match="NIH"):
        gathered(tmp_path / "d", empty, "nih")
    os.rename(tmp_path / "one" / "only" / "1.png", os.fsencode(tmp_path / "one" / "only") + b"/gr\xf6sse.png")
    with pytest.raises(BadData, match="not UTF-8"):
        gathered(tmp_path / "f", tmp_path / "one", "auto")
    study = parse_study({"study": "s", "gather": {"source": {"name": "class_folders", "root": ["x", "y"]}}})
    with pytest.raises(BadData, match="x nor y"):
        run.run(study, StudyDir(tmp_path / "e", empty))
    with pytest.raises(WrongRequest, match="--data"):
        run.run(study, StudyDir(tmp_path / "e"))


def test_a_class_called_as_a_mean_of_scores_is_refused_before_training(tmp_path: Path) -> None:
    images(tmp_path / "data", [f"{c}/{k}.png" for c in ("macro", "normal") for k in range(3)])
    with pytest.raises(BadData, match=r"'macro'.*gather.labels"):
        gathered(tmp_path / "a", tmp_path / "data", "class_folders")
    dataset, _ = gathered(tmp_path / "b", tmp_path / "data", "class_folders", labels={"Large": "macro"})
    assert dataset.classes == ["normal", "Large"]


def test_a_phantom_source_needs_no_data(tmp_path: Path) -> None:
    study = parse_study(
        {"study": "s", "gather": {"source": {"name": "phantom", "n": 12, "size": 32, "format": "dicom"}}}
    )
    where = StudyDir(tmp_path / "out")
    run.run(study, where)
    assert len(read_table(where.rows)) == 12
    assert [unit.state() for unit in run.units(study, where)] == ["done"]


def test_an_external_set_takes_the_classes_of_the_study(tmp_path: Path) -> None:
    images(tmp_path / "own", [f"{c}/{k}.png" for c in ("well", "ill") for k in range(4)])
    images(tmp_path / "other", [f"{c}/{k}.png" for c in ("ill", "well") for k in range(2)])
    external = {"name": "far", "source": {"name": "class_folders", "root": "other"}}
    study = parse_study({"study": "s", "gather": {"source": {"name": "class_folders", "root": "own"}, "positive": "ill",
                                                  "external": [external]}})  # fmt: skip
    where = StudyDir(tmp_path / "out", tmp_path)
    run.run(study, where)
    rows = read_table(where.external_rows("far"))
    assert labels_of(rows, ["well", "ill"])[:, 1].tolist() == [1, 1, 0, 0]
    assert Path(read_dataset(where.external_rows("far").with_suffix(".json")).root).name == "other"
