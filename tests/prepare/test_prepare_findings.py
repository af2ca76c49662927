"""What the audit says, and what it must not say: by chance, unasked, of images that a disk took away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats.contingency import association

from secondread.core.errors import BadData
from secondread.core.spec import Prepare
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.core.tables import Dataset, read_table
from secondread.gather import run as gather
from secondread.images.decode_pool import Crash
from secondread.prepare import memory
from secondread.prepare import run as prepare
from secondread.prepare.audit import Audited, audited, material_of
from secondread.prepare.clean import cleaned
from secondread.prepare.findings_rows import cramers_v, patients, sources
from secondread.prepare.material import Material
from secondread.prepare.memory import Measured, measured
from secondread.prepare.near import near_duplicates
from secondread.prepare.page import audit_page
from secondread.prepare.probes import judge
from secondread.prepare.seen import Job, look

HALF = np.arange(100) % 2


def material(sites: list[str] | None = None, contents: list[str] | None = None) -> Material:
    """A hundred rows of two classes in turn, nobody having looked at an image."""
    rows = pd.DataFrame({"row_id": [f"{k:03}" for k in range(100)], "patient": None, "split_given": None})
    rows["content_id"], rows["site"] = contents or rows["row_id"], sites
    rows = rows.astype("string")
    rows["y_a"], rows["y_b"] = np.eye(2, dtype=np.float32)[HALF].T
    dataset, told = Dataset("binary", ["a", "b"], "", "table", "", {}, []), Measured.nothing(rows)
    return material_of(cleaned(rows, told, dataset.classes, Prepare()), told, dataset, False)


def test_a_site_that_nearly_all_images_are_from_goes_with_no_class() -> None:
    assert not list(sources(material(["far" if k in (3, 8) else "near" for k in range(100)])))


def test_a_class_from_one_site_is_told() -> None:
    (found,) = sources(material(["near" if half else ("near", "far")[k // 2 % 2] for k, half in enumerate(HALF)]))
    assert "from one site only: b" in found.message
    (found,) = sources(material(["near" if half else "far" for half in HALF]))
    assert "V 1.00" in found.message


@pytest.mark.parametrize(("others", "told"), [(0, "all 100 images"), (40, "60 of 100 images"), (60, "")])
def test_one_patient_of_most_images_is_told(others: int, told: str) -> None:
    made = material()
    made.rows["patient"] = [f"P{k}" if k < others else "ANON" for k in range(100)]
    found = {one.code: one for one in patients(made)}
    assert ("one_patient" in found) == bool(told)
    if told:
        assert found["one_patient"].message.startswith(f"{told} are of one patient (ANON)")
        assert "StudyInstanceUID" in found["one_patient"].done


def test_a_site_of_each_image_goes_with_the_class_by_chance_only() -> None:
    """Uncorrected the association would be 1, whatever the classes are."""
    assert association(pd.crosstab(np.arange(100), HALF)) == pytest.approx(1)
    assert not list(sources(material([f"http://there/{k}" for k in range(100)])))


def test_the_association_is_cramers_less_what_chance_gives() -> None:
    draw = np.random.default_rng(0)
    chance = [cramers_v(np.histogram2d(draw.integers(0, 9, 90), draw.integers(0, 3, 90), (9, 3))[0]) for _ in range(50)]
    assert np.mean(chance) < 0.1
    large = np.array([[900, 100], [300, 700]])
    assert cramers_v(large) == pytest.approx(association(large), abs=1e-3)
    assert cramers_v(np.array([[5, 7]])) == 0.0


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_a_label_known_of_few_patients_is_left_out_of_the_probes(value: float) -> None:
    """Twelve images each with and without B, all of two patients; of the others B is not known."""
    labels = np.stack([HALF, np.where(np.arange(100) < 24, HALF, value)], axis=1).astype(np.float32)
    groups = pd.Series(np.where(np.arange(100) < 24, np.arange(100) // 12, np.arange(100)))
    features = np.random.default_rng(0).normal(size=(100, 2)) + HALF[:, None]
    found = judge(features, labels, groups, "multilabel", "linear", ["A", "B"])
    assert list(found.classes) == ["A"]
    assert found.auroc is not None
    assert found.auroc > 0.7
    assert judge(features, labels[:, 1:], groups, "multilabel", "linear", ["B"]).auroc is None


def told(found: Audited) -> str:
    return audit_page(found, "s")


def test_the_page_says_of_nothing_that_it_was_not_looked_for() -> None:
    m = material(contents=["same", "same", *(f"c{k}" for k in range(98))])
    page = told(audited(m, []))
    assert "No label contradicts" not in page
    assert "very image is read" not in page
    assert "unreadable, duplicates, near duplicates, label conflicts and shortcuts" in page
    assert "contradicts another" not in told(audited(m, ["label_conflicts"]))
    page = told(audited(material(), ["label_conflicts"]))
    assert "No label contradicts another." in page
    assert "very image is read" not in page


def folder(root: Path) -> Path:
    draw = np.random.default_rng(0)
    for k in range(6):
        (root / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (40, 40), np.uint8)).save(root / "ab"[k % 2] / f"{k}.png")
    return root


def test_a_disk_that_is_gone_is_no_unreadable_image(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    rows = pd.DataFrame({"path": ["a/0.png", "b/1.png"], "index": -1, "content_id": ["c0", "c1"]})
    (data / "b").rename(data / "elsewhere")
    with pytest.raises(BadData, match=r"b/1\.png could be read when it was gathered and cannot now"):
        measured(rows, data, tmp_path / "cache", "refuse")
    (data / "elsewhere").rename(data / "b")
    assert measured(rows, data, tmp_path / "cache", "refuse").facts["refused"].tolist() == ["", ""]


def test_want_of_memory_is_no_fault_of_the_file_and_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder(tmp_path / "data")
    rows = pd.DataFrame({"path": ["a/0.png", "b/1.png", "a/2.png"], "index": -1, "content_id": ["c0", "c1", "c2"]})
    looked: list[int] = []

    def deadly(function: Any, jobs: Any, **_: Any) -> Any:
        looked.append(len(jobs))
        yield 0, [Crash(of_memory=True), Crash(), *function(jobs[2:])][: len(jobs)]

    with monkeypatch.context() as patched:
        patched.setattr(memory, "in_processes", deadly)
        told = measured(rows, data, tmp_path / "cache", "refuse").facts
    assert told["refused"].tolist() == ["too_large", "crash", ""]
    assert "more memory than this machine had" in told["reason"][0]
    for _ in range(2):
        assert measured(rows, data, tmp_path / "cache", "refuse").facts["refused"].tolist() == ["", "crash", ""]
    assert looked == [3]


def test_images_that_no_check_looked_at_are_refused_by_name(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    study = parse_study({"study": "s", "gather": {"source": "class_folders"}, "prepare": {"checks": ["duplicates"]}})
    for name in ("a/0.png", "b/1.png"):
        (data / name).write_bytes(name.encode())
    where = StudyDir(tmp_path / "out", data)
    gather.run(study, where)
    with pytest.raises(BadData, match=r"2 images cannot be read \(first: a/0\.png.*unreadable"):
        prepare.run(study, where)


def smooth(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:160, 0:160]
    waves = sum(np.sin(x * u + y * v + phase) for u, v, phase in draw.uniform(0.02, 0.2, (8, 3)) * (1, 1, 30))
    return ((waves - waves.min()) / np.ptp(waves) * 255).astype(np.uint8)


@pytest.mark.parametrize("same", [2, 3, 30])
@pytest.mark.parametrize("others", [0, 1, 5])
def test_copies_that_are_most_of_a_set_are_near_duplicates(tmp_path: Path, same: int, others: int) -> None:
    """The mean picture, without which pictures are compared, is then the picture itself."""
    for k in range(same + others):
        picture = Image.fromarray(smooth(0 if k < same else k))
        picture.save(tmp_path / f"{k}.jpg", quality=45 + k if k < same else 90)
    seen = [one.facts | {"small": one.small} for one in look([Job(tmp_path / f"{k}.jpg", -1, "refuse")
                                                             for k in range(same + others)])]  # fmt: skip
    hashes = (np.array([one[name] for one in seen], np.uint64) for name in ("phash", "phash_mirrored"))
    found = near_duplicates(*hashes, np.stack([one["small"] for one in seen]))
    assert set(found.pairs.reshape(-1).tolist()) == set(range(same))
    assert len(found.pairs) == same - 1
    assert set(found.kind) == {"copy"}


def test_why_no_image_is_left_is_told_and_the_order_of_bytes_is_no_reason(tmp_path: Path) -> None:
    """Arrays of numbers between 0 and 1, as notebooks keep them; and of 16 bits from another machine."""
    grey = np.random.default_rng(0).random((40, 12, 12))
    study = parse_study({"study": "s", "gather": {"source": "npz"}, "prepare": {"checks": ["unreadable"]}})
    for name, images in (("floats", grey), ("words", (grey * 4095).astype(">u2"))):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "d.npz", images=images, labels=np.arange(40) % 2)
        where = StudyDir(tmp_path / f"{name}-out", tmp_path / name)
        gather.run(study, where)
        if name == "floats":
            with pytest.raises(BadData, match=r"40 of 40 are left out as unsupported_depth: .*float64.*store uint8"):
                prepare.look(study, where)
        else:
            prepare.look(study, where)
            small = measured(read_table(where.rows), tmp_path / name, where.cache, "refuse").facts["used_range"]
            assert small.iloc[0] == pytest.approx(np.ptp((grey[0] * 4095).astype(np.uint16)) / 65535)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [0, 1])
def test_no_image_and_one_image_are_no_near_duplicates(count: int) -> None:
    found = near_duplicates(
        np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros((count, 128, 128), np.uint8)
    )
    assert len(found.pairs) == len(found.alike) == len(found.kind) == 0
