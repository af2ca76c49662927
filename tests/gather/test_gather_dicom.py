"""DICOM trees as machines and discs leave them: long headers, an index, folders of patients, tags that are none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import MediaStorageDirectoryStorage

from secondread.core.errors import BadData, WrongRequest
from secondread.core.registry import resolve
from secondread.core.spec import Gather, ref
from secondread.core.tables import UNLABELLED
from secondread.gather.changes import digest_of_files
from secondread.gather.dicom import HEADER_BYTES, dicom
from secondread.gather.files import listing
from secondread.gather.patients import recognised
from secondread.gather.recognise import auto
from secondread.images.phantom import PhantomSpec, write_phantom


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One DICOM file to write others from."""
    folder = tmp_path_factory.mktemp("dicom") / "data"
    write_phantom(PhantomSpec("cxr-binary", n=12, size=32), folder, "dicom", workers=1)
    return next(path for path in sorted(folder.rglob("*")) if path.suffix == ".dcm")


def tree(source: Path, root: Path, patients: dict[str, str]) -> Path:
    """The file again at each of these places, as of that patient."""
    for place, patient in patients.items():
        dataset = pydicom.dcmread(source)
        dataset.PatientID = patient
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(root / place)
    return root


CLASSES = {"A/1.dcm": "P1", "A/2.dcm": "P1", "B/3.dcm": "P2", "B/4.dcm": "P3"}


def test_a_patient_behind_a_large_private_element_is_found(source: Path, tmp_path: Path) -> None:
    root = tree(source, tmp_path, CLASSES)
    dataset = pydicom.dcmread(root / "A/2.dcm")
    dataset.private_block(0x0009, "MAKER", create=True).add_new(1, "OB", bytes(HEADER_BYTES))
    dataset.save_as(root / "A/2.dcm")
    assert dicom(root, Gather()).rows["patient"].tolist() == ["P1", "P1", "P2", "P3"]


def test_a_tag_that_is_none_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    root = tree(source, tmp_path, CLASSES)
    assert dicom(root, Gather(), tag="PatientID").classes == ["P1", "P2", "P3"]
    for tag in ("BodyPart", "0010,0020", "00100020"):
        with pytest.raises(WrongRequest, match=f"'{tag}' is not a keyword"):
            dicom(root, Gather(), tag=tag)


def test_the_index_of_a_disc_is_no_image(source: Path, tmp_path: Path) -> None:
    root = tree(source, tmp_path, CLASSES)
    index = pydicom.dcmread(source)
    del index.PixelData
    index.file_meta.MediaStorageSOPClassUID = index.SOPClassUID = MediaStorageDirectoryStorage
    index.save_as(root / "DICOMDIR")
    assert listing(root).images == list(CLASSES)
    assert dicom(root, Gather()).classes == ["A", "B"]


def test_folders_of_patients_are_not_taken_for_classes(source: Path, tmp_path: Path) -> None:
    places = {f"PAT{patient}/series/{image}.dcm": f"P{patient}" for patient in range(3) for image in range(2)}
    root = tree(source, tmp_path, places)
    with pytest.raises(BadData, match="they are patients, not classes"):
        dicom(root, Gather())
    shutil.copy(root / "PAT0/series/0.dcm", root / "PAT1/series/2.dcm")
    assert len(dicom(root, Gather()).classes) == 3


def test_files_called_by_their_identifiers_are_found(source: Path, tmp_path: Path) -> None:
    """`1.2.840.4` has no ending, whatever follows its last dot."""
    places = {f"{folder}/1.2.840.{number}": f"P{number}" for folder, number in (("A", 3), ("A", 4), ("B", 5), ("B", 6))}
    root = tree(source, tmp_path, places)
    (root / "A" / "notes.1").write_text("no DICOM file")
    found = dicom(root, Gather())
    assert found.rows["row_id"].tolist() == list(places)
    assert found.rows["patient"].tolist() == list(places.values())
    before = digest_of_files(root)
    (root / "B" / "1.2.840.6").unlink()
    assert digest_of_files(root) != before


def test_files_called_by_their_uid_are_images(source: Path, tmp_path: Path) -> None:
    """What comes after the last point of a UID looks like a suffix: such exports held no image at all."""
    places = {f"{folder}/1.2.840.113619.2.{k}": f"P{folder}{k}" for folder in "AB" for k in range(3)}
    root = tree(source, tmp_path / "data", places)
    (root / "A" / "notes.1").write_text("no image")
    assert listing(root).images == list(places)
    assert dicom(root, Gather()).classes == ["A", "B"]
    before = digest_of_files(root)
    tree(source, root, {"A/1.2.840.113619.2.9": "P9"})
    assert digest_of_files(root) != before


