"""Who is in the phantom: patients with visits, sites and findings, and the labels written down for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np
from scipy.special import ndtri

from secondread.images.phantom.findings import CARDIOMEGALY
from secondread.images.phantom.spec import SITE_NAMES, PhantomSpec
from secondread.images.phantom.streams import even_draw, stream
from secondread.images.phantom.tumours import TUMOUR

SITE_SHARES = {"A": 0.5, "B": 0.25, "C": 0.25}
CONGESTED = {"Pleural Effusion", CARDIOMEGALY, "Edema"}
SPLIT_SHARES = (("train", 0.7), ("val", 0.1), ("test", 0.2))
DEFAULT_SEVERITY = 0.7
# what a class shows; of two the first is bacterial, the second viral
SIGNS = {
    "PNEUMONIA": ("Consolidation", "Interstitial Opacity"),
    "Viral Pneumonia": ("Consolidation",),
    "COVID": ("Peripheral Opacity",),
    "yes": (TUMOUR,),
}
Labels = dict[str, float | None]


@dataclass(frozen=True)
class Case:
    """One image before it is drawn. Toggle it with `having`, `without` and `at`; everything else stays as it was.

    findings: severity in (0, 1] of every finding present. truth: 0 or 1 per class or observation. labels: what is
    written down: 1, 0, −1 (uncertain) or None (not mentioned). kind: the cause of a child's pneumonia, else empty.
    """

    index: int
    patient: int
    visit: int
    site: str
    split: str
    female: bool
    age: int
    devices: bool
    anteroposterior: bool
    kind: str
    findings: dict[str, float]
    truth: dict[str, int]
    labels: Labels

    @property
    def label(self) -> str:
        """The class written down, where each image has exactly one; else the names written down as present."""
        return "|".join(name for name, value in self.labels.items() if value == 1.0)

    def having(self, finding: str, severity: float = DEFAULT_SEVERITY) -> Case:
        """The same image with a finding (or with another severity of it); truth and labels follow."""
        return self._with({**self.findings, finding: severity})

    def without(self, finding: str) -> Case:
        """The same image without a finding; truth and labels follow."""
        return self._with({name: value for name, value in self.findings.items() if name != finding})

    def _with(self, findings: dict[str, float]) -> Case:
        truth = _truth_of(tuple(self.truth), set(findings))
        return replace(self, findings=findings, truth=truth, labels={name: float(v) for name, v in truth.items()})

    def at(self, site: str) -> Case:
        """The same image taken at another site."""
        return replace(self, site=site)


def plan(spec: PhantomSpec) -> Iterator[Case]:
    """The cases of a phantom, in order; nothing is drawn on a grid yet."""
    return islice(endless_plan(spec), spec.n)


def endless_plan(spec: PhantomSpec, first_patient: int = 0, first_index: int = 0) -> Iterator[Case]:
    """Cases of one patient after the other without end."""
    index = first_index
    for patient in count(first_patient):
        for case in _of_patient(spec, patient):
            yield replace(case, index=index)
            index += 1


def _of_patient(spec: PhantomSpec, patient: int) -> Iterator[Case]:
    draw = stream(spec.root, "patient", patient, "cohort")
    visits = int(draw.integers(1, spec.visits + 1))
    female, devices = bool(draw.random() < 0.5), bool(draw.random() < 0.15)
    age = int(draw.integers(1, 6)) if spec.task.child else int(np.clip(draw.normal(58.0, 16.0), 18, 90))
    kind = "bacteria" if draw.random() < 2.0 / 3.0 else "virus"
    truth = _truth(spec, patient)
    for visit in range(visits):
        findings = {name: _severity(spec, patient, visit, name) for name in _findings(spec, truth, kind)}
        yield Case(
            index=0,
            patient=patient,
            visit=visit,
            site=_site(spec, patient, visit, truth),
            split=split_of(spec, patient, visit),
            female=female,
            age=age,
            devices=devices and spec.task.modality == "CXR",
            anteroposterior=_anteroposterior(spec, patient, visit),
            kind=kind if truth.get("PNEUMONIA") else "",
            findings=findings,
            truth=truth,
            labels=_written(spec, patient, visit, truth, findings),
        )


def _anteroposterior(spec: PhantomSpec, patient: int, visit: int) -> bool:
    """Children are always taken from the front, adults in three cases of ten."""
    return spec.task.child or stream(spec.root, "patient", patient, "visit", visit, "view").random() < 0.3


def _truth(spec: PhantomSpec, patient: int) -> dict[str, int]:
    """One class per patient after its share, or each observation after its prevalence, tied by a Gaussian copula."""
    if not spec.task.multilabel:
        bounds = np.cumsum(list(spec.shares.values()))
        place = even_draw(spec.root, "class", patient, 0)
        chosen = min(int(np.searchsorted(bounds, place, side="right")), len(bounds) - 1)
        return {name: int(i == chosen) for i, name in enumerate(spec.shares)}
    congestion = float(ndtri(even_draw(spec.root, "congestion", patient, len(spec.shares))))
    truth = {}
    for axis, (name, prevalence) in enumerate(spec.shares.items()):
        z = float(ndtri(even_draw(spec.root, name, patient, axis)))
        if name in CONGESTED:
            z = 0.65**0.5 * z + 0.35**0.5 * congestion
        truth[name] = int(z < float(ndtri(prevalence)))
    return truth


def _findings(spec: PhantomSpec, truth: dict[str, int], kind: str) -> list[str]:
    """What is to be seen in a patient of this class."""
    present = [name for name, value in truth.items() if value]
    if spec.task.multilabel:
        return present
    return [SIGNS[name][kind == "virus" and len(SIGNS[name]) > 1] for name in present if name in SIGNS]


def _truth_of(names: tuple[str, ...], findings: set[str]) -> dict[str, int]:
    """Truth from findings: each observation by itself; of classes the first that shows one, else the first of all."""
    if not any(name in SIGNS for name in names):
        return {name: int(name in findings) for name in names}
    chosen = next((name for name in names if findings & set(SIGNS.get(name, ()))), names[0])
    return {name: int(name == chosen) for name in names}


def _severity(spec: PhantomSpec, patient: int, visit: int, finding: str) -> float:
    when = "every" if spec.stable_findings else visit
    return 0.25 + 0.75 * stream(spec.root, "patient", patient, "visit", when, "severity", finding).random()


def _site(spec: PhantomSpec, patient: int, visit: int, truth: dict[str, int]) -> str:
    """By chance after the sites' shares; with probability `confounding` the site that belongs to the true label."""
    names = SITE_NAMES[: spec.sites]
    draw = stream(spec.root, "patient", patient, "visit", visit, "site")
    tied, place = draw.random() < spec.confounding, draw.random()
    if tied:
        own = spec.task.own_site
        site = next((own[name] for name, value in truth.items() if value and name in own), None)
        if spec.task.multilabel:
            site = "B" if any(truth.values()) else "A"
        return site if site in names else names[0]
    bounds = np.cumsum([SITE_SHARES[name] for name in names])
    return names[min(int(np.searchsorted(bounds, place * bounds[-1], side="right")), len(names) - 1)]


