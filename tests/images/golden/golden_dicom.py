"""The golden set: one picture written as every kind of DICOM file that is read, made when the tests run.

The picture has all 256 grey levels, edges and a gradient. A file of b bits stores level v as round(v (2^b - 1) / 255),
so that spreading the full range gives v back exactly.
"""

from __future__ import annotations

import io
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

HEIGHT, WIDTH = 96, 120


def picture() -> NDArray[np.uint8]:
    """uint8 [96, 120] with every grey level, smooth and sharp places."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    levels = (columns * 255 // (WIDTH - 1)).astype(np.int64)
    levels[30:60, 40:80] = 255 - levels[30:60, 40:80]
    disc = (rows - 70) ** 2 + (columns - 30) ** 2 < 15**2
    levels[disc] = (rows * 3 % 256)[disc]
    levels[0, :] = np.arange(WIDTH)
    levels[1, :] = np.arange(WIDTH) + 136
    return levels.astype(np.uint8)


def colour_picture() -> NDArray[np.uint8]:
    grey = picture()
    return np.dstack([grey, grey[::-1], np.full_like(grey, 90)])


@dataclass(frozen=True)
class Golden:
    """One file of the set; `grey` is what it must decode to over the full range (None: see the tests of colour)."""

    name: str
    content: bytes
    window: bool = False
    options: list[str] = field(default_factory=list)
    """Options for dcm2pnm beyond the usual ones."""


def stored(levels: NDArray[np.uint8], bits: int) -> NDArray[np.int64]:
    return np.round(levels.astype(np.float64) * (2**bits - 1) / 255).astype(np.int64)


def dicom_bytes(
    levels: NDArray[np.uint8] | None = None,
    *,
    bits: int = 12,
    signed: bool = False,
    photometric: str = "MONOCHROME2",
    syntax: str = ExplicitVRLittleEndian,
    frames: int = 1,
    **elements: Any,
) -> bytes:
    """A DX-like file holding the picture; keyword arguments set further elements."""
    levels = picture() if levels is None else levels
    values = levels.astype(np.int64) if levels.ndim == 3 else stored(levels, bits)
    if photometric == "MONOCHROME1":
        values = 2**bits - 1 - values
    if signed:
        values = values - 2 ** (bits - 1)
    dataset = header(levels, bits, signed, photometric, frames)
    for name, value in elements.items():
        setattr(dataset, name, value)
    kind = f"{'i' if signed else 'u'}{dataset.BitsAllocated // 8}"
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = np.repeat(values[None], frames, 0).astype(order + kind).tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"
    return written(dataset)


def header(levels: NDArray[np.uint8], bits: int, signed: bool, photometric: str, frames: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=["golden"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series"])
    dataset.PatientID, dataset.PatientName, dataset.PatientSex, dataset.PatientAge = "P0001", "Golden^Set", "F", "054Y"
    dataset.Modality, dataset.ViewPosition, dataset.Manufacturer = "CR", "PA", "Phantom"
    dataset.Rows, dataset.Columns = levels.shape[:2]
    dataset.SamplesPerPixel = 3 if levels.ndim == 3 else 1
    if levels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (8 if bits <= 8 else 16), bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    if frames > 1:
        dataset.NumberOfFrames = frames
    return dataset


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.save_as(
        buffer,
        enforce_file_format=True,
        little_endian=syntax != ExplicitVRBigEndian,
        implicit_vr=syntax == ImplicitVRLittleEndian,
    )
    return buffer.getvalue()


def compressed(content: bytes, syntax: str) -> bytes:
    """The file again in another transfer syntax, by pydicom's encoders."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    if syntax == JPEG2000Lossless:
        from openjpeg.utils import encode_array

        frame = encode_array(dataset.pixel_array, bits_stored=dataset.BitsStored, photometric_interpretation=2)
        dataset.PixelData = encapsulate([frame])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    return written(dataset)


def by_dcmtk(content: bytes, folder: Path, tool: str, *options: str) -> bytes:
    """The file again through dcmcjpeg, dcmcjpls or dcmcrle."""
    before, after = folder / "before.dcm", folder / "after.dcm"
    before.write_bytes(content)
    subprocess.run([tool, *options, str(before), str(after)], check=True, capture_output=True)
    return after.read_bytes()


def dcm2pnm(content: bytes, folder: Path, *options: str) -> NDArray[np.uint8]:
    """What dcmtk shows of the file: uint8 [H, W]."""
    from PIL import Image

    before, after = folder / "shown.dcm", folder / "shown.pgm"
    before.write_bytes(content)
    syntax = str(pydicom.filereader.read_file_meta_info(before).TransferSyntaxUID)
    tool = "dcml2pnm" if syntax == JPEGLSLossless else "dcm2pnm"
    subprocess.run([tool, *options, str(before), str(after)], check=True, capture_output=True)
    with Image.open(after, formats=("PPM",)) as shown:
        return np.asarray(shown.convert("L"))


def table_item(entries: NDArray[np.int64], first: int, bits: int) -> Dataset:
    """An item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


def lossless_set() -> dict[str, bytes]:
    """Every file that must decode to `picture()` exactly, without tools from outside."""
    made = {f"{bits} bits": dicom_bytes(bits=bits) for bits in (8, 10, 12, 14, 16)}
    made |= {f"{bits} bits MONOCHROME1": dicom_bytes(bits=bits, photometric="MONOCHROME1") for bits in (8, 12, 16)}
    made |= {f"{bits} bits signed": dicom_bytes(bits=bits, signed=True) for bits in (8, 12, 16)}
    made["rescaled"] = dicom_bytes(RescaleSlope="2.5", RescaleIntercept="-1024")
    made["falling rescale of the negative"] = dicom_bytes(
        255 - picture(), signed=True, RescaleSlope="-1", RescaleIntercept="5"
    )
    made["windowed"] = dicom_bytes(WindowCenter=[1000, 2000], WindowWidth=[500, 4000])
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        made[f"{syntax.name} 12"] = dicom_bytes(syntax=syntax)
    made["big endian 8"] = dicom_bytes(bits=8, syntax=ExplicitVRBigEndian)
    for bits in (8, 12, 16):
        for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
            made[f"{syntax.name} {bits}"] = compressed(dicom_bytes(bits=bits), syntax)
    made["J2K MONOCHROME1"] = compressed(dicom_bytes(bits=12, photometric="MONOCHROME1"), JPEG2000Lossless)
    for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless):
        made[f"{syntax.name} signed"] = compressed(dicom_bytes(bits=12, signed=True), syntax)
    return made
