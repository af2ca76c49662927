from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from openpyxl import load_workbook
from PIL import Image

from secondread.core.errors import BadData, WrongRequest
from secondread.images.phantom import PRESETS, PhantomSpec, generate, write_phantom
from secondread.images.phantom.defects import BROKEN, KINDS, UNFIT
from secondread.images.phantom.trees import CHEXPERT_OBSERVATIONS

SIZE, IMAGES = 40, 24
PRESET_OF = {
    "folder": "cxr-3class",
    "chexpert": "cxr-multilabel",
    "nih": "cxr-multilabel",
    "radiography": "cxr-3class",
    "kermany": "cxr-binary",
    "npz": "cxr-multilabel",
    "dicom": "cxr-binary",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Every format once, with every defect that it can hold."""
    trees = {}
    for format, preset in PRESET_OF.items():
        out = tmp_path_factory.mktemp("trees") / format
        defects = {kind: 1 for kind in KINDS if kind not in UNFIT.get(format, set())}
        manifest = write_phantom(PhantomSpec(preset, IMAGES, size=SIZE, defects=defects), out, format, workers=1)
        trees[format] = (out, manifest)
    return trees


def _files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as opened:
        return list(csv.DictReader(opened))


def _pixels(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image, float)


def _row_of(manifest: dict[str, Any], defect: str) -> dict[str, Any]:
    return dict(next(row for row in manifest["rows"] if row["defect"] == defect))


@pytest.mark.parametrize("format", list(PRESET_OF))
def test_the_manifest_lists_every_image_and_lies_outside_the_tree(
    format: str, written: dict[str, tuple[Path, dict[str, Any]]]
) -> None:
    out, manifest = written[format]
    truth = out.with_name(f"{out.name}_truth")
    assert json.loads((truth / "phantom.json").read_text()) == json.loads(json.dumps(manifest))
    assert manifest["format"] == format
    assert manifest["spec"]["n"] == IMAGES
    names = [row["file"] for row in manifest["rows"]]
    suffixes = {".png", ".jpg", ".jpeg", ".dcm", ".npz"}
    images = {name for name in _files(out) if Path(name).suffix in suffixes and "/masks/" not in name}
    assert images == set(names)
    assert not any("phantom" in name for name in _files(out) if not name.endswith(".npz"))
    masks = {mask for row in manifest["rows"] for mask in row["masks"].values()}
    assert masks == _files(truth) - {"phantom.json"}
    assert len(names) == IMAGES + len(KINDS) - len(UNFIT.get(format, set())) - 1  # the flipped label needs no file


def test_the_manifest_tells_what_was_drawn(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    out, manifest = written["nih"]
    truth = out.with_name("nih_truth")
    for drawn, row in zip(generate(PhantomSpec("cxr-multilabel", IMAGES, size=SIZE)), manifest["rows"], strict=False):
        assert np.array_equal(_pixels(out / row["file"]), drawn.image)
        assert row["truth"] == drawn.truth
        assert row["site"] == drawn.site
        assert row["visit"] == drawn.visit + 1
        assert set(row["severity"]) == set(drawn.severity)
        assert row["labels"] == drawn.labels or row["defect"] == "flipped_label"
        for name, mask in row["masks"].items():
            assert np.array_equal(_pixels(truth / mask) > 0, drawn.masks[name])


def test_class_folders(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    _, manifest = written["folder"]
    for row in manifest["rows"]:
        label = next(name for name, value in row["labels"].items() if value)
        assert row["file"] == f"{label}/{row['patient']}_visit{row['visit']:02d}.png"
        assert row["split"] is None


def test_a_multi_label_folder_has_a_table(tmp_path: Path) -> None:
    manifest = write_phantom(PhantomSpec("cxr-multilabel", 12, size=SIZE), tmp_path / "out", workers=1)
    table = _table(tmp_path / "out/labels.csv")
    names = PRESETS["cxr-multilabel"].names
    assert list(table[0]) == ["file", "patient", "visit", "site", *names]
    for line, row in zip(table, manifest["rows"], strict=True):
        assert line["file"] == row["file"]
        assert {name: float(line[name]) if line[name] else None for name in names} == row["labels"]


def test_the_chexpert_tree(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    out, manifest = written["chexpert"]
    rows = {row["file"]: row for row in manifest["rows"]}
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_OBSERVATIONS]
    assert len(CHEXPERT_OBSERVATIONS) == 14
    seen = []
    for part in ("train", "valid"):
        table = _table(out / f"CheXpert-v1.0-small/{part}.csv")
        assert list(table[0]) == header
        for line in table:
            pattern = rf"CheXpert-v1\.0-small/{part}/patient\d{{5}}/study\d+/view1_frontal\.(jpg|png)"
            assert re.fullmatch(pattern, line["Path"])
            assert line["Sex"] in ("Male", "Female")
            assert line["AP/PA"] in ("AP", "PA")
            row = rows[line["Path"]]
            for name, value in row["labels"].items():
                recorded = float(line[name]) if line[name] else None
                if part == "train":
                    assert recorded == value
                elif row["defect"] is None:
                    assert recorded == row["truth"][name]
            seen.append(line["Path"])
    assert sorted(seen) == sorted(rows)
    values = {line[name] for line in _table(out / "CheXpert-v1.0-small/valid.csv") for name in CHEXPERT_OBSERVATIONS}
    assert values <= {"0.0", "1.0"}


def test_the_nih_tree(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    out, manifest = written["nih"]
    lines = (out / "Data_Entry_2017.csv").read_text().splitlines()
    assert lines[0] == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    assert all(line.count(",") == 11 for line in lines)
    listed = (out / "train_val_list.txt").read_text().split() + (out / "test_list.txt").read_text().split()
    assert sorted(listed) == sorted(Path(row["file"]).name for row in manifest["rows"])
    names = {"Lung Lesion": "Nodule", "Pleural Effusion": "Effusion"}
    for line, row in zip(lines[1:], manifest["rows"], strict=True):
        cells = line.split(",")
        assert re.fullmatch(r"\d{8}_\d{3}\.png", cells[0])
        assert int(cells[0][:8]) == int(cells[3]) == int(row["patient"].removeprefix("patient"))
        present = {names.get(name, name) for name, value in row["labels"].items() if value in (1.0, -1.0)}
        assert set(cells[1].split("|")) == (present or {"No Finding"})


def test_the_radiography_tree(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    out, manifest = written["radiography"]
    counts = Counter(row["file"].split("/")[0] for row in manifest["rows"])
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"COVID", "Normal", "Viral Pneumonia"}
    for label, number in counts.items():
        expected = {f"{label}-{i}.png" for i in range(1, number + 1)}
        assert {path.name for path in (out / label / "images").iterdir()} == expected
        assert {path.name for path in (out / label / "masks").iterdir()} == expected
        page = load_workbook(out / f"{label}.metadata.xlsx").active
        assert page is not None
        cells = list(page.iter_rows(values_only=True))
        assert cells[0] == ("FILE NAME", "FORMAT", "SIZE", "URL")
        assert {f"{cell[0]}.png" for cell in cells[1:]} == expected
    lungs = _pixels(out / "Normal/masks/Normal-1.png")
    assert set(np.unique(lungs)) == {0, 255}
    assert 0.1 < (lungs > 0).mean() < 0.5


def test_the_kermany_tree(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    _, manifest = written["kermany"]
    pattern = re.compile(
        r"chest_xray/(train|val|test)/(NORMAL/(NORMAL2-)?IM-(\d{4})-\d{4}|PNEUMONIA/person(\d+)_(bacteria|virus)_\d+)"
        r"\.(jpeg|png)"
    )
    for row in manifest["rows"]:
        found = pattern.fullmatch(row["file"])
        assert found, row["file"]
        assert found[1] == row["split"]
        assert int(found[4] or found[5]) == int(row["patient"].removeprefix("patient"))
        if row["truth"]["PNEUMONIA"] and found[6]:
            shown = "Consolidation" if found[6] == "bacteria" else "Interstitial Opacity"
            assert list(row["severity"]) == [shown]


def test_the_npz_tree(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    out, manifest = written["npz"]
    assert _files(out) == {f"cxr-multilabel_{SIZE}.npz"}
    with np.load(out / f"cxr-multilabel_{SIZE}.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {f"{split}_{what}" for split in ("train", "val", "test") for what in ("images", "labels")}
        for row in manifest["rows"]:
            image = arrays[row["array"]][row["index"]]
            labels = arrays[row["array"].replace("images", "labels")][row["index"]]
            assert image.shape == (SIZE, SIZE)
            assert image.dtype == labels.dtype == np.uint8
            assert labels.tolist() == [int(value in (1.0, -1.0)) for value in row["labels"].values()]
        total = sum(len(arrays[f"{split}_labels"]) for split in ("train", "val", "test"))
    assert total == len(manifest["rows"])


def test_single_class_npz_labels_are_one_column(tmp_path: Path) -> None:
    write_phantom(PhantomSpec("mri-binary", 12, size=SIZE), tmp_path / "out", "npz", workers=1)
    with np.load(tmp_path / f"out/mri-binary_{SIZE}.npz", allow_pickle=False) as arrays:
        assert arrays["train_labels"].shape[1] == 1
        assert set(np.unique(arrays["train_labels"])) <= {0, 1}


def test_the_dicom_tree_shows_the_same_pictures_in_both_polarities(
    written: dict[str, tuple[Path, dict[str, Any]]],
) -> None:
    out, manifest = written["dicom"]
    polarities = set()
    images = list(generate(PhantomSpec("cxr-binary", IMAGES, size=SIZE)))
    for row, drawn in zip(manifest["rows"], images, strict=False):
        assert row["file"] == f"{row['patient']}/study{row['visit']}/image0001.dcm"
        dataset = pydicom.dcmread(out / row["file"])
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, 12, 11)
        assert dataset.Modality == ("DX" if row["site"] == "A" else "CR")
        assert dataset.PatientID == row["patient"]
        stored = dataset.pixel_array.astype(float) / 4095.0
        polarities.add(dataset.PhotometricInterpretation)
        shown = 1.0 - stored if dataset.PhotometricInterpretation == "MONOCHROME1" else stored
        assert np.abs(shown - drawn.pixels).max() <= 0.5 / 4095 + 1e-6
    assert polarities == {"MONOCHROME1", "MONOCHROME2"}
    assert [line["file"] for line in _table(out / "labels.csv")] == [row["file"] for row in manifest["rows"]]


def test_every_preset_writes_in_every_format_it_fits(tmp_path: Path) -> None:
    for preset in PRESETS.values():
        for format in preset.formats:
            out = tmp_path / f"{preset.name}_{format}"
            manifest = write_phantom(PhantomSpec(preset.name, 4, size=28), out, format, workers=1)
            assert len(manifest["rows"]) == 4


@pytest.mark.parametrize("format", ["folder", "kermany", "dicom", "nih"])
def test_byte_copies_are_byte_copies_and_nothing_else_is(
    format: str, written: dict[str, tuple[Path, dict[str, Any]]]
) -> None:
    out, manifest = written[format]
    groups: dict[str, list[str]] = {}
    for row in manifest["rows"]:
        digest = hashlib.sha256((out / row["file"]).read_bytes()).hexdigest()
        groups.setdefault(digest, []).append(row["file"])
    found = {frozenset(group) for group in groups.values() if len(group) > 1}
    copies = [_row_of(manifest, kind) for kind in ("byte_copy", "byte_copy_across")]
    assert found == {frozenset((row["file"], row["source"]["file"])) for row in copies}


def test_copies_across_labels_carry_another_label_and_all_copies_another_patient(
    written: dict[str, tuple[Path, dict[str, Any]]],
) -> None:
    _, manifest = written["folder"]
    rows = {row["file"]: row for row in manifest["rows"]}
    for row in manifest["rows"]:
        if row["source"] is None:
            continue
        source = rows[row["source"]["file"]]
        assert row["patient"] != source["patient"]
        assert row["truth"] == source["truth"]
        assert (row["labels"] != source["labels"]) == row["defect"].endswith("_across")


def test_near_copies_look_like_their_source(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    out, manifest = written["nih"]
    for kind in KINDS:
        if kind not in ("jpeg_copy", "resize_copy", "brightness_copy", "gamma_copy", "near_copy_across", "flip_copy"):
            continue
        row = _row_of(manifest, kind)
        copy, source = _pixels(out / row["file"]), _pixels(out / row["source"]["file"])
        assert not np.array_equal(copy, source)
        same = copy[:, ::-1] if kind == "flip_copy" else copy
        assert np.corrcoef(same.ravel(), source.ravel())[0, 1] > 0.97


def test_a_flipped_label_is_wrong_and_its_image_is_right(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    for format in ("folder", "kermany", "dicom"):
        row = _row_of(written[format][1], "flipped_label")
        label = next(name for name, value in row["labels"].items() if value)
        assert row["truth"][label] == 0


def test_broken_files_are_broken_as_they_say(written: dict[str, tuple[Path, dict[str, Any]]]) -> None:
    out, manifest = written["folder"]
    paths = {kind: out / _row_of(manifest, kind)["file"] for kind in BROKEN}
    assert paths["zero_byte"].stat().st_size == 0
    with pytest.raises(OSError), Image.open(paths["truncated"]) as truncated:
        truncated.load()
    modes, pixels = {}, {}
    for kind in set(BROKEN) - {"zero_byte", "truncated"}:
        with Image.open(paths[kind]) as image:
            modes[kind], pixels[kind] = image.mode, np.asarray(image)
    assert np.ptp(pixels["constant"]) == 0
    assert modes["rgba"] == "RGBA"
    assert modes["sixteen_bit"].startswith("I;16")
    assert pixels["sixteen_bit"].max() > 255
    assert pixels["odd_aspect"].shape[1] > 2 * pixels["odd_aspect"].shape[0]
    corners = pixels["inverted"][[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() > 200


def test_defects_of_a_kind_the_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    for format, kind in (("npz", "zero_byte"), ("dicom", "rgba")):
        spec = PhantomSpec("cxr-binary", 10, size=SIZE, defects={kind: 1})
        with pytest.raises(WrongRequest, match=kind):
            write_phantom(spec, tmp_path / "out", format, workers=1)
    assert not any(tmp_path.iterdir())


def test_unknown_or_too_many_defects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongRequest, match="scratch"):
        write_phantom(PhantomSpec("cxr-binary", 10, size=SIZE, defects={"scratch": 1}), tmp_path / "out", workers=1)
    with pytest.raises(WrongRequest, match="larger n"):
        write_phantom(
            PhantomSpec("cxr-binary", 10, size=SIZE, defects={"byte_copy": 6, "flip_copy": 5}), tmp_path / "out"
        )


def test_defects_true_injects_about_two_per_cent_of_each(tmp_path: Path) -> None:
    manifest = write_phantom(PhantomSpec("cxr-binary", 100, size=28, defects=True), tmp_path / "out", workers=1)
    counts = Counter(row["defect"] for row in manifest["rows"])
    assert {kind: counts[kind] for kind in KINDS} == dict.fromkeys(KINDS, 2)


@pytest.mark.parametrize(
    ("preset", "format"),
    [("mri-binary", "chexpert"), ("cxr-binary", "radiography"), ("cxr-multilabel", "kermany"), ("cxr-binary", "zip")],
)
def test_a_format_that_does_not_fit_is_refused_with_those_that_do(preset: str, format: str, tmp_path: Path) -> None:
    with pytest.raises(WrongRequest, match="folder"):
        write_phantom(PhantomSpec(preset, 4, size=SIZE), tmp_path / "out", format)


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    spec = PhantomSpec("cxr-binary", 4, size=28)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious.txt").write_text("mine")
    with pytest.raises(WrongRequest, match="not an empty folder"):
        write_phantom(spec, tmp_path / "out", workers=1)
    assert _files(tmp_path) == {"out/precious.txt"}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WrongRequest):
        write_phantom(spec, tmp_path / "file", workers=1)
    (tmp_path / "empty").mkdir()
    write_phantom(spec, tmp_path / "empty", workers=1)
    with pytest.raises(WrongRequest):
        write_phantom(spec, tmp_path / "empty", workers=1)


def test_a_place_that_cannot_be_written_is_bad_data(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadData, match="cannot write"):
        write_phantom(PhantomSpec("cxr-binary", 4, size=28), tmp_path / "file/out", workers=1)


def test_an_interrupted_phantom_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("secondread.images.phantom.writing.write_json", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_phantom(PhantomSpec("cxr-binary", 4, size=28), tmp_path / "out", workers=1)
    assert not any(tmp_path.iterdir())


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f".out.{gone.pid}.part"
    left.mkdir()
    (left / "half.png").write_bytes(b"half")
    write_phantom(PhantomSpec("cxr-binary", 2, size=28), tmp_path / "out", workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out_truth"}


def test_several_processes_write_the_same_files_as_one(tmp_path: Path) -> None:
    spec = PhantomSpec("cxr-multilabel", 10, size=SIZE, imbalance={"Edema": 0.5}, defects={"byte_copy": 1})
    one = write_phantom(spec, tmp_path / "one", "chexpert", workers=1)
    two = write_phantom(spec, tmp_path / "two", "chexpert", workers=2)
    assert one == two
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    for name in _files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert _files(tmp_path / "one_truth") == _files(tmp_path / "two_truth")


def test_a_spec_imports_nothing_heavy_and_drawing_no_torch() -> None:
    program = (
        "import sys; from secondread.images.phantom import PhantomSpec, PRESETS; PhantomSpec('cxr-binary', 3); "
        "heavy = {'torch', 'scipy', 'pydicom', 'openpyxl', 'PIL'} & set(sys.modules); assert not heavy, heavy"
    )
    program += "; from secondread.images.phantom import generate; next(generate(PhantomSpec('cxr-binary', 3)))"
    program += "; assert 'torch' not in sys.modules"
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
