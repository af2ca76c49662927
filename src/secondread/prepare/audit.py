"""The audit: measurements, duplicates, findings and probes, put together as `audit.json` has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from secondread.core.tables import labels_of
from secondread.prepare import findings_images as of_images
from secondread.prepare import findings_rows as of_rows
from secondread.prepare.material import Finding, Material, crossing, grouped
from secondread.prepare.probes import probes

FIRES = {"metadata": 0.7, "intensity": 0.85, "border": 0.7}
"""Lower bound of a probe's AUROC from which it is a finding; grey levels alone may honestly say something."""
MEANS = {
    "metadata": "facts of the files and the style of their names",
    "intensity": "the distribution of grey levels",
    "border": "the outer frame of the images",
}


@dataclass(frozen=True)
class Audited:
    """The findings and the figures of `audit.json`."""

    material: Material
    found: list[Finding]
    probes: dict[str, dict[str, Any]]
    checks: Sequence[str]
    """What was looked for."""

    @property
    def banners(self) -> list[str]:
        """What has to be said in red over everything."""
        names = [one.code.removeprefix("shortcut_") for one in self.found if one.code.startswith("shortcut_")]
        if not names:
            return []
        means = ", and by ".join(MEANS[name] for name in names)
        return [f"SHORTCUT: the classes can be told apart by {means}, without looking at anatomy"]

    def as_dict(self) -> dict[str, Any]:
        m = self.material
        rows, readable = m.rows, m.readable
        exact = grouped(m.contents, rows)
        label = m.label_of
        counts = (m.labels == 1).sum(axis=0)
        given = rows["split_given"]
        return {
            "files": len(rows),
            "readable": int(readable.sum()),
            "distinct_bytes": int(rows["content_id"].nunique()),
            "exact_groups": len(exact),
            "exact_groups_across_classes": len(crossing(m.contents, label)),
            "exact_groups_across_splits": len(crossing(m.contents, given)),
            "near_groups": len(of_rows.near_groups(m)),
            "patients": int(rows["patient"].nunique()),
            "patients_across_classes": len(crossing(rows["patient"], label)) if m.exclusive else 0,
            "patients_across_splits": len(crossing(rows["patient"], given)),
            "patient_rule": m.patient_rule,
            "splits_given": {str(name): int(count) for name, count in given.value_counts().items()},
            "task": m.task,
            "classes": {name: int(count) for name, count in zip(m.classes, counts, strict=True)},
            "probes": self.probes,
            "notes": m.notes,
            "banners": self.banners,
            "findings": [one.as_dict() for one in self.found],
        }


def audited(material: Material, checks: Sequence[str]) -> Audited:
    """Run the checks that the study asks for; what only costs a glance is always looked at."""
    found = list(of_images.unreadable(material)) if "unreadable" in checks else []
    found += [*of_images.shapes(material), *of_images.polarity(material)]
    found += [one for one in of_rows.duplicates(material) if _asked(one.code, checks)]
    found += [*of_rows.patients(material), *of_rows.given_splits(material), *of_rows.class_sizes(material)]
    found += of_rows.kinds(material)
    probed = {}
    if "shortcuts" in checks:
        found += [*of_rows.sources(material), *of_images.corner_marks(material)]
        probed = _probes(material)
        found += _shortcuts(probed)
    order = {"error": 0, "warning": 1, "info": 2}
    first = sorted(found, key=lambda one: (order[one.severity], not one.code.startswith("shortcut")))
    return Audited(material, first, probed, checks)


def _asked(code: str, checks: Sequence[str]) -> bool:
    check = {"exact_duplicates": "duplicates", "same_pixels": "duplicates", "near_duplicates": "near_duplicates",
             "label_conflicts": "label_conflicts", "near_label_conflicts": "label_conflicts"}[code]  # fmt: skip
    return check in checks


def _probes(m: Material) -> dict[str, dict[str, Any]]:
    kept = m.readable & m.rows["dropped"].isna().to_numpy()
    if not kept.any() or not m.seen.looked:
        return {}
    rows, facts = m.rows[kept].reset_index(drop=True), m.seen.facts[kept].reset_index(drop=True)
    return probes(rows, facts, m.seen.small.at(np.flatnonzero(kept)), m.labels[kept], m.task, m.classes)


def _shortcuts(probed: dict[str, dict[str, Any]]) -> list[Finding]:
    found = []
    for name, told in probed.items():
        if told["auroc"] is None or told["low"] < FIRES[name]:
            continue
        message = (
            f"{MEANS[name]} alone tell{'' if name == 'metadata' else 's'} the classes apart: AUROC {_ranged(told)}"
        )
        apart = told.get("classes", {})
        if len(apart) > 2:
            best = max(apart, key=lambda one: apart[one])
            message += f", {best} against the rest {apart[best]:.2f}"
        bare = told.get("without_names")
        if bare:
            message += f"; without names {_ranged(bare) if bare['auroc'] is not None else 'nothing tells them apart'}"
        found.append(Finding(f"shortcut_{name}", "warning", message, [], "none; a network can use the same"))
    return found


def _ranged(told: dict[str, Any]) -> str:
    return f"{told['auroc']:.2f} ({told['low']:.2f} to {told['high']:.2f})"


def material_of(cleaned: Any, seen: Any, dataset: Any, drops_duplicates: bool) -> Material:
    """The material of an audit from what was gathered, measured and cleaned."""
    labels = labels_of(cleaned.all, dataset.classes)
    return Material(cleaned, seen, labels, dataset.classes, dataset.task, dataset.patient_rule, drops_duplicates,
                    dataset.notes)  # fmt: skip
