"""Pixel padding of DICOM files: black, and no part of what grey values are measured by (PS3.3 C.7.5.1.1.2)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from tests.images.test_decode_dicom import golden

from secondread.images.decode import DecodePolicy, PixelSpec, Refusal, decode, display_pixels, read_pixels
from secondread.prepare.seen import Job, look
from secondread.serve.reads.pixels import StoredPixels, take_in, windows_of

TISSUE = np.linspace(1000, 1200, 24 * 30).reshape(24, 30).round().astype(np.int64)
AROUND = np.pad(np.zeros((24, 30), dtype=bool), 6, constant_values=True)


def padded(
    value: int,
    *,
    bits: int = 16,
    signed: bool = False,
    photometric: str = "MONOCHROME2",
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> bytes:
    """Tissue of little contrast in a frame of one stored value, or of several in turn."""
    levels = np.zeros(AROUND.shape, np.uint8)
    dataset = golden.header(levels, bits, signed, photometric, 1)
    values = np.full(AROUND.shape, value)
    values[~AROUND] = TISSUE.reshape(-1)
    for name, told in elements.items():
        setattr(dataset, name, told)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = values.astype(order + ("i2" if signed else "u2")).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    content: bytes = golden.written(dataset)
    if syntax == RLELossless:
        opened, packed = pydicom.dcmread(io.BytesIO(content)), io.BytesIO()
        opened.compress(RLELossless, generate_instance_uid=False)
        opened.save_as(packed)
        return packed.getvalue()
    return content


def spread(photometric: str = "MONOCHROME2") -> NDArray[np.int64]:
    """What the tissue is by its own percentiles, over 0..255."""
    grey = 65535 - TISSUE if photometric == "MONOCHROME1" else TISSUE
    low, high = np.percentile(grey, (0.5, 99.5))
    return np.floor(np.clip((grey - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.int64)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_padding_is_black_and_takes_no_part_in_percentiles(photometric: str, value: int, syntax: str) -> None:
    decoded = decode(padded(value, photometric=photometric, syntax=syntax, PixelPaddingValue=value))
    shown = decoded.to_uint8("percentile").astype(np.int64)
    assert (shown[AROUND] == 0).all()
    np.testing.assert_array_equal(shown[~AROUND].reshape(TISSUE.shape), spread(photometric))
    assert (decoded.to_uint8("full_range")[AROUND] == 0).all()


def test_without_the_tag_nothing_is_padding() -> None:
    decoded = decode(padded(65535))
    assert decoded.padding is None
    assert (decoded.to_uint8("full_range")[AROUND] == 255).all()
    assert decode(padded(65535, PixelPaddingValue=4711)).padding is None


@pytest.mark.parametrize("signed_as", ["SS", "US"])
def test_signed_pixels_and_a_tag_of_either_sign(signed_as: str) -> None:
    """CT scanners write -2000 as 63536, or keep -2000 where twelve bits are stored."""
    for value, bits in ((-2000, 16), (-2000, 12)):
        content = padded(value, bits=bits, signed=True, RescaleIntercept=-1024, WindowCenter=76, WindowWidth=200)
        dataset = pydicom.dcmread(io.BytesIO(content))
        dataset.add_new("PixelPaddingValue", signed_as, value % 65536 if signed_as == "US" else value)
        decoded = decode(golden.written(dataset))
        assert decoded.padding is not None
        np.testing.assert_array_equal(decoded.padding, AROUND)
        assert set(decoded.to_uint8("window")[~AROUND].tolist()) >= {1, 254}


def test_a_range_has_both_limits_in_either_order() -> None:
    for first, second in ((0, 1050), (1050, 0)):
        decoded = decode(padded(7, PixelPaddingValue=first, PixelPaddingRangeLimit=second))
        assert decoded.padding is not None
        assert decoded.padding.sum() == AROUND.sum() + (TISSUE <= 1050).sum()
    assert decode(padded(7, PixelPaddingRangeLimit=1050)).padding is None


def test_a_window_that_shows_padding_grey_shows_it_black() -> None:
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        content = padded(1100, photometric=photometric, WindowCenter=1100, WindowWidth=400, PixelPaddingValue=1100)
        shown = display_pixels(decode(content))
        assert (shown[AROUND] == 0).all()
        assert shown[~AROUND][TISSUE.reshape(-1) != 1100].min() > 60


def test_what_is_no_value_is_passed_over() -> None:
    dataset = pydicom.dcmread(io.BytesIO(padded(0)))
    for representation, value in (("OW", b"\1\2\3"), ("US", [1, 2]), ("US", None)):
        dataset.add_new("PixelPaddingValue", representation, value)
        assert decode(golden.written(dataset)).padding is None


def test_nothing_but_padding_and_one_grey_in_padding_are_empty_images() -> None:
    policy = DecodePolicy(refuse_constant=True)
    everything = padded(0, PixelPaddingValue=0, PixelPaddingRangeLimit=65535)
    assert (decode(everything).to_uint8("percentile") == 0).all()
    one_grey = padded(0, PixelPaddingValue=0, PixelPaddingRangeLimit=1199)
    for content in (everything, one_grey):
        with pytest.raises(Refusal, match="same value"):
            decode(content, policy=policy)


def test_the_audit_the_cache_and_the_web_see_the_same(tmp_path: Path) -> None:
    content = padded(65535, PixelPaddingValue=65535)
    (tmp_path / "a.dcm").write_bytes(content)
    facts = look([Job(tmp_path / "a.dcm", -1, "refuse")])[0].facts
    assert facts["used_range"] == pytest.approx(200 / 65535)
    spec = PixelSpec(32, intensity="percentile")
    decoded = take_in(content, [], DecodePolicy(), tmp_path / "kept.npz")
    assert windows_of(decoded)["auto"][1] < 1201
    with StoredPixels(tmp_path / "kept.npz") as kept:  # made anew, as for a bundle that was not there on arrival
        np.testing.assert_array_equal(kept.model_input(spec)[0], read_pixels(content, spec))
        assert kept.thumbnail[0, 0] == 0
        assert kept.thumbnail[:, 20].max() > 100
