"""The same picture reads the same, whatever file it lies in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from images.golden.golden_dicom import by_dcmtk, dicom_bytes, lossless_set, picture
from models.tiny_bundle import opened
from secondread.models.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return opened(tmp_path_factory.mktemp("formats") / "bundle")


def raster(kind: str, sixteen: bool = False, **options: object) -> bytes:
    written = io.BytesIO()
    pixels = picture().astype(np.uint16) * 257 if sixteen else picture()
    Image.fromarray(pixels).save(written, kind, **options)
    return written.getvalue()


def chance(bundle: Bundle, content: bytes) -> float:
    return bundle.read(content).probabilities["pneumonia"]


def test_every_lossless_file_gives_the_same_probability(bundle: Bundle) -> None:
    files = lossless_set() | {
        "png": raster("PNG"), "png 16": raster("PNG", sixteen=True), "tiff": raster("TIFF"), "bmp": raster("BMP"),
        "tiff 16": raster("TIFF", sixteen=True), "webp": raster("WEBP", lossless=True),
    }  # fmt: skip
    wanted = chance(bundle, raster("PNG"))
    for name, content in files.items():
        assert chance(bundle, content) == pytest.approx(wanted, abs=1e-3), name


def test_jpeg_lossless_of_dcmtk_too(bundle: Bundle, tmp_path: Path) -> None:
    import shutil

    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmtk is not installed")
    content = by_dcmtk(dicom_bytes(bits=12), tmp_path, "dcmcjpeg", "+e1")
    assert chance(bundle, content) == pytest.approx(chance(bundle, raster("PNG")), abs=1e-3)
