"""What the audit says of the data, as a sentence of the summary."""

from __future__ import annotations

from secondread.core.spec.data import Prepare
from secondread.evaluate.record import Record
from secondread.pages.sentences import Sentence, listed
from secondread.pages.tables import Name

FOUND = {
    "shortcut_metadata": "file facts that tell the classes apart",
    "shortcut_border": "image borders that tell the classes apart",
    "shortcut_intensity": "brightness that tells the classes apart",
    "source_is_class": "classes that come from one site",
    "same_pixels": "files of the same pixels",
    "no_patients": "unknown patients",
    "near_label_conflicts": "near duplicates with different labels",
    "corner_marks": "marks burnt into corners",
}
"""Findings in the words of the summary, where their code does not read well."""


def suspect(record: Record) -> Sentence:
    found = record.audit.get("findings", [])
    loud = [one for one in found if one.get("severity") in ("error", "warning")]
    if not record.audit:
        return Sentence("About the data.", ["No audit was found beside this study."], "warning")
    if not loud:
        return unsuspected(record)
    codes = dict.fromkeys(FOUND.get(str(one.get("code")), str(one.get("code", "")).replace("_", " ")) for one in loud)
    return Sentence(
        "About the data.", ["The audit warns of ", *listed(Name(code) for code in codes), "; see the data section."],
        "warning",
    )  # fmt: skip


def unsuspected(record: Record) -> Sentence:
    """That the audit found nothing, as far as it was asked to look."""
    default = Prepare().checks
    left_out = [check.replace("_", " ") for check in default if check not in record.study.prepare.checks]
    if len(left_out) == len(default):
        return Sentence("About the data.", ["The study asked for no check of the data."], "warning")
    found = "The audit found nothing that speaks against these results"
    if not left_out:
        return Sentence("About the data.", [f"{found}."])
    return Sentence("About the data.", [f"{found}; it was not asked about ", *listed(left_out), "."], "warning")
