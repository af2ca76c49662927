from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Gather
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.gather.class_folders import from_listing
from secondread.gather.files import Listing, listing
from secondread.gather.found import Found, many_classes_per_row, one_class_per_row
from secondread.gather.labels import Labelled, labelled
from secondread.gather.patients import recognised
from secondread.gather.run import gathered


def exclusive(*labels: str) -> Found:
    rows = pd.DataFrame({"row_id": [str(k) for k in range(len(labels))], "path": "p", "index": -1, "label": labels})
    return one_class_per_row(Path(), rows)


def several(*labels: str) -> Found:
    rows = pd.DataFrame({"row_id": [str(k) for k in range(len(labels))], "path": "p", "index": -1, "label": labels})
    return many_classes_per_row(Path(), rows, [set(one.split("|")) - {""} for one in labels])


def made(found: Found, **gather: object) -> Labelled:
    return labelled(found, Gather.model_validate(gather))


def names_of(result: Labelled) -> list[str]:
    return [result.classes[k] for k in result.values.argmax(axis=1)]


def test_two_classes_are_negative_then_positive() -> None:
    for labels in (("tumour", "no tumour"), ("PNEUMONIA", "NORMAL"), ("yes", "no"), ("1", "0"), ("sick", "Healthy")):
        result = made(exclusive(*labels))
        assert result.task == "binary"
        assert result.classes == [labels[1], labels[0]]
        assert names_of(result) == list(labels)
    assert made(exclusive("a", "b"), positive="a").classes == ["b", "a"]
    with pytest.raises(WrongRequest, match="positive"):
        made(exclusive("a", "b"), positive="c")
    for more in (exclusive("a", "b", "c"), several("a|b", "b")):
        with pytest.raises(WrongRequest, match="the task is multi"):
            made(more, positive="a")


def test_classes_are_merged_renamed_and_left_out() -> None:
    found = exclusive("Covid-19", "Pneumonia", "No_findings", "Other")
    merged = made(found, labels={"Infected": ["Covid-19", "Pneumonia"], "Normal": "No_findings", "Other": []})
    assert merged.task == "binary"
    assert merged.classes == ["Normal", "Infected"]
    assert names_of(merged) == ["Infected", "Infected", "Normal"]
    assert any("left out" in note for note in merged.found.notes)
    assert made(found, labels={"Rest": "Other"}).classes == ["No_findings", "Covid-19", "Pneumonia", "Rest"]


def test_a_hierarchy_becomes_multilabel() -> None:
    found = exclusive("Covid-19", "Pneumonia", "No_findings")
    labels = {
        "Infected": ["Covid-19", "Pneumonia"],
        "Covid-19": "Covid-19",
        "Pneumonia": "Pneumonia",
        "No_findings": [],
    }
    result = made(found, labels=labels)
    assert result.task == "multilabel"
    assert result.classes == ["Infected", "Covid-19", "Pneumonia"]
    np.testing.assert_array_equal(result.values, [[1, 1, 0], [1, 0, 1], [0, 0, 0]])


def test_merging_keeps_doubt_unless_something_is_sure() -> None:
    found = several("A", "A|B", "B", "")
    values = np.array([[-1, 0], [np.nan, np.nan], [1, -1], [0, np.nan]], np.float32)
    result = made(
        Found(found.root, found.rows, ["A", "B"], values, False), labels={"Both": ["A", "B"]}, task="multilabel"
    )
    np.testing.assert_array_equal(result.values[:, 0], [-1, np.nan, 1, 0])


def test_one_label_alone_is_binary() -> None:
    result = made(several("A", "", "A|B"), labels={"B": []})
    assert result.task == "binary"
    assert result.classes == ["no A", "A"]
    assert names_of(result) == ["A", "no A", "A"]


def test_a_class_that_is_not_there_is_refused_unless_another_is() -> None:
    found = exclusive("COVID", "Normal")
    assert "Covid" in made(found, labels={"Covid": ["Covid-19", "COVID"]}).classes
    with pytest.raises(WrongRequest, match="Found: COVID, Normal"):
        made(found, labels={"Covid": ["Covid-19"]})


def test_a_new_class_does_not_swallow_one_of_its_name() -> None:
    found = exclusive("Covid", "Pneumonia", "Normal")
    with pytest.raises(WrongRequest, match=r"Pneumonia: \[Pneumonia, Covid\]"):
        made(found, labels={"Pneumonia": ["Covid"]})
    assert len(made(found, labels={"Pneumonia": ["Pneumonia", "Covid"]}).found.rows) == 3
    assert names_of(made(found, labels={"Covid": "Pneumonia", "Pneumonia": "Covid"})) == [
        "Pneumonia",
        "Covid",
        "Normal",
    ]


