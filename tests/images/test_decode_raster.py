from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from secondread.images.decode import DecodePolicy, PixelSpec, Refusal, decode, read_pixels, resize_to, to_model_input


def ramp(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    return (np.add.outer(np.arange(height) * 3, np.arange(width) * 2) % 256).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def code(content: bytes | Path, **options: object) -> str:
    with pytest.raises(Refusal) as refusal:
        decode(content, policy=DecodePolicy(**options))  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)
    return refusal.value.code


def test_the_type_is_found_by_content_not_by_name(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encoded(Image.fromarray(ramp())))
    decoded = decode(path)
    assert decoded.facts.format == "PNG"
    np.testing.assert_array_equal(decoded.pixels, ramp())


def test_modes() -> None:
    grey = Image.fromarray(ramp())
    bilevel = decode(encoded(grey.convert("1")))
    assert set(np.unique(bilevel.pixels)) == {0, 255}
    assert decode(encoded(grey.convert("RGB"))).grey
    np.testing.assert_array_equal(decode(encoded(grey.convert("P"))).pixels, ramp())
    colour = np.dstack([ramp(), 255 - ramp(), np.full_like(ramp(), 7)])
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(colour))).pixels, colour)
    assert decode(encoded(Image.fromarray(colour).convert("CMYK"), "JPEG")).pixels.shape == (40, 60, 3)
    assert decode(encoded(Image.fromarray(colour).quantize(16))).pixels.shape == (40, 60, 3)
    sixteen = ramp().astype(np.uint16) * 200 + 55
    decoded = decode(encoded(Image.fromarray(sixteen)))
    assert decoded.bits == 16
    np.testing.assert_array_equal(decoded.pixels, sixteen)
    assert code(encoded(Image.fromarray(ramp().astype(np.float32)), "TIFF")) == "unsupported_depth"


def test_transparency_lies_on_black() -> None:
    rgba = np.dstack(
        [ramp(), ramp(), ramp(), np.where(np.arange(60) < 30, 255, 0)[None].repeat(40, 0).astype(np.uint8)]
    )
    pixels = decode(encoded(Image.fromarray(rgba))).pixels
    assert pixels.ndim == 2
    np.testing.assert_array_equal(pixels[:, :30], ramp()[:, :30])
    assert pixels[:, 30:].max() == 0
    layered = Image.fromarray(rgba).convert("LA")
    assert decode(encoded(layered)).pixels[:, 30:].max() == 0


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(Image.fromarray(ramp()), "PNG", exif=exif))))
    decoded = decode(encoded(Image.fromarray(ramp()), kind, exif=exif))
    np.testing.assert_array_equal(decoded.pixels, np.asarray(expected))
    assert (decoded.facts.width, decoded.facts.height) == expected.size
    assert decoded.facts.exif_orientation == orientation


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_reduced_jpeg_is_close_to_the_whole_one(orientation: int) -> None:
    y, x = np.mgrid[0:1600, 0:1200]
    smooth = (128 + 60 * np.sin(x / 90) + 60 * np.cos(y / 70)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(smooth), "JPEG", quality=90, exif=exif)
    reduced = decode(content, target=(112, 112))
    assert reduced.reduced == 4
    assert reduced.pixels.shape == ((400, 300) if orientation == 1 else (300, 400))
    assert min(reduced.pixels.shape) >= 2 * 112
    assert (reduced.facts.height, reduced.facts.width) == ((1600, 1200) if orientation == 1 else (1200, 1600))
    spec = PixelSpec(112)
    whole = to_model_input(decode(content), spec).astype(int)
    assert np.abs(read_pixels(content, spec).astype(int) - whole).mean() < 1.0


def test_jpeg_quality_is_estimated() -> None:
    for quality in (30, 75, 92):
        found = decode(encoded(Image.fromarray(ramp()), "JPEG", quality=quality)).facts.quality
        assert found is not None
        assert abs(found - quality) <= 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP"])
def test_a_file_cut_anywhere_is_refused(kind: str) -> None:
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    content = encoded(noisy if kind != "WEBP" else noisy.convert("RGB"), kind)
    for share in (0.02, 0.1, 0.5, 0.9, 0.97):
        assert code(content[: int(len(content) * share)]) in ("truncated", "damaged", "not_an_image")
    if kind == "PNG":
        assert code(content[:-6]) == "truncated"


