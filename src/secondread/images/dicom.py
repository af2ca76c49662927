"""DICOM images: everything is checked in the header before one pixel is decoded.

The order follows what has gone wrong elsewhere: preamble, file meta information, header, sizes, then one frame through
the one decoder of its transfer syntax, then modality, then inversion.
"""

from __future__ import annotations

import io
import warnings

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from secondread.images.decode_types import Decoded, DecodePolicy, FileFacts, Refusal
from secondread.images.dicom_frame import SYNTAXES, Shape, decode_frame
from secondread.images.dicom_grey import colour_pixels, grey_pixels, number, padding_of

PREFIX = b"DICM"
PREFIX_AT = 128
# Read from the header, nothing else: names, birth dates and addresses never enter the program.
KEPT_TAGS = (
    "PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID",
    "Modality", "BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality", "PatientOrientation",
    "Manufacturer", "ManufacturerModelName", "InstitutionName", "BurnedInAnnotation",
)  # fmt: skip
PIXEL_TAGS = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "LossyImageCompression", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PixelData",
)  # fmt: skip
MAX_META_BYTES = 64 * 1024
CUT = "header_cut"
LONG_LENGTHS = (b"OB", b"OD", b"OF", b"OL", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")


def is_dicom(content: bytes) -> bool:
    return content[PREFIX_AT : PREFIX_AT + 4] == PREFIX


def decode_dicom(content: bytes, policy: DecodePolicy) -> Decoded:
    """One frame of a DICOM file; raises `Refusal`, or whatever pydicom meets (the caller makes it a refusal)."""
    dataset = read_header(content)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    shape = checked_shape(dataset, policy)
    facts = _facts(dataset, shape, len(content), SYNTAXES[syntax])
    tags = kept_tags(dataset)
    stored = decode_frame(dataset, shape, syntax)
    if shape.samples == 1 and shape.photometric != "PALETTE COLOR":
        pixels, bits, display = grey_pixels(dataset, stored, shape)
        padding = padding_of(dataset, stored, shape)
        if padding is not None:
            pixels[padding] = 0
        return Decoded(pixels, bits, facts, tags, display, padding=padding)
    return Decoded(colour_pixels(dataset, stored, shape), 8, facts, tags)


def read_header(content: bytes, *, pixels: bool = True, further: str = "", cut: bool = False) -> Dataset:
    """The kept elements of a DICOM file, its transfer syntax known to be one that is read.

    Of content that is `cut`, only the beginning of a file, a header that does not end in it is refused (`CUT`).
    """
    preamble = content[:PREFIX_AT]
    if any(preamble) and preamble[:4] not in (b"II*\0", b"MM\0*"):
        raise Refusal(
            "preamble", "the 128 bytes before DICM are neither empty nor TIFF: it may be another file in disguise"
        )
    syntax = _transfer_syntax(content)
    if syntax not in SYNTAXES:
        raise Refusal("unsupported_syntax", f"transfer syntax {syntax[:64]!r} is not read")
    wanted = [*KEPT_TAGS, *(PIXEL_TAGS if pixels else PIXEL_TAGS[:-1]), *([further] if further else [])]
    opened = io.BytesIO(content)
    dataset = pydicom.dcmread(opened, specific_tags=wanted, stop_before_pixels=not pixels)
    if cut and opened.tell() >= len(content):
        raise Refusal(CUT, "the DICOM header goes on behind what was read of the file")
    return dataset


def kept_tags(dataset: Dataset) -> dict[str, str]:
    """The kept elements that are there, as short single-line text."""
    found = {}
    for name in KEPT_TAGS:
        value = dataset.get(name)
        if value not in (None, ""):
            written = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)  # as in the file
            found[name] = " ".join(written.split())[:64]
    return found


