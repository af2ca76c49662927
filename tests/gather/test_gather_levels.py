"""Folders above folders: sites, patients and parts of a collection above classes, views below them."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest
from tests.gather.test_gather_odd_sets import gathered, paint

from secondread.core.errors import BadData, WrongRequest
from secondread.core.tables import UNLABELLED, forbid_unlabelled
from secondread.gather.levels import Levels, recognised_levels


def crossed(*levels: str) -> list[str]:
    """`crossed("a b", "x y")`: a/x, a/y, b/x, b/y, of three images each."""
    made = [""]
    for level in levels:
        made = [f"{path}{name}/" for path in made for name in level.split()]
    return [f"{path}{k}.png" for path in made for k in range(3)]


def read(paths: list[str]) -> tuple[set[str] | None, set[str]]:
    found: Levels = recognised_levels(paths)
    return (None if found.labels is None else set(found.labels)), set(found.facts.get("site", []))


@pytest.mark.parametrize(
    ("paths", "classes", "sites"),
    [
        (crossed("siteA siteB", "covid pneumonia"), "covid pneumonia", "siteA siteB"),
        (crossed("batch1 batch2", "0 1"), "0 1", "batch1 batch2"),
        (crossed("Montgomery Shenzhen", "normal tb"), "normal tb", "Montgomery Shenzhen"),
        (crossed("train test", "hospital_1 hospital_2", "images", "ill well"), "ill well", "hospital_1 hospital_2"),
        (crossed("hospital_1 hospital_2", "train test", "ill well"), "ill well", "hospital_1 hospital_2"),
        (crossed("set", "centre-1 centre-2", "batch1 batch2", "ill well"), "ill well",
         "centre-1/batch1 centre-1/batch2 centre-2/batch1 centre-2/batch2"),
        (["hospital_A/ill/1.png", "hospital_A/well/2.png", "hospital_B/well/3.png"], "ill well",
         "hospital_A hospital_B"),
        (crossed("fold1 fold2", "ill well"), "ill well", ""),
        (crossed("patient1 patient2", "ill well"), "ill well", ""),
        (crossed("benign malignant", "40X 100X"), "benign malignant", ""),
        (crossed("glioma meningioma", "axial sagittal"), "glioma meningioma", ""),
        (crossed("glioma meningioma", "001 002 003"), "glioma meningioma", ""),
        (crossed("ill well", "left right"), "ill well", ""),
        (["ill/lung/1.png", "ill/heart/2.png", "well/lung/3.png", "well/4.png"], "ill well", ""),
    ],
)  # fmt: skip
def test_names_tell_classes_from_sites_and_views(paths: list[str], classes: str, sites: str) -> None:
    assert read(paths) == (set(classes.split()), set(sites.split()))


@pytest.mark.parametrize(
    "paths",
    [
        crossed("GE Philips", "covid pneumonia"),
        crossed("p1 p2 p3", "normal tumour"),
        crossed(" ".join(map(str, range(100, 190))), "0 1"),
        ["Montgomery/tb/1.png", "Montgomery/normal/2.png", "Elsewhere/normal/3.png"],
    ],
)
def test_what_names_do_not_tell_is_asked(paths: list[str]) -> None:
    found = recognised_levels(paths)
    assert found.labels is None
    assert "folders: [site, class], [patient, class] or [class]" in found.why


@pytest.mark.parametrize(
    "paths",
    [
        ["site_1/covid/1.png", "site_1/covid/2.png", "site_2/normal/3.png", "site_2/normal/4.png"],
        [*crossed("site_1 site_2", "ill well"), "site_1/cover.png"],
        [f"patient{k}/{n}.png" for k in range(4) for n in range(3)],
        [f"subject-{k}/study/{n}.png" for k in range(4) for n in range(3)],
    ],
)
def test_sites_and_patients_are_not_taken_for_classes(paths: list[str]) -> None:
    found = recognised_levels(paths)
    assert found.labels is None
    assert "are called like" in found.why


def test_sites_of_nothing_but_images_are_what_there_is_to_tell_apart() -> None:
    assert read(crossed("scanner_1 scanner_2")) == ({"scanner_1", "scanner_2"}, set())


def test_many_patients_are_looked_through_at_once() -> None:
    paths = [f"{k}/{k}.{n}/1.dcm" for k in range(20_000) for n in range(2)]
    begun = process_time()
    assert recognised_levels(paths).labels is None
    assert process_time() - begun < 5  # of pairs of folders there are 800 million


def test_a_site_goes_into_the_rows_and_is_told(tmp_path: Path) -> None:
    for site in ("site_1", "site_2"):
        for name in ("Normal", "Tumour"):
            paint(tmp_path / "data" / site / name, "1", "2")
    for source in ("auto", "class_folders"):
        dataset, rows = gathered(tmp_path / source, tmp_path / "data", source)
        assert dataset.classes == ["Normal", "Tumour"]
        assert rows["site"].tolist() == ["site_1"] * 4 + ["site_2"] * 4
        assert any("site_1, site_2 are taken for sites" in note for note in dataset.notes)


def test_the_study_may_say_what_folders_are(tmp_path: Path) -> None:
    for path in crossed("GE Philips", "covid pneumonia", "7 8"):
        paint(tmp_path / "data" / Path(path).parent, Path(path).stem)
    with pytest.raises(BadData, match="either may be the classes"):
        gathered(tmp_path / "a", tmp_path / "data", "class_folders")
    unlabelled = gathered(tmp_path / "b", tmp_path / "data", "auto")[0]
    assert unlabelled.classes == [UNLABELLED]
    with pytest.raises(BadData, match=r"audited, not learned from\. The folders .*either may be the classes"):
        forbid_unlabelled(unlabelled)
    source = {"name": "class_folders", "folders": ["site", "class", "patient"]}
    dataset, rows = gathered(tmp_path / "c", tmp_path / "data", source)
    assert dataset.classes == ["covid", "pneumonia"]
    assert sorted(rows["patient"].unique()) == ["GE/7", "GE/8", "Philips/7", "Philips/8"]
    assert (dataset.patient_rule, set(rows["site"])) == ("folders", {"GE", "Philips"})
    source["folders"] = ["class"]
    assert gathered(tmp_path / "d", tmp_path / "data", source)[0].classes == ["GE", "Philips"]


def test_folders_that_cannot_be_so_are_refused(tmp_path: Path) -> None:
    for name in ("ill", "well"):
        paint(tmp_path / "data" / name, "1", "2")
    with pytest.raises(BadData, match=r"names 2 folders above each image, but ill/1\.png has fewer"):
        gathered(tmp_path / "a", tmp_path / "data", {"name": "class_folders", "folders": ["site", "class"]})
    for folders in ([], ["site"], ["class", "class"]):
        with pytest.raises(WrongRequest, match="`class` once"):
            gathered(tmp_path / "b", tmp_path / "data", {"name": "class_folders", "folders": folders})