def split_of(spec: PhantomSpec, patient: int, visit: int) -> str:
    """The official split of a patient; of a single image where the split leaks."""
    leaks = stream(spec.root, "patient", patient, "leak").random() < spec.split_leak
    place = even_draw(spec.root, "split", patient, 7)
    if leaks:
        place = stream(spec.root, "patient", patient, "visit", visit, "split").random()
    for name, share in SPLIT_SHARES:
        if place < share:
            return name
        place -= share
    return SPLIT_SHARES[-1][0]


def _written(spec: PhantomSpec, patient: int, visit: int, truth: dict[str, int], findings: dict[str, float]) -> Labels:
    """The labels as somebody wrote them down: noise, and for observations doubt and silence."""
    draw = stream(spec.root, "patient", patient, "visit", visit, "labels")
    if not spec.task.multilabel:
        chosen = list(truth.values()).index(1)
        if draw.random() < spec.label_noise:
            chosen = (chosen + int(draw.integers(1, len(truth)))) % len(truth)
        return {name: float(i == chosen) for i, name in enumerate(truth)}
    labels: Labels = {}
    for name, value in truth.items():
        noisy, unsure, silent = draw.random(3)
        recorded = 1 - value if noisy < spec.label_noise else value
        doubt = spec.uncertain * (1.0 - findings[name] if value else 0.05)
        labels[name] = -1.0 if unsure < doubt else float(recorded)
        if labels[name] == 0.0 and silent < spec.unmentioned:
            labels[name] = None
    return labels
