"""The attenuation map of a chest: anatomy of the patient, exposure, findings; before any physics of the detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from secondread.images.phantom import skeleton, thorax
from secondread.images.phantom.canvas import Frame, Plane, Strokes, bell, laid_on, texture
from secondread.images.phantom.streams import stream


@dataclass(frozen=True)
class Patient:
    """What is drawn once per patient: latents, bones, lung vessels, devices and textures."""

    chest: thorax.Chest
    bones: Strokes
    tree: Strokes
    devices: Strokes | None
    parenchyma: Plane
    patches: Plane


@dataclass(frozen=True)
class Scene:
    """One exposure on its grid. Planes [S, S]: `heart` and `middle` (heart and great vessels) in
    [0, 1]; `attenuation` is the anatomy, `markings` the share of lung vessels in it."""

    frame: Frame
    chest: thorax.Chest
    exposure: thorax.Exposure
    lungs: thorax.Lungs
    heart: Plane
    middle: Plane
    markings: Plane
    attenuation: Plane


@lru_cache(maxsize=16)
def patient_of(seed: int, patient: int, female: bool, child: bool, devices: bool) -> Patient:
    """The patient's latents, each stage from its own stream."""
    chest = thorax.draw_chest(stream(seed, "patient", patient, "anatomy"), female, child)
    bones, tree = Strokes(), Strokes()
    for add in (
        skeleton.add_ribs,
        skeleton.add_clavicles,
        skeleton.add_shoulders,
        skeleton.add_spine,
        skeleton.add_airway,
    ):
        add(bones, chest)
    for points, weights, radius in skeleton.vessel_tree(stream(seed, "patient", patient, "vessels")):
        tree.add(points, weights, radius)
    gear = None
    if devices:
        gear = Strokes()
        skeleton.add_devices(gear, stream(seed, "patient", patient, "devices"))
    surface = stream(seed, "patient", patient, "texture")
    return Patient(chest, bones, tree, gear, texture(surface, 2.0, 2.0), texture(surface, 2.8, 0.6))


def scene_of(patient: Patient, exposure: thorax.Exposure, size: int, heart_ratio: float | None = None) -> Scene:
    """Anatomy on the grid; `heart_ratio` replaces the patient's heart width over chest width (cardiomegaly)."""
    chest = patient.chest if heart_ratio is None else replace(patient.chest, ratio=heart_ratio)
    frame = thorax.frame_of(chest, exposure, size)
    lungs = thorax.lungs(frame, chest, exposure)
    silhouette, thickness = thorax.heart(frame, chest, exposure)
    silhouette *= np.float32(1.0) - lungs.below
    middle = np.maximum(silhouette, thorax.mediastinum(frame, chest))
    above = np.float32(1.0) - lungs.below
    air = lungs.air * (np.float32(1.0) - np.float32(0.80) * middle) + np.float32(0.16) * lungs.recess
    total = thorax.body(frame, chest, exposure) * (
        np.float32(1.0) + np.float32(0.016) * laid_on(frame, patient.patches)
    )
    total += np.float32(0.07) * bell((frame.X * np.float32(1.0 / 0.085)) ** 2)
    total += above * (np.float32(0.06) * middle + np.float32(0.13) * thickness)
    total += thorax.abdomen(frame, chest, lungs.below)
    if chest.breast:
        total += thorax.breasts(frame, chest)
    total += patient.bones.drawn(frame)
    total -= np.float32(exposure.depth) * air
    markings = patient.tree.drawn(frame) + np.float32(0.012) * laid_on(frame, patient.parenchyma)
    markings *= np.minimum(air * np.float32(1.5), np.float32(1.0))
    total += markings
    if patient.devices is not None:
        total += patient.devices.drawn(frame)
    return Scene(frame, chest, exposure, lungs, silhouette, middle, markings, total)


def lung_mask(scene: Scene) -> NDArray[np.bool_]:
    """Where the lungs are seen: aerated, not behind the heart or the great vessels."""
    return np.asarray(scene.lungs.air * (1.0 - scene.middle) > 0.35)
