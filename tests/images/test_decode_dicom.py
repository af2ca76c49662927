from __future__ import annotations

import importlib.util
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from secondread.images.decode import DecodePolicy, Refusal, decode, display_pixels

_spec = importlib.util.spec_from_file_location("golden_dicom", Path(__file__).parent / "golden" / "golden_dicom.py")
assert _spec is not None
assert _spec.loader is not None
golden = importlib.util.module_from_spec(_spec)
sys.modules["golden_dicom"] = golden
_spec.loader.exec_module(golden)

LOSSLESS = golden.lossless_set()
needs_dcm2pnm = pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="dcmtk's dcm2pnm is not installed")
needs_dcmtk = pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="dcmtk's dcmcjpeg is not installed")


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_lossless_variant_gives_the_same_pixels(name: str) -> None:
    decoded = decode(LOSSLESS[name])
    assert decoded.grey
    np.testing.assert_array_equal(decoded.to_uint8(), golden.picture())


def test_the_same_picture_as_other_files_gives_the_same_pixels() -> None:
    levels = golden.picture()
    for kind, pixels in (("PNG", levels), ("TIFF", levels), ("PNG", levels.astype(np.uint16) * 257),
                         ("TIFF", levels.astype(np.uint16) * 257), ("BMP", levels)):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        np.testing.assert_array_equal(decode(buffer.getvalue()).to_uint8(), levels)
    buffer = io.BytesIO()
    Image.fromarray(levels).convert("RGB").save(buffer, "WEBP", lossless=True)
    np.testing.assert_array_equal(decode(buffer.getvalue()).to_uint8(), levels)


@needs_dcmtk
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize(
    ("tool", "options"),
    [
        ("dcmcjpeg", ("+e1",)),
        ("dcmcjpeg", ("+el", "+sv", "2")),
        ("dcmcjpeg", ("+el",)),
        ("dcmcjpls", ()),
        ("dcmcrle", ()),
    ],
    ids=["jpeg lossless 70", "jpeg lossless 57-2", "jpeg lossless 57-6", "jpeg-ls", "rle"],
)
def test_lossless_files_of_dcmtk_give_the_same_pixels(
    tool: str, options: tuple[str, ...], bits: int, tmp_path: Path
) -> None:
    content = golden.by_dcmtk(golden.dicom_bytes(bits=bits), tmp_path, tool, *options)
    np.testing.assert_array_equal(decode(content).to_uint8(), golden.picture())


@needs_dcmtk
def test_signed_jpeg_lossless(tmp_path: Path) -> None:
    content = golden.by_dcmtk(golden.dicom_bytes(bits=16, signed=True), tmp_path, "dcmcjpeg", "+e1")
    np.testing.assert_array_equal(decode(content).to_uint8(), golden.picture())


@needs_dcm2pnm
@pytest.mark.parametrize("name", LOSSLESS)
def test_full_range_agrees_with_dcmtk(name: str, tmp_path: Path) -> None:
    if name.startswith(("JPEG 2000", "J2K")):
        pytest.skip("dcmtk does not read JPEG 2000")
    ours = decode(LOSSLESS[name]).to_uint8().astype(int)
    theirs = golden.dcm2pnm(LOSSLESS[name], tmp_path, "-W").astype(int)
    assert np.abs(ours - theirs).max() <= 1


WINDOWS = {
    "linear": {"WindowCenter": 2000, "WindowWidth": 1500},
    "first of several": {"WindowCenter": [1500, 3000], "WindowWidth": [2500, 100]},
    "rescaled": {"WindowCenter": 300, "WindowWidth": 900, "RescaleSlope": "0.5", "RescaleIntercept": "-200"},
    "sigmoid": {"WindowCenter": 2000, "WindowWidth": 1500, "VOILUTFunction": "SIGMOID"},
    "wide": {"WindowCenter": 2048, "WindowWidth": 9000},
}


@needs_dcm2pnm
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_agree_with_dcmtk(name: str, signed: bool, photometric: str, tmp_path: Path) -> None:
    window = dict(WINDOWS[name])
    if signed:
        slope = window.setdefault("RescaleSlope", "1")
        window["RescaleIntercept"] = str(float(window.get("RescaleIntercept", 0)) + 2048 * float(slope))
    content = golden.dicom_bytes(photometric=photometric, signed=signed, **window)
    shown = display_pixels(decode(content)).astype(int)
    options = ["+Wi", "1"] + (["+Wfs"] if name == "sigmoid" else [])
    assert np.abs(shown - golden.dcm2pnm(content, tmp_path, *options).astype(int)).max() <= 1