def test_a_study_inside_its_data_is_not_gathered(tmp_path: Path) -> None:
    for name in ("ill/1.png", "well/2.png", "runs/s/evaluate/figures/roc.png", "runs/s/gather/dataset.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "runs" / "s" / "study.yaml").touch()
    assert listing(tmp_path).images == ["ill/1.png", "well/2.png"]


def test_a_text_for_what_is_no_class_is_told(tmp_path: Path) -> None:
    for name in ("Ill/1.png", "Well/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    texts = {"Ill": {"text": "See a doctor."}, "well": {"text": "Go home."}}
    study = parse_study({"study": "s", "gather": {"source": {"name": "class_folders", "root": "."}, "classes": texts}})
    notes = gathered(study, StudyDir(tmp_path / "out", tmp_path), study.gather.source).dataset.notes
    assert "gather.classes names what is no class here: well" in notes


def test_a_misspelt_class_is_told() -> None:
    found = exclusive("Covid", "Pneumonia", "Normal")
    notes = made(found, labels={"Infected": ["Covid", "Pneumonai"], "Nomral": []}).found.notes
    assert notes == ["classes: Infected = Covid", "gather.labels names what is no class here: Nomral, Pneumonai"]


def test_tasks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WrongRequest, match="merge"):
        made(exclusive("a", "b", "c"), task="binary")
    with pytest.raises(WrongRequest, match="several labels or none"):
        made(several("a", "a|b", "c"), task="multiclass")
    with pytest.raises(BadData, match="two"):
        made(exclusive("a", "a"))


def paths(*names: str) -> Found:
    rows = pd.DataFrame({"row_id": names, "path": names, "index": -1, "label": "x"})
    return one_class_per_row(Path(), rows)


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["train/P/person12_bacteria_3.jpeg", "val/P/person12_virus_90.jpeg", "person2_virus_1.jpeg"],
         ["person12", "person12", "person2"]),
        (["IM-0115-0001.jpeg", "NORMAL2-IM-0115-0001.jpeg", "N/IM-0115-0001-0002.jpeg"],
         ["IM-0115", "NORMAL2-IM-0115", "IM-0115"]),
        (["images/00000061_012.png", "00000061_015.jpg", "00000062_000.jpg"], ["00000061", "00000061", "00000062"]),
        (["train/patient00001/study1/view1_frontal.jpg", "train/patient00001/study2/view1_frontal.jpg"],
         ["patient00001", "patient00001"]),
        (["A/IM-0001-0001.dcm", "A/IM-0001-0002.dcm", "B/IM-0001-0001.dcm"], [None, None, None]),  # OsiriX
        (["20200315_001.png", "20200315_002.png"], [None, None]),
        (["patient00001_visit01.png", "a/patient00002_visit01.png"], ["patient00001", "patient00002"]),
        (["sub-01/T1.png", "sub-02/T1.png"], [None, None]),
        (["Y1.jpg", "1 no.jpeg"], [None, None]),
    ],
)  # fmt: skip
def test_known_file_names_name_the_patient(names: list[str], patients: list[str | None]) -> None:
    named, rule, _ = recognised(paths(*names), "auto")
    if names[0].startswith("sub-"):
        patients = ["subject01", "subject02"]
    assert [None if pd.isna(one) else one for one in named] == patients
    assert bool(rule) == (patients[0] is not None)


def test_numbers_of_an_export_are_told_to_be_no_patients() -> None:
    notes = recognised(paths("NORMAL/P1/IM-0001-0002.jpg", "ILL/P2/IM-0001-0001.jpg"), "auto")[2]
    assert any("IM-0001-0002.jpg count series and images" in note for note in notes)
    assert len(recognised(paths("A/1.png", "B/2.png"), "auto")[2]) == 1
    assert recognised(paths("NORMAL/P1/IM-0001-0002.jpg"), "^[^/]+/([^/]+)/")[0].tolist() == ["P1"]  # as the hint says


def test_patients_by_expression_column_or_not_at_all() -> None:
    found = paths("a_1.png", "b_1.png")
    assert recognised(found, r"^(\w)_")[0].tolist() == ["a", "b"]
    assert recognised(found, "none")[0].isna().all()
    with pytest.raises(WrongRequest, match="no group"):
        recognised(found, "nothing")
    with pytest.raises(WrongRequest, match="fits no file name"):
        recognised(found, r"(\d{9})")
    with pytest.raises(WrongRequest, match="neither"):
        recognised(found, "(")
    nested = paths("2024_01/x/17_a.png", "2024_01/x/18_a.png")
    assert recognised(nested, r"^(\d+)_a")[0].tolist() == ["17", "18"]  # `^` of the file's name
    assert recognised(nested, r"^(\d+)_")[0].tolist() == ["2024", "2024"]  # a path that fits goes first
    found.rows["x_who"] = ["m", "n"]
    assert recognised(found, "who")[0].tolist() == ["m", "n"]


def test_an_image_that_lies_in_no_class_is_named() -> None:
    there = Listing(Path("data"), ["a/1.png", "b/2.png", "train/cover.png"])
    with pytest.raises(BadData, match=r"train/cover\.png lies in none"):
        from_listing(there)