def checked_shape(dataset: Dataset, policy: DecodePolicy) -> Shape:
    """Sizes and layout, all of them plausible and within limits; raises `Refusal`."""
    if not dataset.get("PixelData"):
        raise Refusal("no_pixels", "the DICOM object holds no image")
    rows, columns = _unsigned(dataset, "Rows"), _unsigned(dataset, "Columns")
    samples, allocated = _unsigned(dataset, "SamplesPerPixel", 1), _unsigned(dataset, "BitsAllocated")
    stored = _unsigned(dataset, "BitsStored", allocated)
    frames = int(number(dataset.get("NumberOfFrames"), 1))
    if rows < 1 or columns < 1:
        raise Refusal("damaged", f"the header says {columns} by {rows} pixels")
    if rows * columns > policy.max_pixels or max(rows, columns) > policy.max_side:
        raise Refusal(
            "too_large", f"{columns} by {rows} pixels; at most {policy.max_pixels / 1e6:.0f} million are read"
        )
    if samples not in (1, 3) or allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise Refusal("unsupported_depth", f"{samples} samples of {stored} of {allocated} bits are not read")
    if _unsigned(dataset, "HighBit", stored - 1) != stored - 1:
        raise Refusal("unsupported_depth", "the stored bits are not the lowest ones")
    if frames != 1 and policy.frames == "refuse":
        raise Refusal("multi_frame", f"the file holds {frames} frames; one image is read at a time")
    if frames < 1:
        raise Refusal("damaged", f"the header says {frames} frames")
    return Shape(rows, columns, samples, allocated, stored, bool(_unsigned(dataset, "PixelRepresentation", 0)),
                 _unsigned(dataset, "PlanarConfiguration", 0), _photometric(dataset, samples), frames)  # fmt: skip


def _photometric(dataset: Dataset, samples: int) -> str:
    found = str(dataset.get("PhotometricInterpretation", "")).strip().upper()
    grey = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    colour = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
    if found not in (grey if samples == 1 else colour):
        raise Refusal(
            "unsupported_colour", f"photometric interpretation {found[:32]!r} with {samples} samples is not read"
        )
    return found


def _unsigned(dataset: Dataset, name: str, default: int | None = None) -> int:
    """A value of VR US and nothing wider: larger ones have overflowed other readers."""
    if name not in dataset or dataset[name].value in (None, ""):
        if default is None:
            raise Refusal("damaged", f"the header lacks {name}")
        return default
    element = dataset[name]
    if element.VR != "US" or not isinstance(element.value, int) or not 0 <= element.value <= 65535:
        raise Refusal("damaged", f"{name} is not an unsigned 16-bit number")
    return int(element.value)


def _facts(dataset: Dataset, shape: Shape, size: int, compression: str) -> FileFacts:
    return FileFacts(
        format="DICOM",
        mode=shape.photometric,
        width=shape.columns,
        height=shape.rows,
        bits=shape.stored,
        channels=shape.samples,
        bytes=size,
        compression=compression,
        frames=shape.frames,
    )


def _transfer_syntax(content: bytes) -> str:
    """The transfer syntax of the file meta information, found without unpacking anything."""
    at, found = PREFIX_AT + 4, ""
    while content[at : at + 2] == b"\x02\x00":
        kind = content[at + 4 : at + 6]
        head, wide = (12, slice(8, 12)) if kind in LONG_LENGTHS else (8, slice(6, 8))
        length = int.from_bytes(content[at : at + head][wide], "little")
        if length > MAX_META_BYTES or at + head + length > len(content):
            raise Refusal("damaged", "the DICOM file meta information is damaged")
        if content[at + 2 : at + 4] == b"\x10\x00":
            if found:
                raise Refusal("damaged", "the DICOM file names its transfer syntax twice")
            found = content[at + head : at + head + length].decode("ascii", "replace").rstrip("\0 ")
        at += head + length
    if not found:
        raise Refusal("damaged", "the DICOM file does not name its transfer syntax")
    return found


def header_facts(content: bytes, further: str = "", *, cut: bool = False) -> dict[str, str]:
    """The kept elements of a header (and one further, by keyword) from the beginning of a file; raises `Refusal`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not is_dicom(content):
                raise Refusal("not_an_image", "not a DICOM file")
            dataset = read_header(content, pixels=False, further=further, cut=cut)
            found = kept_tags(dataset)
            if further and dataset.get(further) not in (None, ""):
                found[further] = " ".join(str(dataset.get(further)).split())[:64]
            return found
    except Refusal:
        raise
    except Exception as error:  # hostile headers make the reader raise anything
        raise Refusal("damaged", f"the DICOM header cannot be read: {type(error).__name__}") from error