def test_a_tree_without_labels_is_audited_and_not_learned_from(source: Path, tmp_path: Path) -> None:
    root = tree(source, tmp_path / "data", {f"PAT{k}/series/1": f"P{k}" for k in range(3)})
    (root / "list.csv").write_text("PatientID,diagnosis\nX0,ill\nX1,well\nX2,ill\n")
    found = auto(root, Gather())
    assert (found.classes, found.rows["patient"].tolist()) == ([UNLABELLED], ["P0", "P1", "P2"])
    assert any(note.startswith("no labels:") and "names the image files" in note for note in found.notes)
    with pytest.raises(BadData, match="no column of the table names the image files"):
        dicom(root, Gather())


def test_a_patient_column_that_is_asked_for_goes_before_the_header(source: Path, tmp_path: Path) -> None:
    root = tree(source, tmp_path / "data", CLASSES)
    lines = ["file,label,patient", *(f"{name},{name[0]},C{k % 2}" for k, name in enumerate(CLASSES))]
    (root / "t.csv").write_text("\n".join(lines))
    rows = recognised(auto(root, Gather()), "auto")[0]
    assert rows.tolist() == ["P1", "P1", "P2", "P3"]
    rows = recognised(auto(root, Gather(patient="patient")), "patient")[0]
    assert rows.tolist() == ["C0", "C1", "C0", "C1"]


def pacs(source: Path, root: Path) -> Path:
    """Three patients with an examination each of two images, called as an archive calls them."""
    for number in range(6):
        dataset = pydicom.dcmread(source)
        dataset.PatientID, dataset.AccessionNumber = f"{number // 2:04d}", f"A{number // 2}"
        dataset.StudyInstanceUID, dataset.SOPInstanceUID = f"1.2.{number // 2}", f"1.2.{number // 2}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        root.mkdir(exist_ok=True)
        dataset.save_as(root / f"IM{number}")
    return root


@pytest.mark.parametrize(
    ("column", "names", "identifier"),
    [
        ("exam", ["A0", "A1", "A2"], "AccessionNumber"),
        ("StudyInstanceUID", ["1.2.0", "1.2.1", "1.2.2"], "StudyInstanceUID"),
        ("patient", ["0000", "0001", "0002"], "PatientID"),
    ],
)
def test_a_table_may_name_examinations_or_patients(
    source: Path, tmp_path: Path, column: str, names: list[str], identifier: str
) -> None:
    root = pacs(source, tmp_path / "data")
    told = zip([*names, "unknown"], ("ill", "well", "ill", "well"), strict=True)
    (root / "list.csv").write_text("\n".join([f"{column},diagnosis", *(",".join(row) for row in told)]))
    found = auto(root, Gather())
    assert found.rows["row_id"].tolist() == [f"IM{number}" for number in range(6)]
    assert found.rows["label"].tolist() == ["ill", "ill", "well", "well", "ill", "ill"]
    assert found.rows["patient"].tolist() == ["0000", "0000", "0001", "0001", "0002", "0002"]
    assert any(f"the column {column} holds {identifier}:" in note for note in found.notes)


def test_a_table_of_images_goes_before_one_of_examinations_and_contradictions_are_refused(
    source: Path, tmp_path: Path
) -> None:
    root = pacs(source, tmp_path / "data")
    lines = [f"A{number // 2},1.2.{number // 2}.{number},{'ill' if number % 2 else 'well'}" for number in range(6)]
    (root / "list.csv").write_text("\n".join(["exam,object,diagnosis", *lines]))
    assert dicom(root, Gather()).rows["label"].tolist() == ["well", "ill"] * 3
    (root / "list.csv").write_text("\n".join(["exam,diagnosis", "A0,ill", "A0,ill", "A1,well", "A1,ill", "A2,well"]))
    with pytest.raises(BadData, match=r"differ for the same AccessionNumber \(first: A1\)"):
        dicom(root, Gather(), table="list.csv")
    (root / "list.csv").write_text("exam,diagnosis\nB0,ill\nB1,well\n")
    with pytest.raises(BadData, match="nor by what their headers hold"):
        dicom(root, Gather(), table="list.csv")


def marked(source: Path, root: Path, files: dict[str, dict[str, str]]) -> Path:
    """The file again at each of these places, with these elements."""
    for place, elements in files.items():
        dataset = pydicom.dcmread(source)
        for name, value in elements.items():
            setattr(dataset, name, value)
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(root / place)
    return root


CAPTURE = "1.2.840.10008.5.1.4.1.1.7.2"
MIXED = {
    "A/1.dcm": {"PatientID": "P1", "ViewPosition": "PA", "Modality": "CR"},
    "A/2.dcm": {"PatientID": "P1", "ViewPosition": "LL", "Modality": "CR"},
    "A/3.dcm": {"PatientID": "P2", "ViewPosition": "", "Modality": "DX"},
    "B/4.dcm": {"PatientID": "P3", "ViewPosition": "AP", "Modality": "DX"},
    "B/5.dcm": {"PatientID": "P3", "ViewPosition": "PA", "Modality": "OT", "SOPClassUID": CAPTURE},
    "B/6.dcm": {"PatientID": "P4", "ViewPosition": "PA", "Modality": "CR", "SOPClassUID": CAPTURE},
    "states/7.dcm": {"PatientID": "P4", "ViewPosition": "", "Modality": "PR"},
}


