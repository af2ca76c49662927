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
AXES = {"A": "depth", "P": "depth", "R": "side", "L": "side", "H": "height", "F": "height"}
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
    directions = re.findall(r"[A-Z]+", tags.get("PatientOrientation", "").upper())
    if len(directions) == 2 and all(map(_points_somewhere, directions)):
        found["PatientOrientation"] = "\\".join(directions)
    if SOP_CLASSES.fullmatch(tags.get("SOPClassUID", "")):
        found["SOPClassUID"] = tags["SOPClassUID"]
    for name in UIDS:
        value = tags.get(name, "")
        if UID.fullmatch(value):
            found[name] = value if settings.KEEP_UIDS else pseudonym_uid(value)
    if settings.KEEP_UIDS and tags:  # also that there is none: a report of another patient would miss its study
        found["PatientID"] = "".join(sign for sign in tags.get("PatientID", "") if sign.isprintable())
    return found


def pseudonym_uid(value: str) -> str:
    """A UID that stands for `value` on this site and tells nothing about it."""
    digest = salted_hmac("secondread.uid", value, algorithm="sha256").digest()
    return UUID_ROOT + str(int.from_bytes(digest[:16], "big"))


def _points_somewhere(letters: str) -> bool:
    """Whether `letters` name a direction, such as `L` or, of an oblique view, `AF`: of every axis one end at most."""
    axes = [AXES.get(letter) for letter in letters]
    return None not in axes and len(set(axes)) == len(axes)
