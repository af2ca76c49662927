"""De-identification at the door, by keep-list: an element is kept only when its value is a known word.

Free text, names, numbers, dates, unknown codes and private elements never get past here. UIDs become keyed digests
(the same study stays one study), unless the site was told to keep them so that reports reach their study in a PACS.
"""

from __future__ import annotations

import re

from django.conf import settings
from django.utils.crypto import salted_hmac

MODALITIES = {"CR", "DX", "DR", "RF", "XA", "MG", "IO", "PX", "CT", "MR", "US", "NM", "PT", "OT", "SC", "XC", "OP"}
BODY_PARTS = {
    "ABDOMEN", "ANKLE", "ARM", "BRAIN", "BREAST", "CHEST", "CLAVICLE", "CSPINE", "ELBOW", "EXTREMITY", "FEMUR",
    "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "RIB",
    "SHOULDER", "SKULL", "SPINE", "STERNUM", "THORAX", "TSPINE", "WRIST",
}  # fmt: skip
VIEWS = {"PA", "AP", "LL", "RL", "LAT", "LATERAL", "LLD", "RLD", "LLO", "RLO", "RAO", "LAO", "RPO", "LPO", "CC", "MLO"}
WORDS = {
    "Modality": MODALITIES,
    "BodyPartExamined": BODY_PARTS,
    "ViewPosition": VIEWS,
    "Laterality": {"L", "R", "B", "U"},
    "ImageLaterality": {"L", "R", "B", "U"},
    "BurnedInAnnotation": {"YES", "NO"},
}
ORIENTATION = re.compile(r"[APRLHF]{1,3}\\[APRLHF]{1,3}")
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
UID = re.compile(r"[0-9.]{1,64}")
SOP_CLASSES = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.[0-9.]{1,20}")
UUID_ROOT = "2.25."


def kept(tags: dict[str, str]) -> dict[str, str]:
    """What of a DICOM header may be stored."""
    found = {}
    for name, words in WORDS.items():
        value = tags.get(name, "").strip().upper()
        if value in words:
            found[name] = value
    if ORIENTATION.fullmatch(orientation := _plain_orientation(tags.get("PatientOrientation", ""))):
        found["PatientOrientation"] = orientation
    if SOP_CLASSES.fullmatch(tags.get("SOPClassUID", "")):
        found["SOPClassUID"] = tags["SOPClassUID"]
    for name in UIDS:
        value = tags.get(name, "")
        if UID.fullmatch(value):
            found[name] = value if settings.KEEP_UIDS else pseudonym_uid(value)
    if settings.KEEP_UIDS and tags.get("PatientID"):
        found["PatientID"] = tags["PatientID"]
    return found


def pseudonym_uid(value: str) -> str:
    """A UID that stands for `value` on this site and tells nothing about it."""
    digest = salted_hmac("secondread.uid", value, algorithm="sha256").digest()
    return UUID_ROOT + str(int.from_bytes(digest[:16], "big"))


def _plain_orientation(value: str) -> str:
    """`['L', 'F']`, as pydicom prints it, or `L\\F`."""
    return "\\".join(re.findall(r"[A-Z]+", value.upper()))