@pytest.mark.parametrize(
    ("options", "left", "told"),
    [
        ({"views": ["pa", "AP"], "modalities": ["CR", "DX"]}, ["A/1.dcm", "B/4.dcm", "B/6.dcm"], "views: 2 files"),
        ({"views": ["PA", "not said"], "modalities": ["CR", "DX"]}, ["A/1.dcm", "A/3.dcm", "B/6.dcm"], "AP 1"),
        ({"modalities": ["CR", "DX"], "captures": False}, [f"A/{k}.dcm" for k in (1, 2, 3)] + ["B/4.dcm"], "1 second"),
        (
            {"modalities": ["CR", "MG", "DX"]},
            [f"A/{k}.dcm" for k in (1, 2, 3)] + ["B/4.dcm", "B/6.dcm"],
            "is MG; there",
        ),
    ],
)
@pytest.mark.parametrize("by", ["folders", "table"])
def test_views_modalities_and_captures_are_left_out_and_told(
    source: Path, tmp_path: Path, options: dict[str, Any], left: list[str], told: str, by: str
) -> None:
    root = marked(source, tmp_path / "data", MIXED)
    if by == "table":
        (root / "t.csv").write_text("file,label\n" + "".join(f"{name},{name[0]}\n" for name in MIXED))
    found = dicom(root, Gather(), **options)
    assert found.rows["path"].tolist() == left
    assert found.classes == ["A", "B"]
    assert found.values.sum(axis=0).tolist() == [sum(name[0] == one for name in left) for one in "AB"]
    assert any(told in note for note in found.notes), found.notes
    assert not any("not there" in note for note in found.notes)


def test_what_leaves_nothing_is_refused_with_what_there_is(source: Path, tmp_path: Path) -> None:
    root = marked(source, tmp_path / "data", MIXED)
    with pytest.raises(BadData, match=r"views: \[AXIAL\] leaves no file; there are PA 3.*not said 2"):
        dicom(root, Gather(), views=["AXIAL"])
    for options, why in (({"views": []}, "leaves nothing"), ({"folders": ["site"]}, "`class` once"),
                         ({"folders": ["class"], "tag": "Modality"}, "not from both")):  # fmt: skip
        with pytest.raises(WrongRequest, match=why):
            resolve("sources", ref("dicom", **options))


def test_an_anonymised_tree_says_what_to_write(source: Path, tmp_path: Path) -> None:
    studies = {f"{folder}/p{k // 2}/{k}.dcm": f"1.{1 + (folder == 'B')}.{k // 2}" for folder in "AB" for k in range(4)}
    for name in ("ANON", ""):
        files = {place: {"StudyInstanceUID": study, "PatientID": name} for place, study in studies.items()}
        root = marked(source, tmp_path / f"data{name}", files)
        notes = dicom(root, Gather()).notes
        assert any("in 4 examinations" in note and "gather.patient: StudyInstanceUID" in note for note in notes)
        asked = recognised(dicom(root, Gather(patient="StudyInstanceUID")), "StudyInstanceUID")
        assert asked[0].nunique() == 4
        assert not any("in 4 examinations" in note for note in dicom(root, Gather(patient="none")).notes)
        by_folder = dicom(root, Gather(), folders=["class", "patient"])
        assert (by_folder.rows["patient"].nunique(), by_folder.patient_rule) == (2, "folders")
    assert not any("examinations" in note for note in dicom(tree(source, tmp_path / "c", CLASSES), Gather()).notes)


def test_headers_without_patient_and_modality_are_headers_all_the_same(source: Path, tmp_path: Path) -> None:
    bare = {"PatientID": "", "Modality": ""}
    root = marked(source, tmp_path / "data", {f"{name}/{k}.dcm": bare for name in "AB" for k in range(2)})
    assert dicom(root, Gather()).classes == ["A", "B"]


def test_a_site_above_the_classes_is_the_site_where_no_header_names_one(source: Path, tmp_path: Path) -> None:
    nameless = {"InstitutionName": "", "Manufacturer": ""}
    files = {f"hospital_{h}/{c}/{k}.dcm": nameless for h in (1, 2) for c in ("ill", "well") for k in range(2)}
    found = dicom(marked(source, tmp_path / "data", files), Gather())
    assert found.classes == ["ill", "well"]
    assert found.rows["site"].unique().tolist() == ["hospital_1", "hospital_2"]
