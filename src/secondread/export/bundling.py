"""One bundle, from its trials to the files: graph, gate, proof, card, zip, and int8 beside it where that is safe."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from secondread.core.errors import BadData
from secondread.core.leakage import marks
from secondread.core.processors import cores
from secondread.core.progress import say
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, log_test_read
from secondread.export.assemble import Engine, Members, fit_bundle_gate, load_members, model_of, point_of_mean
from secondread.export.card import Proof, card_for, model_card_text, seeds_left_out
from secondread.export.expected import expected_of
from secondread.export.material import GATE_IMAGES, PARITY_IMAGES, Material, material_of, seen_by
from secondread.export.parity import measure_parity, native_logits
from secondread.export.quantise import CALIBRATION_IMAGES, Int8Verdict, judge_int8, quantised, speed_ratio
from secondread.learning.devices import set_threads
from secondread.metrics.calibration import OperatingPoint
from secondread.models.bundle.container import MEASURED, int8_beside, write_zip, zip_beside
from secondread.models.bundle.writing import reference_images, reference_npz, write_bundle
from secondread.models.chosen import Chosen, point_of, point_together

TOLERANCE = {"fp32": 1e-3, "int8": 0.05}
"""Of the self-test; processors round int8 sums in different orders and widths."""
LARGEST_BLAME = 160


@dataclass(frozen=True)
class _Case:
    """All that is at hand while one bundle is made."""

    study: Study
    where: StudyDir
    material: Material
    members: Members
    point: OperatingPoint
    no_heatmaps: str

    def engine(self, model: bytes) -> Engine:
        return Engine(model, not self.no_heatmaps, cores())


def export_bundle(study: Study, where: StudyDir, one: Chosen) -> Path:
    """Write the bundle of the chosen trial (or the ensemble of its seeds); gives its folder.

    Raises `BadData` when it does not answer as its checkpoint.
    """
    set_threads(one.trial.train.engine)
    material = material_of(where, one)
    members = load_members(where, one.seeds if study.export.ensemble else [one.trial])
    if missing := seeds_left_out(study, one.arm, len(members.trials)):
        say(f"export: {members.trials[0].name}: {missing}")
    point = _point(study, where, material, members)
    model, no_heatmaps = model_of(members, point)
    case = _Case(study, where, material, members, point, no_heatmaps)
    folder = where.export(one.arm, one.model)
    beside = int8_beside(folder)
    shutil.rmtree(beside, ignore_errors=True)  # of an earlier export, also where 8 bits are no longer asked for
    (folder / MEASURED).unlink(missing_ok=True)
    reason = _int8_beside(case, model, beside) if study.export.int8 else ""
    _write(case, model, "fp32", reason, folder)
    write_zip(folder, zip_beside(folder))
    return folder


def _point(study: Study, where: StudyDir, material: Material, members: Members) -> OperatingPoint:
    points = [point_of(where, trial) for trial in members.trials]
    if len(points) == 1:
        return points[0]
    if (fitted := point_together(where, members.trials)) is not None:
        return fitted
    logits = native_logits(members.classifiers, material.whole_validation)
    return point_of_mean(points, logits, material.val_labels, members.card, study.evaluate.threshold)


def _write(case: _Case, model: bytes, precision: Literal["fp32", "int8"], reason: str, folder: Path) -> None:
    """Prove the model, then write it; an fp32 one that does not answer as its checkpoint raises `BadData`."""
    engine = case.engine(model)
    images = case.material.validation(PARITY_IMAGES)
    parity = measure_parity(case.members.classifiers, case.point, images, engine.run(images))
    if precision == "fp32":
        parity.check()
    validation = case.material.images(case.material.val_ids[:GATE_IMAGES])
    gate = fit_bundle_gate(engine, case.material.training(GATE_IMAGES), validation)
    statistics, gate_card, no_gate = (None, None, gate) if isinstance(gate, str) else (*gate, "")
    proof = Proof(gate_card, no_gate, case.no_heatmaps, parity.to_json(), reason)
    card = card_for(case.study, case.where, case.material.dataset, case.members, case.point, proof)
    card = replace(card, precision=precision, tolerance=TOLERANCE[precision])
    log_test_read(case.where, "export", card.name)
    card = replace(card, expected=expected_of(card, statistics, engine, case.material))
    references = reference_images(card.channels, card.size)
    seen = np.unique(marks(seen_by(case.where, case.members.trials)))
    reference = reference_npz(references, engine.run(references), statistics, seen)
    write_bundle(folder, card, model, reference, model_card_text(card, case.study))


def _int8_beside(case: _Case, model: bytes, beside: Path) -> str:
    """Quantise and compare on validation; write the int8 bundle only when it may be used. Gives the reason in words."""
    try:
        verdict, small = _try_int8(case, model)
    except BadData as error:
        reason = f"int8 left out: {str(error)[:LARGEST_BLAME]}"
    else:
        reason = verdict.reason
        if verdict.kept:
            _write(case, small, "int8", reason, beside)
            reason += f"; kept beside as {beside.name}"
    say(f"export: {case.members.trials[0].name}: {reason}")
    return reason


def _try_int8(case: _Case, model: bytes) -> tuple[Int8Verdict, bytes]:
    images = case.material.whole_validation
    if len(images) == 0:
        raise BadData("there are no validation images to judge it on")
    small = quantised(model, case.material.training(CALIBRATION_IMAGES))
    fp32, int8 = case.engine(model), case.engine(small)
    ratio = speed_ratio(fp32, int8, images[:1])
    return judge_int8(case.point, case.material.val_labels, fp32.run(images), int8.run(images), ratio), small
