"""From stored values to upright grey or colour pixels: modality table, sign, inversion, palette.

A rescale of slope and intercept is linear, so it changes nothing once the whole range is spread over the grey levels;
it matters for windows (`Display`) and for its sign: a negative slope turns black into white.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from secondread.images.decode_types import Display, Refusal
from secondread.images.dicom_frame import BIG_ENDIAN, JPEG_DCT, Shape, Stored

MAX_TABLE = 65_536
MAX_TABLE_BITS = 16


def grey_pixels(
    dataset: Dataset, stored: Stored, shape: Shape
) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int, Display]:
    """Grey [H, W] in 0..2**bits - 1 with black at 0, the number of bits, and how DICOM wants it shown."""
    bits = shape.stored
    values = unsigned(stored, bits, shape.signed)
    first = -(2 ** (bits - 1)) if shape.signed else 0
    slope, intercept = _rescale(dataset)
    if _has_items(dataset, "ModalityLUTSequence"):
        table, table_first, bits = _table(dataset, dataset.ModalityLUTSequence[0])
        values = table[np.clip(values.astype(np.int64) + first - table_first, 0, len(table) - 1)]
        first, slope, intercept = 0, 1.0, 0.0
    top = 2**bits - 1
    told_inverted = shape.photometric == "MONOCHROME1" or str(dataset.get("PresentationLUTShape", "")) == "INVERSE"
    if slope < 0:  # count from the other end, so that what follows may take slopes to be positive
        values = top - values
        first, slope, intercept = 0, -slope, intercept + slope * (top + first)
    if told_inverted:
        values = top - values
    display = _display(dataset, slope, intercept, first, told_inverted)
    return values.astype(np.uint8) if bits <= 8 else values.astype(np.uint16), bits, display


def unsigned(stored: Stored, bits: int, signed: bool) -> NDArray[np.uint16]:
    """The stored bits as 0..2**bits - 1: what lies above them is cut off, signed values are shifted up."""
    mask = np.uint16(2**bits - 1)
    values: NDArray[np.uint16] = stored.astype(np.uint16) & mask
    return (values + np.uint16(2 ** (bits - 1))) & mask if signed else values


def padding_of(dataset: Dataset, stored: Stored, shape: Shape) -> NDArray[np.bool_] | None:
    """Where stored values [H, W] are padding: those from one limit to the other (DICOM PS3.3 C.7.5.1.1.2).

    None where none is, and where the header does not say or says what is no number.
    """
    value = _padding_limit(dataset, "PixelPaddingValue", shape)
    if value is None:
        return None
    limit = _padding_limit(dataset, "PixelPaddingRangeLimit", shape)
    low, high = sorted((value, value if limit is None else limit))
    first = -(2 ** (shape.stored - 1)) if shape.signed else 0
    values = unsigned(stored, shape.stored, shape.signed).astype(np.int32) + first
    if high < first or low >= first + 2**shape.stored:  # no value that these bits hold: the whole word was meant
        values = stored.astype(f"{'i' if shape.signed else 'u'}{shape.allocated // 8}").astype(np.int32)
    found: NDArray[np.bool_] = (values >= low) & (values <= high)
    return found if found.any() else None


def _padding_limit(dataset: Dataset, name: str, shape: Shape) -> int | None:
    """A limit as a stored value; writers give it as signed or unsigned whatever the pixels are."""
    found = dataset.get(name)
    if not isinstance(found, int):
        return None
    whole = 2**shape.allocated
    if shape.signed:
        return found - whole if found >= whole // 2 else found
    return found + whole if found < 0 else found


def colour_pixels(dataset: Dataset, stored: Stored, shape: Shape) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], or [H, W] where the three are one."""
    if shape.photometric == "PALETTE COLOR":
        colour = _through_palette(dataset, unsigned(stored, shape.stored, shape.signed), shape)
    else:
        colour = (unsigned(stored, shape.stored, False) >> np.uint16(max(shape.stored - 8, 0))).astype(np.uint8)
        if shape.photometric in ("YBR_FULL", "YBR_FULL_422") and not _pillow_decoded(dataset):
            colour = _rgb_of_ybr(colour)
    same = (colour[..., 0] == colour[..., 1]) & (colour[..., 1] == colour[..., 2])
    return np.ascontiguousarray(colour[..., 0]) if same.all() else np.ascontiguousarray(colour)


def number(value: Any, default: float) -> float:
    """A DICOM number, of several the first; raises `Refusal` when it is none or not finite."""
    if value is None or value == "":
        return default
    try:
        found = float(value[0] if hasattr(value, "__getitem__") and not isinstance(value, str | bytes) else value)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise Refusal("damaged", f"{str(value)[:32]!r} is not a number") from error
    if not np.isfinite(found) or abs(found) > 1e12:
        raise Refusal("damaged", f"{str(value)[:32]!r} is not a usable number")
    return found


