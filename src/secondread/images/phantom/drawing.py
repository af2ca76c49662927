"""Draws one case: chest X-ray or brain slice, with its masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import WrongRequest
from secondread.images.phantom import acquisition, brain, chest, findings, scanner, thorax, tumours
from secondread.images.phantom.canvas import Plane
from secondread.images.phantom.cohort import Case, Labels, plan
from secondread.images.phantom.spec import PhantomSpec
from secondread.images.phantom.streams import stream

Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class PhantomImage:
    """One drawn case. image: uint8 [S, S]; pixels: the same before rounding, float32 in [0, 1]; masks: bool [S, S].

    masks: one per finding by its name; "lungs" and "heart", or "brain"; "marker" where the site burns one in.
    """

    case: Case
    image: NDArray[np.uint8]
    pixels: Plane
    masks: Masks

    @property
    def labels(self) -> Labels:
        return self.case.labels

    @property
    def truth(self) -> dict[str, int]:
        return self.case.truth

    @property
    def patient(self) -> int:
        return self.case.patient

    @property
    def visit(self) -> int:
        return self.case.visit

    @property
    def site(self) -> str:
        return self.case.site

    @property
    def severity(self) -> dict[str, float]:
        return self.case.findings


def generate(spec: PhantomSpec) -> Iterator[PhantomImage]:
    """The images of a phantom one by one, in the order of the plan."""
    for case in plan(spec):
        yield render(spec, case)


def render(spec: PhantomSpec, case: Case) -> PhantomImage:
    """Draw a case of a plan, or one that was toggled."""
    known = acquisition.SITES if spec.task.modality == "CXR" else scanner.SCANNERS
    if case.site not in known:
        raise WrongRequest(f"phantom: no site {case.site!r}; there are {', '.join(known)}")
    draw = _chest if spec.task.modality == "CXR" else _brain
    pixels, masks = draw(spec, case)
    if known[case.site].marker:
        pixels, masks["marker"] = acquisition.burn_in(pixels)
    return PhantomImage(case, np.rint(pixels * np.float32(255.0)).astype(np.uint8), pixels, masks)


def _finding_stream(spec: PhantomSpec, case: Case, finding: str) -> np.random.Generator:
    when = "every" if spec.stable_findings else case.visit
    return stream(spec.root, "patient", case.patient, "visit", when, "finding", finding)


def _chest(spec: PhantomSpec, case: Case) -> tuple[Plane, Masks]:
    attenuation, reference, masks, exposure = chest_attenuation(spec, case)
    grain = stream(spec.root, "patient", case.patient, "visit", case.visit, "acquisition")
    site = acquisition.SITES[case.site]
    return acquisition.radiograph(attenuation, reference, site, exposure.dose, grain), masks


def chest_attenuation(spec: PhantomSpec, case: Case) -> tuple[Plane, Plane, Masks, thorax.Exposure]:
    """The attenuation map with findings, the one without, the masks, and the exposure. No site is in it."""
    unknown = sorted(set(case.findings) - set(findings.CHEST_FINDINGS) - {findings.CARDIOMEGALY})
    if unknown:
        raise WrongRequest(f"phantom: a chest has no finding {unknown[0]!r}; it has {_chest_names()}")
    patient = chest.patient_of(spec.root, case.patient, case.female, spec.task.child, case.devices)
    exposure = thorax.draw_exposure(spec.root, case.patient, case.visit, spec.jitter, case.anteroposterior)
    plain = scene = chest.scene_of(patient, exposure, spec.size)
    masks: Masks = {}
    if findings.CARDIOMEGALY in case.findings:
        severity = case.findings[findings.CARDIOMEGALY]
        ratio = findings.heart_ratio(patient.chest.ratio, severity, spec.contrast)
        scene = chest.scene_of(patient, exposure, spec.size, ratio)
        masks[findings.CARDIOMEGALY] = scene.heart > 0.5
    attenuation = scene.attenuation.copy()
    for name, add in findings.CHEST_FINDINGS.items():
        if name in case.findings:
            effect = add(scene, _finding_stream(spec, case, name), case.findings[name], spec.contrast)
            attenuation += effect.change
            masks[name] = effect.mask
    masks["lungs"], masks["heart"] = chest.lung_mask(scene), scene.heart > 0.5
    return attenuation, plain.attenuation, masks, exposure


def _chest_names() -> str:
    return ", ".join([*findings.CHEST_FINDINGS, findings.CARDIOMEGALY])


def _brain(spec: PhantomSpec, case: Case) -> tuple[Plane, Masks]:
    unknown = sorted(set(case.findings) - {tumours.TUMOUR})
    if unknown:
        raise WrongRequest(f"phantom: a brain has no finding {unknown[0]!r}; it has {tumours.TUMOUR}")
    head = brain.head_of(spec.root, case.patient)
    frame = brain.head_frame(spec.root, case.patient, case.visit, spec.jitter, spec.size)
    choose = stream(spec.root, "patient", case.patient, "visit", case.visit, "nuisances")
    sequence = str(choose.choice(brain.SEQUENCES, p=brain.SEQUENCE_SHARES))
    masks: Masks = {}
    if tumours.TUMOUR in case.findings:
        mass = tumours.draw_mass(head, _finding_stream(spec, case, tumours.TUMOUR), case.findings[tumours.TUMOUR])
        seen = brain.slice_of(head, frame, sequence, tumours.pushed_by(mass, frame, spec.contrast))
        image, masks[tumours.TUMOUR] = tumours.with_mass(seen, mass, spec.contrast)
    else:
        seen = brain.slice_of(head, frame, sequence)
        image = seen.image
    masks["brain"] = seen.radius < 1.0
    grain = stream(spec.root, "patient", case.patient, "visit", case.visit, "acquisition")
    return scanner.magnitude(image, frame, scanner.SCANNERS[case.site], grain), masks