def test_what_is_not_an_image_is_refused(tmp_path: Path) -> None:
    assert code(b"") == "empty"
    for content in (b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", b"GIF89a" + b"\0" * 50, b"\0" * 500):
        assert code(content) == "not_an_image"
    assert code(tmp_path) == "not_a_file"
    assert code(tmp_path / "absent.png") == "unreadable"
    os.mkfifo(tmp_path / "pipe")
    assert code(tmp_path / "pipe") == "not_a_file"
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert code(tmp_path / "dangling") == "unreadable"


def test_limits_come_before_decoding() -> None:
    flood = encoded(Image.new("1", (12000, 12000)))
    assert len(flood) < 100_000
    assert code(flood) == "too_large"
    assert code(encoded(Image.fromarray(ramp())), max_pixels=100) == "too_large"
    assert code(encoded(Image.fromarray(ramp())), max_bytes=50) == "too_large"


def test_animations_are_refused_or_first_by_choice() -> None:
    frames = [Image.fromarray(ramp()), Image.fromarray(255 - ramp())]
    content = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert code(content) == "multi_frame"
    np.testing.assert_array_equal(decode(content, policy=DecodePolicy(frames="first")).pixels, ramp())


def test_constant_images_are_refused_only_where_asked() -> None:
    content = encoded(Image.new("L", (20, 20), 9))
    assert decode(content).pixels.max() == 9
    assert code(content, refuse_constant=True) == "constant"


def test_intensity_mappings_are_named() -> None:
    twelve_in_sixteen = ramp().astype(np.uint16) * 16
    decoded = decode(encoded(Image.fromarray(twelve_in_sixteen)))
    assert decoded.to_uint8("full_range").max() == round(int(ramp().max()) * 16 * 255 / 65535)
    assert decoded.to_uint8("percentile").max() == 255
    np.testing.assert_array_equal(decoded.to_uint8("window"), decoded.to_uint8("full_range"))
    eight = decode(encoded(Image.fromarray(ramp())))
    np.testing.assert_array_equal(eight.to_uint8("percentile"), ramp())


def tiff(content: bytes, bits: int, photometric: int, width: int = 60, height: int = 40) -> bytes:
    """An uncompressed little-endian grey TIFF written by hand."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height),
            (279, len(content))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(content))
    return head + content + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


def test_depth_and_polarity_of_tiff_change_nothing() -> None:
    twelve = ramp().astype(np.uint16) * 16 + ramp() // 16
    first, second = twelve.reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8)
    for bits, photometric, content in [
        (8, 1, ramp()), (8, 0, 255 - ramp()), (12, 1, packed), (16, 1, ramp().astype("<u2") * 257),
        (16, 0, 65535 - ramp().astype("<u2") * 257),
    ]:  # fmt: skip
        decoded = decode(tiff(content.tobytes(), bits, photometric))
        assert decoded.bits == decoded.facts.bits == bits
        np.testing.assert_array_equal(decoded.to_uint8("full_range"), ramp())


def test_fits() -> None:
    wide = np.zeros((50, 100), np.uint8)
    wide[:, 25:75] = 200
    assert resize_to(wide, 40, "stretch").shape == (40, 40)
    assert resize_to(wide, 50, "crop").min() == 200
    padded = resize_to(wide, 40, "pad")
    assert padded[:10].max() == 0
    assert padded[20, 20] == 200
    assert padded[-10:].max() == 0
    bordered = np.full((100, 100), 10, np.uint8)
    bordered[10:90, 10:90] = 100
    assert resize_to(bordered, 32, crop_border=0.1).min() == 100
    assert resize_to(np.dstack([wide] * 3), (20, 30)).shape == (20, 30, 3)


def test_channels() -> None:
    colour = np.dstack([ramp(), 255 - ramp(), np.full_like(ramp(), 7)])
    decoded = decode(encoded(Image.fromarray(colour)))
    luma = to_model_input(decoded, PixelSpec(32, channels=1))
    assert luma.shape == (32, 32)
    assert to_model_input(decoded, PixelSpec(32, channels=3)).shape == (32, 32, 3)
    three = to_model_input(decode(encoded(Image.fromarray(ramp()))), PixelSpec(32, channels=3))
    assert (three == three[..., :1]).all()
