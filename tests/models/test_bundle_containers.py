"""Folders and zips that hold more than a bundle, less, or something that reaches outside."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from models.tiny_bundle import refused
from secondread.core.agreement import FILES, INT8
from secondread.models.bundle import Bundle
from secondread.models.bundle.container import LARGEST, int8_beside, write_zip, zip_beside

NAMES = list(LARGEST)


def test_what_lies_beside_a_bundle_is_called_what_studies_are_checked_for() -> None:
    assert int8_beside(Path("a/b")).name == f"b{INT8}"
    assert zip_beside(Path("a/b")).name.removeprefix("b") in FILES


def test_folders_with_anything_else(bundle: Path, tmp_path: Path) -> None:
    (bundle / "done.json").write_text("{}")
    Bundle.open(bundle, threads=1)
    (bundle / "extra.txt").write_text("x")
    assert "extra.txt" in refused(bundle)
    (bundle / "extra.txt").unlink()
    (bundle / "model.onnx").rename(tmp_path / "model.onnx")
    os.symlink(tmp_path / "model.onnx", bundle / "model.onnx")
    assert "plain file" in refused(bundle)


def test_what_is_no_bundle_at_all(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing")
    assert refused(tmp_path)
    (tmp_path / "text.zip").write_text("not a zip")
    assert refused(tmp_path / "text.zip")


def zipped(whole: Path, path: Path, rename: dict[str, str] | None = None, mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name in NAMES:
            entry = zipfile.ZipInfo((rename or {}).get(name, name))
            entry.external_attr = mode << 16
            packed.writestr(entry, (whole / name).read_bytes())
    return path


def test_zips_that_reach_outside(whole: Path, tmp_path: Path) -> None:
    assert Bundle.open(zipped(whole, tmp_path / "in.zip", {name: f"bundle/{name}" for name in NAMES}), threads=1)
    assert refused(zipped(whole, tmp_path / "up.zip", {name: f"../{name}" for name in NAMES}))
    assert refused(zipped(whole, tmp_path / "root.zip", {name: f"/etc/{name}" for name in NAMES}))
    assert refused(zipped(whole, tmp_path / "mixed.zip", {"card.json": "other/card.json"}))
    assert "plain file" in refused(zipped(whole, tmp_path / "link.zip", mode=0o120777))
    assert "''" in refused(zipped(whole, tmp_path / "nameless.zip", {"MODEL_CARD.md": ""}))
    assert "evil.py" in refused(zipped(whole, tmp_path / "extra.zip", {"MODEL_CARD.md": "evil.py"}))


def test_zips_that_are_damaged_or_too_large(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.zip"
    write_zip(whole, path)
    content = bytearray(path.read_bytes())
    content[200] ^= 4
    path.write_bytes(bytes(content))
    assert refused(path)
    path.write_bytes(bytes(content)[:-60])
    assert refused(path)
    monkeypatch.setitem(LARGEST, "model.onnx", 10)
    assert "at most 10" in refused(whole)
