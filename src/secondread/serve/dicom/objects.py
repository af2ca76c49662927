"""A reading as DICOM: a Structured Report (TID 1500) and a Secondary Capture of the image under its attention map.

The report follows IHE AI Results as far as a classifier honestly can: qualitative finding, certainty, image reference,
identification of the algorithm with digest and threshold. UIDs are derived from the read, so that the same read
gives the same objects.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, SecondaryCaptureImageStorage

from secondread.serve.dicom.captions import with_caption
from secondread.serve.dicom.keep import UUID_ROOT
from secondread.serve.dicom.moments import stamp
from secondread.serve.dicom.structured import UNICODE, structured_report
from secondread.serve.reads.models import Read
from secondread.serve.reads.pixels import StoredPixels
from secondread.serve.reports.sheet import picture_with_heat

MAKER = "secondread"
LONGEST = 1024
UNPAIRED = {"ABDOMEN", "BRAIN", "CHEST", "CSPINE", "HEAD", "LSPINE", "NECK", "PELVIS", "SKULL", "SPINE", "STERNUM",
            "THORAX", "TSPINE"}  # fmt: skip


@dataclass(frozen=True)
class Objects:
    """Both objects of one read; the report refers to the capture when the image itself is no DICOM object."""

    report: Dataset
    capture: Dataset


def objects_of(read: Read, stored: StoredPixels) -> Objects:
    """The DICOM objects of a finished read."""
    capture = _capture(read, stored)
    return Objects(structured_report(read, _source(read, capture), derived_uid(read, "report series"),
                                     derived_uid(read, "report")), capture)  # fmt: skip


def to_bytes(dataset: Dataset) -> bytes:
    """A DICOM file with an empty preamble."""
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def derived_uid(read: Read, purpose: str) -> str:
    """A UID that depends on the read and the purpose alone (PS3.5 B.2); of an image whose study became known later, on
    that too: an archive that has the object of the pseudonymous study would not take the same UID again."""
    facts = read.image.facts
    study = f" {facts['tags'].get('StudyInstanceUID', '')}" if facts.get("identified") else ""
    return UUID_ROOT + str(uuid.uuid5(read.id, purpose + study).int)


def _capture(read: Read, stored: StoredPixels) -> Dataset:
    shown, heated = picture_with_heat(read, stored, LONGEST)
    tags = read.image.facts.get("tags", {})
    laterality = tags.get("Laterality") or tags.get("ImageLaterality")
    made: Dataset = SCImage(
        pixel_array=with_caption(_in_colour(shown if heated is None else heated), read),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=tags.get("StudyInstanceUID") or derived_uid(read, "study"),
        series_instance_uid=derived_uid(read, "capture series"),
        series_number=9001,
        sop_instance_uid=derived_uid(read, "capture"),
        instance_number=1,
        manufacturer=MAKER,
        patient_id=patient_id(read),
        patient_name="",
        study_date="", study_time="",
        patient_orientation=("L", "F"),  # oblique and unknown directions are not taken here
    )  # fmt: skip
    made.PatientOrientation = _orientation(tags)
    made.SpecificCharacterSet = UNICODE
    stamp(made, read)
    made.SeriesDescription = "secondread: attention map, not lesion borders"
    made.ImageComments = read.bundle.card["intended_use"][:1024]
    made.BurnedInAnnotation = "YES"  # our own caption
    made.Modality = "OT"
    if tags.get("BodyPartExamined"):
        made.BodyPartExamined = tags["BodyPartExamined"]
    if tags.get("BodyPartExamined") not in UNPAIRED:
        made.Laterality = laterality or ""  # Type 2C: must be there, may be empty
    return made


def patient_id(read: Read) -> str:
    """The patient's, where the site keeps them; else one that stands for this study, or picture, alone."""
    tags = read.image.facts.get("tags", {})
    if "PatientID" in tags:
        return str(tags["PatientID"])
    study = tags.get("StudyInstanceUID")  # a study is of one patient, however many images of it were read
    number = uuid.uuid5(uuid.NAMESPACE_OID, study) if study else uuid.uuid5(read.image_id, "patient")
    return f"SR-{number.hex[:12].upper()}"


def _orientation(tags: dict[str, str]) -> list[str] | None:
    """Directions of rows and columns; None (Type 2C, left empty) for an image that does not say: viewers draw letters
    for left and right from it, and nobody knows them."""
    told = tags.get("PatientOrientation", "").split("\\")
    return told if len(told) == 2 and all(told) else None


def _in_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels


def _source(read: Read, capture: Dataset) -> Dataset:
    """What the report is evidence about: the image that was sent if it was DICOM, else the capture."""
    tags: dict[str, Any] = read.image.facts.get("tags", {})
    source = Dataset()
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
                 "AccessionNumber", "ReferringPhysicianName", "StudyInstanceUID"):  # fmt: skip
        setattr(source, name, capture.get(name, ""))
    if _citable(tags.get("SOPClassUID", "")) and tags.get("SOPInstanceUID") and tags.get("SeriesInstanceUID"):
        source.SOPClassUID, source.SOPInstanceUID = tags["SOPClassUID"], tags["SOPInstanceUID"]
        source.SeriesInstanceUID, source.Modality = tags["SeriesInstanceUID"], tags.get("Modality", "OT")
    else:
        source.SOPClassUID, source.SOPInstanceUID = SecondaryCaptureImageStorage, capture.SOPInstanceUID
        source.SeriesInstanceUID, source.Modality = capture.SeriesInstanceUID, "OT"
    return source


def _citable(sop_class: str) -> bool:
    """Whether it is a kind of image of today's standard: highdicom builds no report about others, such as retired."""
    known = UID(sop_class)
    return "ImageStorage" in known.keyword and not known.info and not known.is_retired
