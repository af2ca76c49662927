"""Small images as bytes, good and hostile, and DICOM files with everything in them that must not be kept."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

CR = "1.2.840.10008.5.1.4.1.1.1"


def disc(size: int = 64, x: float = 0.1, y: float = -0.1) -> np.ndarray[Any, Any]:
    """A bright disc on dark ground, the kind of image the tiny bundle knows."""
    across = np.linspace(-1, 1, size)
    shape = np.exp(-((across[:, None] - y) ** 2 + (across[None] - x) ** 2) / 0.3)
    noise = np.random.default_rng(0).normal(0, 8, (size, size))
    return np.clip(shape * 200 + noise, 0, 255).astype(np.uint8)


def saved(pixels: np.ndarray[Any, Any], kind: str, **options: Any) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, kind, **options)
    return written.getvalue()


def png(pixels: np.ndarray[Any, Any], **options: Any) -> bytes:
    return saved(pixels, "PNG", **options)


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return written.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header says a size that its data does not have."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def dicom(pixels: np.ndarray[Any, Any], inverted: bool = False, **elements: Any) -> bytes:
    """A CR image of at most 16 bits; `elements` are added by keyword."""
    bits = 8 if pixels.dtype == np.uint8 else 16
    shown = (2**bits - 1 - pixels).astype(pixels.dtype) if inverted else pixels
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CR, "1.2.3.4.5.6"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.Rows, dataset.Columns = shown.shape
    dataset.SamplesPerPixel, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.PixelData = shown.astype(f"<u{bits // 8}").tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


TEXT = {
    "PatientName": "PN", "PatientID": "LO", "OtherPatientIDs": "LO", "PatientAddress": "LO",
    "PatientMotherBirthName": "PN",
    "PatientTelephoneNumbers": "SH", "PatientComments": "LT", "AdditionalPatientHistory": "LT", "Occupation": "SH",
    "EthnicGroup": "SH", "MilitaryRank": "LO", "CountryOfResidence": "LO", "ReferringPhysicianName": "PN",
    "PerformingPhysicianName": "PN", "OperatorsName": "PN", "InstitutionName": "LO", "InstitutionAddress": "ST",
    "InstitutionalDepartmentName": "LO", "StationName": "SH", "StudyDescription": "LO", "SeriesDescription": "LO",
    "StudyID": "SH", "AccessionNumber": "SH", "ProtocolName": "LO", "ImageComments": "LT", "DeviceSerialNumber": "LO",
    "Manufacturer": "LO", "ManufacturerModelName": "LO", "RequestedProcedureDescription": "LO", "ViewPosition": "CS",
    "BodyPartExamined": "CS", "Laterality": "CS",
}  # fmt: skip


def canary_dicom(pixels: np.ndarray[Any, Any]) -> tuple[bytes, list[str]]:
    """A DICOM file with a unique word in every element that can name somebody, also nested and private; the words."""
    words, elements = [], {}
    for at, (name, kind) in enumerate(TEXT.items()):
        words.append(f"CANARY{at:02d}" if kind == "CS" else f"Canary{at:02d}x")
        elements[name] = words[-1]
    inner = Dataset()
    inner.PatientName = "CanaryNested"
    elements["ReferencedPatientSequence"] = Sequence([inner])
    made = dicom(pixels, **elements)
    return made, [*words, "CanaryNested"]