def _pillow_decoded(dataset: Dataset) -> bool:
    """Pillow turns YCbCr into RGB while it decodes, the other decoders do not."""
    return str(dataset.file_meta.TransferSyntaxUID) in JPEG_DCT


def _rescale(dataset: Dataset) -> tuple[float, float]:
    slope, intercept = number(dataset.get("RescaleSlope"), 1.0), number(dataset.get("RescaleIntercept"), 0.0)
    if slope == 0.0:
        raise Refusal("damaged", "the rescale slope is zero")
    return slope, intercept


def _display(dataset: Dataset, slope: float, intercept: float, first: int, inverted: bool) -> Display:
    base: dict[str, Any] = {"slope": slope, "intercept": intercept, "first": first, "inverted": inverted}
    if _has_items(dataset, "VOILUTSequence"):
        table, table_first, bits = _table(dataset, dataset.VOILUTSequence[0])
        return Display(**base, table=table, table_first=table_first, table_bits=bits)
    if dataset.get("WindowWidth") in (None, "") or dataset.get("WindowCenter") in (None, ""):
        return Display(**base)
    center, width = number(dataset.WindowCenter, 0.0), number(dataset.WindowWidth, 0.0)
    return Display(**base, center=center, width=width, function=_function(dataset)) if width > 0 else Display(**base)


def _function(dataset: Dataset) -> Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]:
    found = str(dataset.get("VOILUTFunction", "LINEAR")).strip().upper()
    return "SIGMOID" if found == "SIGMOID" else "LINEAR_EXACT" if found == "LINEAR_EXACT" else "LINEAR"


def _has_items(dataset: Dataset, name: str) -> bool:
    return name in dataset and bool(dataset[name].value)


def _table(dataset: Dataset, item: Dataset) -> tuple[NDArray[np.uint16], int, int]:
    """Entries, first value mapped, and bits of a modality or VOI table (PS3.3 C.11.1.1), its bounds checked."""
    entries, first, bits = (int(value) for value in item.LUTDescriptor)
    entries = entries or MAX_TABLE
    data = item.LUTData
    values = np.frombuffer(_in_order(dataset, data), "<u2") if isinstance(data, bytes) else np.atleast_1d(data)
    if entries > MAX_TABLE or not 8 <= bits <= MAX_TABLE_BITS or len(values) < entries:
        raise Refusal("damaged", f"a lookup table of {entries} entries of {bits} bits holds {len(values)}")
    return values[:entries].astype(np.int64).clip(0, 2**bits - 1).astype(np.uint16), first, bits


def _in_order(dataset: Dataset, words: bytes) -> bytes:
    """16-bit words of a table low byte first: pydicom leaves them as they stand in a big-endian file."""
    if str(dataset.file_meta.TransferSyntaxUID) != BIG_ENDIAN:
        return words
    return np.frombuffer(words[: len(words) // 2 * 2], ">u2").astype("<u2").tobytes()


def _through_palette(dataset: Dataset, indices: NDArray[np.uint16], shape: Shape) -> NDArray[np.uint8]:
    planes = []
    for name in ("Red", "Green", "Blue"):
        if f"{name}PaletteColorLookupTableData" not in dataset:
            raise Refusal("unsupported_colour", "the palette is segmented or missing")
        entries, first, bits = (int(v) for v in dataset[f"{name}PaletteColorLookupTableDescriptor"].value)
        entries = entries or MAX_TABLE
        data = _in_order(dataset, bytes(dataset[f"{name}PaletteColorLookupTableData"].value))
        values = np.frombuffer(data[: entries * 2], "<u2") if len(data) >= entries * 2 else np.frombuffer(data, "u1")
        if entries > MAX_TABLE or bits not in (8, 16) or len(values) < entries:
            raise Refusal("damaged", f"a palette of {entries} entries of {bits} bits holds {len(values)}")
        at = np.clip(indices.astype(np.int64) - first, 0, entries - 1)
        planes.append((values[at] >> (8 if bits == 16 else 0)).astype(np.uint8))
    return np.dstack(planes)


def _rgb_of_ybr(colour: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Full-range YCbCr to RGB (ITU-R BT.601 as in DICOM PS3.3 C.7.6.3.1.2)."""
    luma, blue, red = (colour[..., k].astype(np.float32) - (0 if k == 0 else 128) for k in range(3))
    rgb = np.dstack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue])
    return np.asarray(np.clip(np.round(rgb), 0, 255)).astype(np.uint8)
