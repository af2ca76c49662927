"""The Structured Report of a reading: TID 1500, one measurement group per class."""

from __future__ import annotations

import hashlib
import re

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from secondread.core.version import __version__
from secondread.serve.dicom.keep import UUID_ROOT, pseudonym_uid
from secondread.serve.dicom.moments import stamp
from secondread.serve.reads.models import Read
from secondread.serve.reads.words import Bar, verdict_of

PRIVATE = "99SECONDREAD"
PRESENCE = CodedConcept("705057003", "SCT", "Presence")
PRESENT = CodedConcept("52101004", "SCT", "Present")
ABSENT = CodedConcept("2667000", "SCT", "Absent")
INDETERMINATE = CodedConcept("82334004", "SCT", "Indeterminate")
KNOWN = {
    "pneumonia": ("233604007", "SCT", "Pneumonia"),
    "viral pneumonia": ("75570004", "SCT", "Viral pneumonia"),
    "covid 19": ("840539006", "SCT", "COVID-19"),
    "covid": ("840539006", "SCT", "COVID-19"),
    "tuberculosis": ("56717001", "SCT", "Tuberculosis"),
    "pneumothorax": ("36118008", "SCT", "Pneumothorax"),
    "cardiomegaly": ("8186001", "SCT", "Cardiomegaly"),
    "atelectasis": ("46621007", "SCT", "Atelectasis"),
    "effusion": ("60046008", "SCT", "Pleural effusion"),
    "pleural effusion": ("60046008", "SCT", "Pleural effusion"),
    "edema": ("19242006", "SCT", "Pulmonary edema"),
    "emphysema": ("87433001", "SCT", "Pulmonary emphysema"),
    "tumour": ("108369006", "SCT", "Neoplasm"),
    "tumor": ("108369006", "SCT", "Neoplasm"),
    "normal": ("17621005", "SCT", "Normal"),
}
UNICODE = "ISO_IR 192"
"""Without it, names of classes beyond Latin letters would be written as question marks."""
MOST_LETTERS = 16
"""Of a code value (PS3.5, VR SH)."""
CHEST = CodedConcept("399208008", "SCT", "Plain chest X-ray")
IMAGING = CodedConcept("363679005", "SCT", "Imaging procedure")


def structured_report(read: Read, source: Dataset, series_uid: str, uid: str) -> Dataset:
    """The report about `source`, as a data set that is complete and unverified."""
    tags = read.image.facts.get("tags", {})
    device = DeviceObserverIdentifyingAttributes(
        uid=UUID_ROOT + str(int(read.bundle_id[:32], 16)), name="secondread", manufacturer_name="secondread",
        model_name=_written(read.bundle.name)[:64], serial_number=read.bundle_id[:64],
    )  # fmt: skip
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(codes.DCM.Device, device),
        ),
        procedure_reported=CHEST if tags.get("BodyPartExamined") in ("CHEST", "THORAX") else IMAGING,
        imaging_measurements=[_group(read, bar, source) for bar in verdict_of(read, read.bundle.card).bars],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report: Dataset = ComprehensiveSR(
        evidence=[source], content=content[0], series_instance_uid=series_uid, series_number=9002, sop_instance_uid=uid,
        instance_number=1, manufacturer="secondread", is_complete=True,
    )  # fmt: skip
    report.SpecificCharacterSet = UNICODE
    stamp(report, read)
    report.SeriesDescription = f"secondread: {read.bundle.card['intended_use']}"[:64]
    return report


def finding_code(name: str) -> CodedConcept:
    """A SNOMED CT code where the class has one, else one of our own that carries its name."""
    plain = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
    if plain in KNOWN:
        return CodedConcept(*KNOWN[plain])
    code = plain.replace(" ", "_").upper()
    if plain != name.lower() or len(code) > MOST_LETTERS:  # cut, or written in other letters: two may look the same
        code = f"{code[:7]}_{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}".lstrip("_")
    return CodedConcept(code, PRIVATE, _written(name)[:64])


def _written(name: str) -> str:
    """A name as DICOM text may hold it: a backslash would part it into two values."""
    return "".join(sign if sign.isprintable() else " " for sign in name).replace("\\", "/")


def _group(read: Read, bar: Bar, source: Dataset) -> MeasurementsAndQualitativeEvaluations:
    algorithm = _algorithm(read, bar)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=pseudonym_uid(f"{read.id} {bar.name}"), identifier=f"{_written(bar.name)} {read.id}"
        ),
        finding_type=finding_code(bar.name),
        algorithm_id=algorithm,
        measurements=[
            Measurement(
                name=codes.DCM.CertaintyOfFinding,
                value=round(100.0 * bar.probability, 2),
                unit=codes.UCUM.Percent,
                algorithm_id=algorithm,
            )
        ],
        qualitative_evaluations=[QualitativeEvaluation(PRESENCE, _presence(bar))],
        source_images=[SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
    )


def _presence(bar: Bar) -> CodedConcept:
    if bar.doubtful:
        return INDETERMINATE
    return PRESENT if bar.decided else ABSENT


def _algorithm(read: Read, bar: Bar) -> AlgorithmIdentification:
    parameters = [f"sha256={read.bundle_id}", f"software=secondread {__version__}", "calibrated probability"]
    if bar.threshold is not None:
        parameters.append(f"threshold={bar.threshold:.6f}")
    if bar.band is not None:
        parameters.append(f"uncertain={bar.band[0]:.6f}..{bar.band[1]:.6f}")
    return AlgorithmIdentification(
        name=_written(read.bundle.name)[:64],
        version=read.bundle_id[:16],
        parameters=parameters,
        family=codes.DCM.ArtificialIntelligence,
    )
