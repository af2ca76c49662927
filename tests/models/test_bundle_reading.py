"""Reading files, folders and zips: one record per regular file, whatever it is, and never PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from models.tiny_bundle import opened, tiny_bundle
from secondread import api
from secondread.cli import app
from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import sha256_of_bytes
from secondread.images.decode import DecodePolicy, Refusal
from secondread.models.bundle import Bundle
from secondread.models.bundle.reading import read_images


def picture(seed: int = 0, side: int = 40) -> NDArray[np.uint8]:
    across = np.linspace(-1, 1, side)
    disc = np.exp(-((across[:, None] - 0.2) ** 2 + across[None] ** 2) / 0.3) * 200
    return np.clip(disc + np.random.default_rng(seed).normal(0, 8, (side, side)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return opened(tmp_path_factory.mktemp("reading") / "bundle")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for number, name in enumerate(["b.png", "a.tif", "sub/c.bmp"]):
        Image.fromarray(picture(number)).save(root / name)
    (root / "notes.txt").write_text("no image")
    (root / "empty.png").write_bytes(b"")
    (root / "cut.png").write_bytes((root / "b.png").read_bytes()[:300])
    return root


def test_every_regular_file_gets_one_record_in_a_fixed_order(bundle: Bundle, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    found = list(read_images(bundle, [folder], batch=2))
    assert [Path(r["file"]).name for r in found] == ["a.tif", "b.png", "cut.png", "empty.png", "notes.txt", "c.bmp"]
    assert [r["status"] == "failed" for r in found] == [False, False, True, True, True, False]
    for record in found:
        assert list(record)[:3] == ["file", "content_id", "status"]
        assert record["bundle"] == bundle.sha256
        assert record["seconds"] >= 0
        assert record["content_id"] == sha256_of_bytes(Path(record["file"]).read_bytes())
        assert ("decision" in record) == ("probabilities" in record) == (record["status"] != "failed")
        assert bool(record["reason"]) == (record["status"] != "read")
        json.dumps(record, allow_nan=False)


def test_a_model_of_first_frames_reads_first_frames_and_says_so(bundle: Bundle, tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(number)) for number in range(3)]
    frames[0].save(tmp_path / "one.tif")
    frames[0].save(tmp_path / "three.tif", save_all=True, append_images=frames[1:])
    (refused,) = read_images(bundle, [tmp_path / "three.tif"])
    assert (refused["status"], "3 images" in refused["reason"]) == ("failed", True)
    of_first = opened(tmp_path / "bundle", frames="first")
    one, three = read_images(of_first, [tmp_path / "one.tif", tmp_path / "three.tif"])
    assert three["probabilities"] == one["probabilities"]
    assert three["frames"] == "the first of 3 was read"
    assert "frames" not in one
    shown = CliRunner().invoke(app, ["read", str(tmp_path / "bundle"), str(tmp_path / "three.tif")])
    assert "the first of 3 was read" in shown.stdout


def test_a_card_that_reads_no_frames_is_written_as_before_there_were_any(bundle: Bundle) -> None:
    assert "frames" not in bundle.card.to_json()


def test_linked_folders_are_read_and_links_that_lead_back_end(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "there").symlink_to(folder / "sub")
    (folder / "sub" / "back").symlink_to(tmp_path / "linked")
    found = [Path(record["file"]) for record in read_images(bundle, [tmp_path / "linked"])]
    assert found == [tmp_path / "linked" / "there" / "c.bmp"]


def test_batches_change_nothing(bundle: Bundle, folder: Path) -> None:
    def told(batch: int) -> list[object]:
        return [r.get("probabilities") for r in read_images(bundle, [folder], batch=batch)]

    one, many = told(1), told(8)
    for a, b in zip(one, many, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(list(a.values()), list(b.values()), atol=1e-6)  # type: ignore[attr-defined]


def test_records_agree_with_reading_one_image(bundle: Bundle, folder: Path) -> None:
    (record,) = read_images(bundle, [folder / "b.png"])
    reading = bundle.read(folder / "b.png", heatmaps=True)
    assert record["probabilities"] == pytest.approx(reading.probabilities, abs=1e-6)
    assert (record["status"], record["decision"]) == (reading.status, reading.decision)
    assert record["content_id"] == reading.content_id
    assert reading.heat is not None
    assert set(reading.heat) == set(bundle.card.classes)


def test_a_zip_is_read_like_its_folder(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.dat"  # typed by content, not by name
    with zipfile.ZipFile(path, "w") as packed:
        for name in ("b.png", "notes.txt", "sub/c.bmp"):
            packed.write(folder / name, name)
    found = list(read_images(bundle, [path]))
    assert [r["file"] for r in found] == [f"{path}/{name}" for name in ("b.png", "notes.txt", "sub/c.bmp")]
    assert [r["status"] == "failed" for r in found] == [False, True, False]
    direct = next(iter(read_images(bundle, [folder / "b.png"])))
    assert found[0]["probabilities"] == direct["probabilities"]


def refused_archive(bundle: Bundle, path: Path) -> str:
    (record,) = read_images(bundle, [path])
    assert record["status"] == "failed"
    assert record["file"] == str(path)
    return str(record["reason"])


def test_a_refused_archive_is_one_record(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    outside = [("../up.png", "outside"), ("/root.png", "outside"), ("a/..\\..\\b.png", "outside")]
    for name, word in [*outside, ("", "no name"), (".", "no name")]:
        with zipfile.ZipFile(path, "w") as packed:
            packed.write(folder / "b.png", "good.png")
            packed.writestr(zipfile.ZipInfo(name), b"x")
        assert word in refused_archive(bundle, path)
    with zipfile.ZipFile(path, "w") as packed:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    assert "regular" in refused_archive(bundle, path)
    with zipfile.ZipFile(path, "w"):
        pass
    assert "empty" in refused_archive(bundle, path)
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(folder / "b.png", "good.png")
    path.write_bytes(path.read_bytes()[:-30])
    assert refused_archive(bundle, path)


def test_entries_that_are_too_large_or_archives_fail_alone(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    inner, path = tmp_path / "inner.zip", tmp_path / "outer.zip"
    with zipfile.ZipFile(inner, "w") as packed:
        packed.write(folder / "b.png", "b.png")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(inner, "inner.zip")
        packed.writestr("large.png", bytes(100_000))
        packed.write(folder / "b.png", "good.png")
    found = list(read_images(bundle, [path], policy=DecodePolicy(max_bytes=50_000)))
    assert [r["status"] == "failed" for r in found] == [True, True, False]
    assert "inside an archive" in found[0]["reason"]
    assert "bytes" in found[1]["reason"]


def test_what_is_not_there_fails_and_the_rest_goes_on(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    found = list(read_images(bundle, [tmp_path / "nothing.png", folder / "b.png"]))
    assert [r["status"] == "failed" for r in found] == [True, False]
    with pytest.raises(Refusal):
        bundle.read(tmp_path / "nothing.png")


def test_results_come_batch_by_batch(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    """The first records are there before later paths are looked at."""

    def paths():  # type: ignore[no-untyped-def]
        yield folder / "b.png"
        yield folder / "a.tif"
        raise AssertionError("looked too far ahead")

    stream = read_images(bundle, paths(), batch=2)
    assert [next(stream)["status"] != "failed" for _ in range(2)] == [True, True]


def test_heatmap_overlays(folder: Path, tmp_path: Path) -> None:
    bundle = opened(tmp_path / "labels", task="multilabel", channels=3)
    found = list(read_images(bundle, [folder], heatmaps=tmp_path / "maps"))
    read = [r for r in found if r["status"] != "failed"]
    for record in read:
        assert record["heatmaps"]
        for name, path in record["heatmaps"].items():
            assert name in bundle.card.classes
            with Image.open(path) as shown:
                assert shown.mode == "RGB"
                assert min(shown.size) >= 40
    assert len(list((tmp_path / "maps").iterdir())) == sum(len(r["heatmaps"]) for r in read)


def test_names_in_overlays_cannot_leave_the_folder(tmp_path: Path) -> None:
    bundle = opened(tmp_path / "b", classes=["no", "../../etc/up"])
    path = tmp_path / "<img src=x>…..png"
    Image.fromarray(picture()).save(path, "PNG")
    (record,) = read_images(bundle, [path], heatmaps=tmp_path / "maps")
    for written in record["heatmaps"].values():
        assert Path(written).resolve().parent == (tmp_path / "maps").resolve()
        assert Path(written).name.isascii()


def test_overlays_of_classes_in_other_scripts_do_not_overwrite_each_other(folder: Path, tmp_path: Path) -> None:
    names = ["肺炎", "正常", "气胸"]
    bundle = opened(tmp_path / "b", task="multilabel", classes=names, thresholds=dict.fromkeys(names, 0.0))
    (record,) = read_images(bundle, [folder / "b.png"], heatmaps=tmp_path / "maps")
    assert list(record["heatmaps"]) == names
    assert len(list((tmp_path / "maps").iterdir())) == 3


def test_without_heatmaps_in_the_graph_none_are_written(folder: Path, tmp_path: Path) -> None:
    bundle = opened(tmp_path / "plain", heatmaps=False)
    (record,) = read_images(bundle, [folder / "b.png"], heatmaps=tmp_path / "maps")
    assert record["heatmaps"] == {}
    assert bundle.read(folder / "b.png", heatmaps=True).heat is None


def test_what_an_earlier_reading_wrote_is_not_read(folder: Path, tmp_path: Path) -> None:
    """Here twice, with maps in a folder that comes late and a table among the images."""
    bundle = tiny_bundle(tmp_path / "bundle", gate=False)
    told = []
    for _ in range(2):
        made = CliRunner().invoke(
            app,
            ["read", str(bundle), str(folder), "--json", "--heatmaps", str(folder / "sub" / "z"), "--csv",
             str(folder / "told.csv")],
        )  # fmt: skip
        lines = (line for line in made.stdout.splitlines() if line.startswith("{"))
        told.append([Path(json.loads(line)["file"]).name for line in lines])
    assert told == [["a.tif", "b.png", "cut.png", "empty.png", "notes.txt", "c.bmp"]] * 2
    assert len(list((folder / "sub" / "z").iterdir())) == 3
    (shown, *_) = sorted((folder / "sub" / "z").iterdir())
    (asked,) = read_images(opened(tmp_path / "same"), [shown], heatmaps=folder / "sub" / "z")
    assert asked["file"] == str(shown)  # named itself it is read


def test_a_name_cannot_end_its_line_or_speak_to_the_terminal(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", gate=False)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        packed.writestr("né\n\x1b]0;owned\x07\tread\tnormal.png", b"no image")
    made = CliRunner().invoke(app, ["read", str(bundle), str(tmp_path / "in.zip")])
    assert made.exit_code == 3, made.output
    (line,) = made.stdout.splitlines()
    name, status, _ = line.split("\t")
    assert name == str(tmp_path / "in.zip" / "né") + r"\n\x1b]0;owned\x07\tread\tnormal.png"
    assert status == "failed"


def test_a_table_holds_names_that_are_no_utf8(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", gate=False)
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(odd)).write_bytes(b"no image")
    except OSError:  # macOS has no such names
        pytest.skip("this file system takes UTF-8 alone")
    made = CliRunner().invoke(
        app, ["read", str(bundle), os.fsdecode(odd), "--json", "--csv", str(tmp_path / "told.csv")]
    )
    assert made.exit_code == 3, made.output
    assert "caf\\udce9.png," in (tmp_path / "told.csv").read_text(encoding="utf8").splitlines()[1]


def test_a_bundle_without_heatmaps_says_so_when_they_are_asked_for(folder: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", heatmaps=False, no_heatmaps="a chain is broken")
    asked = ["read", str(bundle), str(folder / "b.png"), "--heatmaps", str(tmp_path / "maps")]
    made = CliRunner().invoke(app, asked)
    assert made.exit_code == 0, made.output
    assert "no heatmaps: a chain is broken" in made.stderr
    assert "maps" not in made.stdout.replace("heatmaps", "")


def test_a_table_that_cannot_be_written_is_told_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken.csv").mkdir()
    (tmp_path / "file").touch()
    bundle = tiny_bundle(tmp_path / "bundle", gate=False)
    for place in ("taken.csv", "file/told.csv"):
        made = CliRunner().invoke(app, ["read", str(bundle), str(folder), "--csv", str(tmp_path / place)])
        assert isinstance(made.exception, BadData)
        assert f"cannot write {tmp_path / place}" in str(made.exception)
        assert made.stdout == ""


def test_in_python_the_columns_are_there_whatever_was_read(folder: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle", gate=False)
    columns = ["file", "content_id", "status", "reason", "decision", "bundle", "seconds", "p_normal", "p_pneumonia"]
    (tmp_path / "none").mkdir()
    for given, rows in ((tmp_path / "none", 0), (folder / "notes.txt", 1), (folder, 6)):
        table = api.read(bundle, given)
        assert list(table.columns) == columns
        assert len(table) == rows
    with pytest.raises(WrongRequest, match="there is no engine 'tensorrt'"):
        api.read(bundle, folder / "b.png", threads=1, engine="tensorrt")
    table = api.read(bundle, folder / "b.png", heatmaps=tmp_path / "maps", threads=1)
    assert list(table.columns) == [*columns, "heatmaps"]


def test_lossless_formats_and_depths_agree(bundle: Bundle, tmp_path: Path) -> None:
    pixels = picture(3)
    variants = {
        "a.png": pixels,
        "b.tif": pixels,
        "c.bmp": pixels,
        "d.webp": pixels,
        "e.png": pixels.astype(np.uint16) * 257,
    }
    for name, content in variants.items():
        Image.fromarray(content).save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    found = [r["probabilities"]["pneumonia"] for r in read_images(bundle, [tmp_path / name for name in variants])]
    assert np.ptp(found) <= 1e-3


PROGRAM = """
import sys, json
from pathlib import Path
from secondread.models.bundle import Bundle
from secondread.models.bundle.reading import read_images
bundle = Bundle.open(Path(sys.argv[1]), threads=1)
found = [r["status"] for r in read_images(bundle, [Path(sys.argv[2])], heatmaps=Path(sys.argv[3]))]
heavy = ["torch", "torchvision", "timm", "accelerate", "pandas", "scipy", "sklearn", "matplotlib", "pyarrow", "onnx"]
print(json.dumps([found, [name for name in heavy if name in sys.modules]]))
"""


def test_reading_imports_nothing_heavy(folder: Path, tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "b")
    places = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", PROGRAM, str(tmp_path / "b"), str(folder), str(tmp_path / "maps")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=places)
    statuses, heavy = json.loads(done.stdout)
    assert len(statuses) == 6
    assert heavy == []
