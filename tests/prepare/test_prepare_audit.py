"""The audit on phantoms whose defects are known, and on small folders made for one finding each."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

from secondread.cli import main
from secondread.core.errors import BadData
from secondread.core.files import read_json
from secondread.core.spec import Prepare
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.core.tables import Dataset, read_dataset, read_table
from secondread.gather import run as gather
from secondread.images.phantom import PhantomSpec, write_phantom
from secondread.prepare import memory, run, seen
from secondread.prepare.audit import audited, material_of
from secondread.prepare.clean import Cleaned, cleaned
from secondread.prepare.groups import clusters
from secondread.prepare.near import ALIKE, FULL, _Pictures, near_duplicates
from secondread.prepare.near_search import candidate_pairs
from secondread.prepare.probes import name_style
from secondread.prepare.report import Audit, audit_folder
from secondread.prepare.seen import SIDE, look


@pytest.fixture(autouse=True)
def own_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECONDREAD_CACHE", str(tmp_path / "memory"))


def codes(audit: Audit) -> dict[str, dict[str, Any]]:
    return {one["code"]: one for one in audit.as_dict()["findings"]}


DEFECTS = dict.fromkeys(
    ("byte_copy", "byte_copy_across", "jpeg_copy", "resize_copy", "brightness_copy", "near_copy_across", "flip_copy",
     "truncated", "zero_byte", "constant", "inverted", "odd_aspect", "rgba", "sixteen_bit"), 6,
)  # fmt: skip


@pytest.fixture(scope="module", params=["cxr-binary", "mri-binary", "cxr-multilabel"])
def defective(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("defective") / "data"
    size = 128 if request.param == "mri-binary" else 64
    write_phantom(PhantomSpec(request.param, n=110, seed=11, size=size, defects=DEFECTS), folder, "folder", workers=1)
    return folder


def truth_of(folder: Path) -> dict[str, dict[str, Any]]:
    told = json.loads((folder.with_name("data_truth") / "phantom.json").read_text())
    return {row["file"]: row for row in told["rows"]}


def clean_rows(folder: Path, out: Path) -> Cleaned:
    study = parse_study({"study": "s", "gather": {"source": {"name": "auto"}}})
    where = StudyDir(out, folder)
    gather.run(study, where)
    rows = read_table(where.rows)
    told = memory.measured(rows, folder, where.cache, "refuse")
    return cleaned(rows, told, read_dataset(where.dataset).classes, study.prepare)


def test_copies_are_found_and_nothing_else(defective: Path, tmp_path: Path) -> None:
    truth = truth_of(defective)
    made = clean_rows(defective, tmp_path / "out")

    def origin(file: str) -> str:
        source = truth[file]["source"]
        return origin(source["file"]) if source else file

    cluster = dict(zip(made.all["row_id"], made.all["duplicate_cluster"], strict=True))
    found: dict[str, list[bool]] = {}
    for file, row in truth.items():
        if row["source"]:
            found.setdefault(row["defect"], []).append(cluster[file] == cluster[row["source"]["file"]])
    for kind in ("byte_copy", "byte_copy_across"):
        assert all(found[kind])
    close = [hit for kind in ("jpeg_copy", "resize_copy", "brightness_copy", "near_copy_across") for hit in found[kind]]
    assert np.mean(close) >= 0.95
    assert np.mean(found["flip_copy"]) >= 0.95
    readable = made.all[made.all["dropped"].isna()]
    for _, together in readable.groupby("duplicate_cluster"):
        if len(together) > 1:
            patients = {truth[file]["patient"] for file in together["row_id"]}
            if {truth[file]["defect"] for file in together["row_id"]} == {"odd_aspect"}:
                continue  # strips without anatomy, stretched to squares, are all much alike
            assert len({origin(file) for file in together["row_id"]}) == 1 or len(patients) == 1
    contents = made.all[made.all["content_id"].duplicated(keep=False) & made.all["dropped"].isna()]
    for _, same in contents.groupby("content_id"):
        assert len({origin(file) for file in same["row_id"]}) == 1


def test_broken_files_are_found_told_and_left_out(defective: Path, tmp_path: Path) -> None:
    truth = truth_of(defective)
    checks = ["unreadable", "duplicates", "near_duplicates", "label_conflicts"]
    study = parse_study({"study": "s", "gather": {"source": {"name": "auto"}}, "prepare": {"checks": checks}})
    where = StudyDir(tmp_path / "out", defective)
    gather.run(study, where)
    told = run.audit_rows(study, where).as_dict()
    found = {one["code"]: one for one in told["findings"]}
    for code, defect in (("truncated", "truncated"), ("empty", "zero_byte"), ("constant", "constant")):
        expected = {file for file, row in truth.items() if row["defect"] == defect}
        assert set(found[code]["files"]) == expected
        assert "dropped.parquet" in found[code]["done"]
    assert {file for file, row in truth.items() if row["defect"] == "odd_aspect"} <= set(found["odd_aspect"]["files"])
    inverted = {file for file, row in truth.items() if row["defect"] == "inverted"}
    if "inverted_polarity" in found:
        named = set(found["inverted_polarity"]["files"])
        assert len(named & inverted) >= 0.8 * len(inverted)
        assert len(named - inverted) <= 2
    across = {file for file, row in truth.items() if row["defect"] == "byte_copy_across"}
    assert across <= set(found["label_conflicts"]["files"])
    assert told["files"] == len(truth)
    assert told["exact_groups_across_classes"] == len(across)
    assert told["exact_groups"] == len(across) + sum(row["defect"] == "byte_copy" for row in truth.values())
    content = where.audit_page.read_text()
    assert "data:image/png;base64," in content
    assert "<script src" not in content


def test_a_second_audit_looks_at_no_image_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(8):
        write(tmp_path / "data" / ("a" if k % 2 else "b") / f"{k}.png", k)
    first = audit_folder(tmp_path / "data").as_dict()
    monkeypatch.setattr(memory, "look", None)
    assert audit_folder(tmp_path / "data").as_dict() == first
    write(tmp_path / "data" / "a" / "new.png", 77)
    with pytest.raises(TypeError):
        audit_folder(tmp_path / "data")


def npz_rows(folder: Path, count: int) -> pd.DataFrame:
    """Rows of an npz of as many tiny images, written into the folder."""
    images = np.random.default_rng(5).integers(0, 256, (count, 16, 16), dtype=np.uint8)
    np.savez(folder / "many.npz", images=images)
    ids = [f"content {k}" for k in range(count)]
    return pd.DataFrame({"content_id": ids, "path": "many.npz", "index": range(count)})


def test_small_pictures_are_not_held_in_memory_and_an_npz_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, opened, entries = npz_rows(tmp_path, 320), [], seen.entries
    monkeypatch.setattr(memory, "STRETCH", 16)
    monkeypatch.setattr(seen, "entries", lambda path, wanted: (opened.append(path), entries(path, wanted))[1])
    tracemalloc.start()
    try:
        made = memory.measured(rows, tmp_path, tmp_path / "cache", "refuse")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < len(rows) * SIDE * SIDE / 2
    assert len(opened) == 1
    told = dict(seen.look_inside(tmp_path / "many.npz", {2: 2, 317: 317}))
    np.testing.assert_array_equal(made.small[np.array([317, 2])], np.stack([told[317].small, told[2].small]))


def test_an_audit_that_was_killed_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(9):
        write(tmp_path / "data" / ("a" if k % 2 else "b") / f"{k}.png", k)
    whole = audit_folder(tmp_path / "data").as_dict()
    monkeypatch.setenv("SECONDREAD_CACHE", str(tmp_path / "other"))
    for name in ("STRETCH", "CHUNK"):
        monkeypatch.setattr(memory, name, 4)
    measured: list[Any] = []

    def killed(jobs: Any) -> Any:
        if len(measured) >= 4:
            raise KeyboardInterrupt
        measured.extend(jobs)
        return look(jobs)

    monkeypatch.setattr(memory, "in_processes", lambda function, jobs, chunk, few: in_turn(function, jobs, chunk))
    monkeypatch.setattr(memory, "look", killed)
    with pytest.raises(KeyboardInterrupt):
        audit_folder(tmp_path / "data")
    again: list[Any] = []
    monkeypatch.setattr(memory, "look", lambda jobs: (again.extend(jobs), look(jobs))[1])
    assert audit_folder(tmp_path / "data").as_dict() == whole
    assert len(again) == 5


def test_groups_of_duplicates_are_judged_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 300
    rows = pd.DataFrame({"row_id": [f"{k:03}.png" for k in range(count)], "content_id": np.arange(count) // 3})
    rows = rows.astype("string").assign(
        patient=None, site=None, split_given=np.array(["train", "test"])[rows.index % 2]
    )
    labels = np.eye(2, dtype=np.float32)[(np.arange(count) // 3 % 2) * (np.arange(count) % 3 == 0)]
    rows["y_a"], rows["y_b"] = labels.T
    dataset, told = Dataset("binary", ["a", "b"], "", "table", "", {}, []), memory.Measured.nothing(rows)
    material = material_of(cleaned(rows, told, dataset.classes, Prepare()), told, dataset, False)
    asked, nunique = [], pd.Series.nunique
    monkeypatch.setattr(pd.Series, "nunique", lambda one: (asked.append(1), nunique(one))[1])
    found = audited(material, ["duplicates", "label_conflicts"]).as_dict()
    assert [found[f"exact_groups{across}"] for across in ("", "_across_classes", "_across_splits")] == [100, 50, 100]
    assert {one["code"]: one["count"] for one in found["findings"]}["label_conflicts"] == 150
    assert len(asked) < 10


def in_turn(function: Any, jobs: Any, chunk: int) -> Any:
    return ((start, function(jobs[start : start + chunk])) for start in range(0, len(jobs), chunk))


def test_probes_fire_where_the_site_is_the_class_and_only_there(tmp_path: Path) -> None:
    for confounding in (0.0, 0.9):
        folder = tmp_path / str(confounding)
        write_phantom(
            PhantomSpec("cxr-binary", n=180, seed=4, size=48, confounding=confounding), folder, "folder", workers=1
        )
        audit = audit_folder(folder)
        told = audit.as_dict()
        assert ("shortcut_border" in codes(audit)) == (confounding > 0)
        assert bool(told["banners"]) == (confounding > 0)
        border = told["probes"]["border"]
        assert border["low"] < border["auroc"] < border["high"]


def test_file_facts_give_a_class_away(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for k in range(60):
        for name, side, kind in (("ill", 40, "JPEG"), ("well", 44, "PNG")):
            path = tmp_path / "data" / name / f"img{k}.{kind.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 255, (side, 40), dtype=np.uint8)).save(path, kind)
    audit = audit_folder(tmp_path / "data", html=tmp_path / "once.html")
    metadata = audit.as_dict()["probes"]["metadata"]
    assert metadata["auroc"] > 0.95
    assert metadata["without_names"]["auroc"] > 0.95
    assert "shortcut_metadata" in codes(audit)
    assert "SHORTCUT" in audit.as_dict()["banners"][0]
    assert "shortcut_metadata" in audit._repr_html_()
    audit_folder(tmp_path / "data", html=tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "once.html").read_bytes()


def write(path: Path, seed: int, side: int = 48) -> bytes:
    """A smooth picture that no other seed resembles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def test_official_splits_are_compared_by_bytes_and_patients(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for k in range(24):
        write(data / "train" / ("NORMAL" if k % 2 else "PNEUMONIA") / f"person{k}_bacteria_{k}.png", k)
    for k in range(4):
        write(data / "val" / ("NORMAL" if k % 2 else "PNEUMONIA") / f"person{k}_virus_{100 + k}.png", 100 + k)
    write(data / "val" / "PNEUMONIA" / "person90_virus_1.png", 6)
    audit = audit_folder(data)
    told = audit.as_dict()
    assert told["patients_across_splits"] == 4
    assert told["exact_groups_across_splits"] == 1
    assert told["splits_given"] == {"train": 24, "val": 5}
    found = codes(audit)
    assert found["patients_across_splits"]["severity"] == "error"
    assert found["duplicates_across_splits"]["severity"] == "error"
    assert "5 images is too small" in found["small_validation"]["message"]


def test_how_the_data_were_understood_is_said_first_and_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was guessed and what was passed over is what a user has to see, not the page alone."""
    for k in range(12):
        write(tmp_path / "data" / "ab"[k % 2] / f"{k}.png", k)
    (tmp_path / "data" / "a" / "more.zip").write_bytes(b"PK")
    audit = audit_folder(tmp_path / "data")
    expected = ["layout: class folders", "1 files of other kinds were passed over: 1 .zip"]
    assert audit.as_dict()["notes"][:2] == expected
    assert all(note in audit._repr_html_() for note in expected)
    monkeypatch.setattr(sys, "argv", ["secondread", "audit", str(tmp_path / "data")])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out.splitlines()[:2] == expected


def test_several_modalities_and_views_are_told(tmp_path: Path) -> None:
    """An export of X-rays brings side views and captures of the screen with it."""
    folder = tmp_path / "data"
    write_phantom(PhantomSpec("cxr-binary", n=16, size=32), folder, "dicom", workers=1)
    found = codes(audit_folder(folder))  # CR and DX are radiographs both
    assert found["several_modalities"]["severity"] == "info"
    assert "several_views" not in found
    files = sorted(folder.rglob("*.dcm"))
    for path, modality, view in ((files[0], "OT", ""), (files[1], "DX", "LL")):
        dataset = pydicom.dcmread(path)
        dataset.Modality, dataset.ViewPosition = modality, view
        dataset.save_as(path)
    found = codes(audit_folder(folder))
    assert found["several_modalities"]["severity"] == "warning"
    assert found["several_modalities"]["message"].endswith("OT 1")
    assert found["several_views"]["message"] == "several views: AP 14, LL 1, not said 1"


def test_images_without_labels_can_be_audited(tmp_path: Path) -> None:
    for k in range(6):
        write(tmp_path / "data" / f"{k}.png", k)
    (tmp_path / "data" / "copy.png").write_bytes((tmp_path / "data" / "0.png").read_bytes())
    told = audit_folder(tmp_path / "data").as_dict()
    assert told["classes"] == {"unlabelled": 7}
    assert told["exact_groups"] == 1


def test_images_without_labels_are_audited_and_not_trained_on(tmp_path: Path) -> None:
    from secondread.train import run as train

    for k in range(6):
        write(tmp_path / "data" / f"{k}.png", k)
    study = parse_study({"study": "s", "gather": {"source": "auto"}})
    where = StudyDir(tmp_path / "out", tmp_path / "data")
    gather.run(study, where)
    for step in (run, run, train):
        with pytest.raises(BadData, match="can be audited, not learned from"):
            step.run(study, where)
    assert [unit.state() for unit in run.units(study, where)] == ["done", "missing", "missing"]
    assert where.audit_page.exists()


def test_a_candidate_pair_comes_once() -> None:
    chance = np.random.default_rng(0)
    hashes = np.uint64(12345) ^ (np.uint64(1) << chance.integers(0, 63, 60).astype(np.uint64))
    pairs = [tuple(pair) for block in candidate_pairs(hashes, hashes, 8) for pair in block.tolist()]
    assert sorted(pairs) == [(i, j) for i in range(60) for j in range(i + 1, 60)]


def sequences(count: int, frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes, mirrored hashes and small pictures of `count` sequences of frames that drift, some of them mirrored."""
    chance = np.random.default_rng(count)
    blocks = chance.integers(40, 200, (count, 8, 8)).repeat(16, axis=1).repeat(16, axis=2)
    pictures, hashes = [], []
    for number in range(count):
        base = chance.integers(0, 2**62, 2, dtype=np.uint64)
        for frame in range(frames):
            shown = np.clip(blocks[number] + chance.normal(0, 4, (128, 128)) + frame % 7, 0, 255).astype(np.uint8)
            flips = np.uint64(1) << chance.integers(0, 63, 2).astype(np.uint64)
            mirrored = frame % 5 == 4
            pictures.append(shown[:, ::-1] if mirrored else shown)
            hashes.append((base ^ flips)[::-1] if mirrored else base ^ flips)
    order = chance.permutation(len(pictures))
    plain, turned = np.array(hashes)[order].T
    return plain, turned, np.stack(pictures)[order]


def test_what_is_joined_by_some_pairs_is_what_all_pairs_would_join() -> None:
    plain, turned, small = sequences(4, 12)
    made = near_duplicates(plain, turned, small)
    every = [
        pairs[_Pictures(small).verified(pairs, kind, ALIKE)[0]]
        for kind, other in (("copy", plain), ("mirrored", turned))
        for pairs in candidate_pairs(plain & FULL, other & FULL, 8)
    ]
    assert sum(map(len, every)) > 150
    np.testing.assert_array_equal(clusters(48, [made.pairs]), clusters(48, every))
    assert len(made.pairs) == 48 - 4
    assert set(made.kind) == {"copy", "mirrored"}


def test_frames_of_a_long_sequence_are_compared_as_often_as_there_are_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, turned, small = sequences(3, 200)
    compared, verified = [], _Pictures.verified

    def counted(pictures: _Pictures, pairs: Any, kind: str, alike: float) -> Any:
        compared.append(len(pairs))
        return verified(pictures, pairs, kind, alike)

    monkeypatch.setattr(_Pictures, "verified", counted)
    near_duplicates(plain, turned, small)
    assert sum(compared) < 3 * 600


def test_images_one_pixel_wide_or_high_are_audited(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    shapes = [*[(24, 24)] * 22, (40, 1), (1, 40)]
    for number, shape in enumerate(shapes):
        path = tmp_path / "data" / ("a", "b")[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 256, shape, dtype=np.uint8)).save(path)
    assert audit_folder(tmp_path / "data").as_dict()["probes"]["border"]["auroc"] is not None


@pytest.mark.parametrize("form", ["npz", "dicom"])
def test_other_layouts_are_audited_too(form: str, tmp_path: Path) -> None:
    write_phantom(PhantomSpec("cxr-binary", n=40, seed=2, size=32), tmp_path / "data", form, workers=1)
    told = audit_folder(tmp_path / "data").as_dict()
    assert told["files"] == told["readable"] == 40
    assert told["task"] == "binary"


def test_a_step_does_only_what_is_stale(tmp_path: Path) -> None:
    source = {"name": "phantom", "n": 60, "size": 32, "seed": 1}
    written: dict[str, Any] = {"study": "s", "gather": {"source": source}, "train": {"size": 32},
                               "prepare": {"checks": ["near_duplicates"]}}  # fmt: skip
    study, where = parse_study(written), StudyDir(tmp_path / "out")
    gather.run(study, where)
    run.run(study, where)
    assert [unit.state() for unit in run.units(study, where)] == ["done"] * 3
    bigger = parse_study(written | {"train": {"size": 48}})
    assert [unit.state() for unit in run.units(bigger, where)] == ["done", "done", "stale"]
    other = parse_study(
        written | {"prepare": {"checks": ["near_duplicates"], "split": {"name": "grouped", "test": 0.3}}}
    )
    assert [unit.state() for unit in run.units(other, where)] == ["done", "stale", "done"]
    run.run(bigger, where)
    told = read_json(where.pixels)
    assert list(told["caches"]) == ["48-stretch"]
    assert (where.root / told["caches"]["48-stretch"]["file"]).exists()
    proof = read_json(where.split_proof)
    assert proof["disjoint"]
    assert not proof["leaky"]


def test_image_level_needs_permission_and_leaves_its_stamp(tmp_path: Path) -> None:
    from secondread.core.errors import WrongRequest

    source = {"name": "phantom", "n": 60, "size": 32, "seed": 1}
    written: dict[str, Any] = {"study": "s", "gather": {"source": source}, "train": {"size": 32}}
    study = parse_study(written | {"prepare": {"checks": [], "split": "image_level"}})
    where = StudyDir(tmp_path / "out")
    gather.run(study, where)
    with pytest.raises(WrongRequest, match="allow_leakage"):
        run.run(study, where)
    allowed = parse_study(written | {"prepare": {"checks": [], "split": "image_level", "allow_leakage": True}})
    run.run(allowed, where)
    assert read_json(where.split_proof)["stamp"] == "LEAKY PROTOCOL"


def test_duplicates_are_dropped_only_where_asked(tmp_path: Path) -> None:
    for k in range(20):
        content = write(tmp_path / "data" / ("a" if k % 2 else "b") / f"{k}.png", k)
        if k < 3:
            write(tmp_path / "data" / "a" / f"again{k}.png", k).startswith(content)
    for drop in (False, True):
        written = {"study": "s", "gather": {"source": "class_folders"}, "train": {"size": 32},
                   "prepare": {"drop_duplicates": drop, "checks": ["unreadable", "label_conflicts"],
                               "split": {"name": "grouped", "test": 0.3, "val": 0.2}}}  # fmt: skip
        study, where = parse_study(written), StudyDir(tmp_path / f"out{drop}", tmp_path / "data")
        gather.run(study, where)
        run.run(study, where)
        clean, dropped = read_table(where.clean_rows), read_table(where.dropped)
        if not drop:
            assert len(clean) == 23
            assert clean["duplicate_cluster"].nunique() == 20
            continue
        reasons = dropped["reason"].str.split(":").str[0].value_counts().to_dict()
        assert reasons == {"label conflict": 4, "duplicate": 1}
        assert not clean["content_id"].duplicated().any()


def test_the_style_of_a_name_says_nothing_of_its_words() -> None:
    assert name_style("person12_virus_3.jpeg") == "a9_a_9"
    assert name_style("Y12.jpg") == name_style("no7.JPG") == "a9"
    assert name_style("1 no.jpeg") == "9 a"


REAL = os.environ.get("SECONDREAD_DATA")


@pytest.mark.real_data
@pytest.mark.skipif(not REAL, reason="$SECONDREAD_DATA is not set")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("brain253", {"files": 253, "distinct_bytes": 228, "exact_groups": 22, "exact_groups_across_classes": 0}),
        ("covid3", {"files": 1124, "patients": 682, "patients_across_classes": 21, "task": "multiclass"}),
        ("nih14", {"files": 910, "task": "multilabel"}),
    ],
)
def test_facts_of_the_real_folders(name: str, expected: dict[str, Any]) -> None:
    audit = audit_folder(Path(str(REAL)) / name)
    told = audit.as_dict()
    assert {key: told[key] for key in expected} == expected
    if name == "brain253":
        assert "shortcut_metadata" in codes(audit)
    if name == "covid3":
        assert told["banners"]


@pytest.mark.real_data
@pytest.mark.skipif(not REAL, reason="$SECONDREAD_DATA is not set")
def test_facts_of_the_official_split_of_children(tmp_path: Path) -> None:
    study = parse_study({"study": "s", "gather": {"source": {"name": "class_folders", "root": "kermany"}},
                         "prepare": {"checks": ["duplicates"]}})  # fmt: skip
    where = StudyDir(tmp_path, Path(str(REAL)))
    gather.run(study, where)
    told = run.audit_rows(study, where).as_dict()
    assert told["exact_groups"] == 24
    assert told["exact_groups_across_splits"] == 0
    assert told["splits_given"] == {"train": 5216, "val": 16}
    assert "small_validation" in {one["code"] for one in told["findings"]}
    rows = pd.DataFrame(read_table(where.rows))
    assert rows["patient"].notna().all()
