"""Phantom images as DICOM: digital or computed radiography, or MR; 12 bits in 16, both polarities."""

from __future__ import annotations

import io

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from secondread.images.phantom.acquisition import SITES
from secondread.images.phantom.canvas import Plane
from secondread.images.phantom.defects import Entry
from secondread.images.phantom.spec import PhantomSpec
from secondread.images.phantom.streams import stream

BITS = 12
TOP = 2**BITS - 1


def dicom_bytes(spec: PhantomSpec, entry: Entry, pixels: Plane) -> bytes:
    """Grey values [h, w] in [0, 1] as the bytes of a DICOM file.

    Site A writes DX, the others CR. About one file in three is MONOCHROME1, its stored values turned around, whatever
    the label: a reader that honours the tag sees the same picture. Identifiers follow from the seed.
    """
    turned = stream(spec.root, "dicom", entry.index).random() < 1.0 / 3.0
    stored = np.rint((np.float32(1.0) - pixels if turned else pixels) * np.float32(TOP)).astype("<u2")
    if spec.task.modality == "MRI":
        modality, kind = "MR", MRImageStorage
        turned, stored = False, np.rint(pixels * np.float32(TOP)).astype("<u2")
    elif entry.case.site == "A":
        modality, kind = "DX", DigitalXRayImageStorageForPresentation
    else:
        modality, kind = "CR", ComputedRadiographyImageStorage
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = _uid(spec, entry, "image")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["secondread phantom"])
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = kind, meta.MediaStorageSOPInstanceUID, modality
    _who(spec, entry, dataset)
    _how(entry, dataset, modality)
    _pixels(dataset, stored, turned, 0.143 * 2500.0 / spec.size if modality != "MR" else 230.0 / spec.size)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(spec: PhantomSpec, entry: Entry, level: str) -> str:
    parts = {"study": [str(entry.patient), str(entry.visit)], "series": [str(entry.index)], "image": [str(entry.index)]}
    return str(generate_uid(entropy_srcs=[str(spec.root), level, *parts[level]]))


def _who(spec: PhantomSpec, entry: Entry, dataset: Dataset) -> None:
    case = entry.case
    dataset.PatientID = f"patient{entry.patient + 1:05d}"
    dataset.PatientName = f"Phantom^{dataset.PatientID}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "F" if case.female else "M"
    dataset.PatientAge = f"{case.age:03d}Y"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(spec, entry, "study"), _uid(spec, entry, "series")
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = str(entry.visit + 1), "1", "1"
    dataset.StudyDate, dataset.StudyTime = f"2020{1 + entry.visit % 12:02d}15", "120000"
    dataset.SeriesDate, dataset.ContentDate, dataset.ContentTime = dataset.StudyDate, dataset.StudyDate, "120000"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.InstitutionName, dataset.StationName = f"Site {case.site}", f"PHANTOM{case.site}"
    dataset.Manufacturer, dataset.ManufacturerModelName = "secondread", "phantom"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "1", "1"


def _how(entry: Entry, dataset: Dataset, modality: str) -> None:
    """What the image object of the modality asks for beyond the pixels."""
    dataset.BodyPartExamined = "HEAD" if modality == "MR" else "CHEST"
    dataset.ImageType = ["DERIVED" if modality == "MR" else "ORIGINAL", "PRIMARY", "OTHER" if modality == "MR" else ""]
    dataset.BurnedInAnnotation = "YES" if SITES[entry.case.site].marker else "NO"
    dataset.PatientOrientation = ["L", "P"] if modality == "MR" else ["L", "F"]
    if modality == "MR":
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "NONE", ""
        dataset.MRAcquisitionType, dataset.EchoTime, dataset.RepetitionTime = "2D", "15", "500"
        dataset.EchoTrainLength, dataset.SliceThickness = "1", "5"
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-115, -115, 0], [1, 0, 0, 0, 1, 0]
        dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = dataset.StudyInstanceUID[:-2] + ".1", ""
        dataset.PatientPosition = "HFS"
        return
    dataset.ViewPosition = "AP" if entry.case.anteroposterior else "PA"
    if modality == "DX":
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.ImageLaterality, dataset.LossyImageCompression, dataset.PositionerType = "U", "00", ""
        dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
        dataset.PresentationLUTShape, dataset.DetectorType = "IDENTITY", "DIRECT"
        dataset.AcquisitionContextSequence, dataset.AnatomicRegionSequence = [], [_code("51185008", "SCT", "Chest")]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _pixels(
    dataset: Dataset, stored: np.ndarray[tuple[int, ...], np.dtype[np.uint16]], turned: bool, spacing: float
) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if turned else "MONOCHROME2"
    if "PresentationLUTShape" in dataset:
        dataset.PresentationLUTShape = "INVERSE" if turned else "IDENTITY"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, BITS, BITS - 1, 0
    if dataset.Modality != "MR":
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.WindowCenter, dataset.WindowWidth = str((TOP + 1) / 2), str(TOP + 1)
    pair = [f"{spacing:.4f}"] * 2
    if dataset.Modality in ("DX", "CR"):
        dataset.ImagerPixelSpacing = pair
    if dataset.Modality in ("MR", "CR"):
        dataset.PixelSpacing = pair
    dataset.PixelData = stored.tobytes()