@needs_dcm2pnm
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_lookup_tables_agree_with_dcmtk(photometric: str, tmp_path: Path) -> None:
    curve = np.round(4095 * (np.arange(4096) / 4095) ** 0.5).astype(np.int64)
    voi = golden.dicom_bytes(photometric=photometric, VOILUTSequence=[golden.table_item(curve, 0, 12)])
    shown = display_pixels(decode(voi)).astype(int)
    assert np.abs(shown - golden.dcm2pnm(voi, tmp_path, "+Wl", "1").astype(int)).max() <= 1
    modality = golden.dicom_bytes(
        photometric=photometric, ModalityLUTSequence=[golden.table_item(curve, 0, 12)], ModalityLUTType="US"
    )
    full = decode(modality).to_uint8().astype(int)
    assert np.abs(full - golden.dcm2pnm(modality, tmp_path, "-W").astype(int)).max() <= 1


def test_tables_in_big_endian_files_are_read_in_their_order() -> None:
    from pydicom.uid import ExplicitVRBigEndian

    curve = np.round(65535 * (np.arange(4096) / 4095) ** 0.5).astype(np.int64)

    def files(syntax: str) -> list[bytes]:
        order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
        item = golden.table_item(curve, 0, 16)
        del item.LUTData
        item.add_new("LUTData", "OW", curve.astype(order).tobytes())
        colours = {}
        for turn, name in enumerate(("Red", "Green", "Blue")):
            colours[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            colours[f"{name}PaletteColorLookupTableData"] = (curve[turn:4096:16][:256]).astype(order).tobytes()
        return [golden.dicom_bytes(syntax=syntax, VOILUTSequence=[item]),
                golden.dicom_bytes(syntax=syntax, ModalityLUTSequence=[item], ModalityLUTType="US"),
                golden.dicom_bytes(bits=8, syntax=syntax, photometric="PALETTE COLOR", **colours)]  # fmt: skip

    for little, big in zip(files(ExplicitVRLittleEndian), files(ExplicitVRBigEndian), strict=True):
        np.testing.assert_array_equal(display_pixels(decode(big)), display_pixels(decode(little)))


def test_eight_bits_in_big_endian_words() -> None:
    import pydicom
    from pydicom.uid import ExplicitVRBigEndian

    dataset = pydicom.dcmread(io.BytesIO(golden.dicom_bytes(bits=8, syntax=ExplicitVRBigEndian)))
    dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    np.testing.assert_array_equal(decode(golden.written(dataset)).to_uint8(), golden.picture())


def test_the_window_is_for_display_and_only_by_choice_for_models() -> None:
    decoded = decode(golden.dicom_bytes(WindowCenter=1000, WindowWidth=200))
    np.testing.assert_array_equal(decoded.to_uint8("full_range"), golden.picture())
    np.testing.assert_array_equal(decoded.to_uint8("window"), display_pixels(decoded))
    assert not np.array_equal(decoded.to_uint8("window"), golden.picture())


def test_inversion_comes_after_the_window() -> None:
    upright = decode(golden.dicom_bytes(WindowCenter=1200, WindowWidth=1000))
    window = {"WindowCenter": 4095 - 1200 + 1, "WindowWidth": 1000}
    negative = decode(golden.dicom_bytes(photometric="MONOCHROME1", **window))
    difference = display_pixels(upright).astype(int) - display_pixels(negative).astype(int)
    assert np.abs(difference).max() <= 1


@needs_dcmtk
def test_lossy_jpeg_stays_close(tmp_path: Path) -> None:
    content = golden.by_dcmtk(golden.dicom_bytes(bits=8), tmp_path, "dcmcjpeg", "+eb", "+q", "95")
    decoded = decode(content)
    assert decoded.facts.compression == "jpeg_baseline"
    assert np.abs(decoded.to_uint8().astype(int) - golden.picture()).mean() < 3


@needs_dcmtk
def test_twelve_bit_lossy_jpeg_is_refused_by_name(tmp_path: Path) -> None:
    content = golden.by_dcmtk(golden.dicom_bytes(bits=12), tmp_path, "dcmcjpeg", "+ee")
    with pytest.raises(Refusal, match="12-bit") as refusal:
        decode(content)
    assert refusal.value.code == "unsupported_syntax"


def test_colour_and_palette() -> None:
    colour = golden.colour_picture()
    decoded = decode(golden.dicom_bytes(colour, bits=8, photometric="RGB"))
    np.testing.assert_array_equal(decoded.pixels, colour)
    planar = golden.dicom_bytes(np.moveaxis(colour, 2, 0).reshape(colour.shape), bits=8, photometric="RGB",
                                PlanarConfiguration=1)  # fmt: skip
    np.testing.assert_array_equal(decode(planar).pixels, colour)
    palette = np.arange(256, dtype=np.int64)[::-1] * 257
    lookups = {}
    for name in ("Red", "Green", "Blue"):
        lookups[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        lookups[f"{name}PaletteColorLookupTableData"] = palette.astype("<u2").tobytes()
    indexed = decode(golden.dicom_bytes(bits=8, photometric="PALETTE COLOR", **lookups))
    np.testing.assert_array_equal(indexed.pixels, 255 - golden.picture())


def test_multi_frame_is_refused_or_first_by_choice() -> None:
    content = golden.dicom_bytes(frames=3)
    with pytest.raises(Refusal) as refusal:
        decode(content)
    assert refusal.value.code == "multi_frame"
    first = decode(content, policy=DecodePolicy(frames="first"))
    np.testing.assert_array_equal(first.to_uint8(), golden.picture())


def test_only_technical_tags_are_kept() -> None:
    tags = decode(golden.dicom_bytes()).tags
    assert tags["PatientID"] == "P0001"
    assert tags["ViewPosition"] == "PA"
    assert not any("Golden" in value for value in tags.values())


def _code(content: bytes) -> str:
    with pytest.raises(Refusal) as refusal:
        decode(content)
    assert "\n" not in str(refusal.value)
    return refusal.value.code


def test_hostile_files_are_refused_before_decoding() -> None:
    good = golden.dicom_bytes()
    assert _code(b"MZ" + good[2:]) == "preamble"
    assert decode(b"II*\0" + good[4:]).grey
    assert _code(good[:-5]) == "truncated"
    assert _code(golden.dicom_bytes(Rows=60000, Columns=60000)) == "too_large"
    assert _code(golden.dicom_bytes(Rows=200)) == "truncated"
    assert _code(golden.dicom_bytes(BitsStored=20)) == "unsupported_depth"
    assert _code(golden.dicom_bytes(HighBit=15)) == "unsupported_depth"
    assert _code(golden.dicom_bytes(RescaleSlope="0")) == "damaged"
    assert _code(golden.dicom_bytes(PhotometricInterpretation="XYB")) == "unsupported_colour"
    assert _code(golden.dicom_bytes(NumberOfFrames=2**31 - 1)) == "multi_frame"
    table = golden.table_item(np.arange(10), 0, 12)
    table.LUTDescriptor = [4096, 0, 12]
    assert _code(golden.dicom_bytes(VOILUTSequence=[table])) == "damaged"
    deflated = good.replace(ExplicitVRLittleEndian.encode() + b"\0", b"1.2.840.10008.1.2.1.99")
    assert _code(deflated[:400]) in ("unsupported_syntax", "damaged")


def test_an_empty_image_is_told_as_such() -> None:
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(golden.dicom_bytes()))
    dataset.PixelData = b""
    with pytest.raises(Refusal, match="holds no image"):
        decode(golden.written(dataset))


def test_rows_of_another_representation_are_refused() -> None:
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(golden.dicom_bytes()))
    del dataset.Rows
    dataset.add_new("Rows", "UL", 2**31)
    assert _code(golden.written(dataset)) == "damaged"


def test_a_compressed_frame_larger_than_its_header_is_refused() -> None:
    content = golden.compressed(golden.dicom_bytes(bits=12), JPEG2000Lossless)
    at = content.index(b"\xff\x4f\xff\x51")
    bomb = content[: at + 8] + (60000).to_bytes(4, "big") * 2 + content[at + 16 :]
    assert _code(bomb) == "too_large"
    other = content[: at + 8] + (golden.WIDTH + 1).to_bytes(4, "big") + content[at + 12 :]
    assert _code(other) == "damaged"


def test_an_rle_bomb_is_bounded() -> None:
    rows = columns = 4000
    packed = (b"\x81\x00" * 2_000_000)[: 2 * 2_000_000]
    header = np.zeros(16, "<u4")
    header[:2] = 1, 64
    from pydicom.encaps import encapsulate
    from pydicom.uid import RLELossless

    dataset = golden.header(np.zeros((rows, columns), np.uint8), 8, False, "MONOCHROME2", 1)
    dataset.PixelData = encapsulate([header.tobytes() + packed])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = RLELossless
    assert decode(golden.written(dataset)).pixels.max() == 0
