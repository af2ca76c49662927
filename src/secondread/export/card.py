"""The card of a bundle and its MODEL_CARD.md, from what the study's files say."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import pandas as pd

from secondread.core.files import read_json
from secondread.core.provenance import environment
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import Dataset, read_table
from secondread.export.assemble import Members
from secondread.export.scored import banners_of, own_scores
from secondread.images.decode import DECODER_VERSION
from secondread.metrics.calibration import OperatingPoint
from secondread.models.bundle.card import BundleCard, GateCard, means_of_trainings
from secondread.models.card import card_of

METHOD = "Grad-CAM (Selvaraju 2017) on {layer}, exact, computed in the graph; ReLU, not scaled"


@dataclass(frozen=True)
class Proof:
    """What export found out about the model, for the card."""

    gate: GateCard | None
    no_gate: str
    no_heatmaps: str
    parity: dict[str, Any]
    precision_reason: str


def card_for(
    study: Study, where: StudyDir, dataset: Dataset, members: Members, point: OperatingPoint, proof: Proof
) -> BundleCard:
    """The card, not sealed yet."""
    trial, card = members.trials[0], members.card
    network = card_of(card.part)
    model_licence = "; ".join(filter(None, [network.licence_code, network.licence_weights * (card.weights != "none")]))
    return BundleCard(
        name=f"{study.study}/{trial.arm}/{trial.model.label}", study=study.study, arm=trial.arm,
        model=trial.model.label, task=card.task, classes=list(card.classes), channels=_channels(card.channels),
        size=card.size, fit=card.fit, intensity=card.intensity, crop_border=card.crop_border,  # type: ignore[arg-type]
        thresholds=dict(zip(point.classes, point.thresholds, strict=True)),
        uncertain={name: list(band) for name, band in zip(point.classes, point.uncertain, strict=True)},
        about=study.about, texts=dataset.texts, decoder=DECODER_VERSION, gate=proof.gate, no_gate=proof.no_gate,
        heatmaps="" if proof.no_heatmaps else METHOD.format(layer=network.cam_layer), no_heatmaps=proof.no_heatmaps,
        precision_reason=proof.precision_reason, calibration=_calibration(point), parity=proof.parity,
        metrics=[row | {"confidence": study.evaluate.confidence} for row in own_scores(where, members.trials)],
        cohort=_cohort(where, dataset, members), banners=banners_of(where),
        frames=read_json(where.pixels).get("frames", "refuse"), members=[trial.name for trial in members.trials],
        licence=model_licence,
        created=environment()["when"], versions=environment(),
    )  # fmt: skip


def model_card_text(card: BundleCard, study: Study) -> str:
    """MODEL_CARD.md; see `templates/MODEL_CARD.md.j2`."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files("secondread.export").joinpath("templates/MODEL_CARD.md.j2").read_text(encoding="utf8")
    made = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    made.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    failures = [*filter(None, [seeds_left_out(study, card.arm, len(card.members))]), *known_failures(card)]
    return made.from_string(template).render(card=card, study=study, failures=failures, tested=tested(card))


def seeds_left_out(study: Study, arm: str, members: int) -> str:
    """What to say of an ensemble that lacks seeds of the study (`--only` left them out); empty when it lacks none."""
    asked = len(study.arm(arm)[1].seeds)
    if not study.export.ensemble or members == asked:
        return ""
    return f"The study asks for an ensemble of {asked} seeds; this bundle holds {members}: --only left out the others."


def tested(card: BundleCard) -> list[dict[str, Any]]:
    """Rows of the scores on test, or of validation where nothing was tested."""
    test = [row for row in card.metrics if row["split"] == "test"]
    return test or card.metrics


def known_failures(card: BundleCard) -> list[str]:
    """What the figures and the data say about when not to believe it."""
    told, means = list(card.banners), means_of_trainings(len(card.members), card.metrics)
    if means:
        told.append(
            f"The figures are means over single trainings; the averaged answer of the {len(card.members)} seeds in "
            "this bundle was not scored itself."
        )
    finds = "a single training finds" if means else "it finds"
    for row in sorted((r for r in tested(card) if r["metric"] == "recall" and r["class"] in card.classes),
                      key=lambda r: r["value"]):  # fmt: skip
        if row["value"] < 0.9:
            told.append(
                f"Of the {row['split']} images with {row['class']} {finds} {row['value']:.0%} "
                f"({_interval(row)}, {row['n']} images scored): {1 - row['value']:.0%} are missed."
            )
    if card.gate is None:
        told.append(f"It has no gate: {card.no_gate}. It reads any image, of whatever kind.")
    if not any(row["split"] == "test" for row in card.metrics):
        told.append("It was never scored on test images.")
    told += card.cohort.get("findings", [])
    told.append("Images from other hospitals, machines and patient groups than those below were not tried.")
    return told


def _interval(row: dict[str, Any]) -> str:
    return f"{row['low']:.0%} to {row['high']:.0%}" if row["low"] is not None else "no interval"


def _channels(count: int) -> Any:
    return count


def _calibration(point: OperatingPoint) -> dict[str, Any]:
    return {
        "rule": point.rule, "prior_correction": list(point.prior_correction), "temperature": point.temperature,
        "platt": [list(line) for line in point.platt], "notes": list(point.notes), "fitted_on": "validation",
    }  # fmt: skip


def _cohort(where: StudyDir, dataset: Dataset, members: Members) -> dict[str, Any]:
    """Who is in the data: images, patients, classes, sex, age, view, site per split; and what the audit found."""
    told: dict[str, Any] = {"source": dataset.source, "patient_rule": dataset.patient_rule, "notes": dataset.notes,
                            "trained_on": [card.contents for card in members.cards], "splits": {}}  # fmt: skip
    if where.clean_rows.exists() and where.splits.exists():
        trial = members.trials[0]
        splits = read_table(where.splits)
        own = splits[(splits["repeat"] == trial.repeat) & (splits["fold"] == trial.fold)]
        rows = read_table(where.clean_rows).merge(own[["row_id", "split"]], on="row_id")
        told["splits"] = {split: _counted(rows[rows["split"] == split], dataset) for split in ("train", "val", "test")}
    if where.audit.exists():
        findings = read_json(where.audit).get("findings", [])
        told["findings"] = [found["message"] for found in findings if found.get("severity") in ("warning", "error")]
    return told


def _counted(rows: pd.DataFrame, dataset: Dataset) -> dict[str, Any]:
    counted: dict[str, Any] = {"images": len(rows), "patients": int(rows["patient"].nunique())}
    labels = {name: rows.get(f"y_{name}") for name in dataset.classes}
    counted["classes"] = {name: int((column == 1).sum()) for name, column in labels.items() if column is not None}
    for name in ("sex", "view", "site"):
        shares = rows[name].dropna().value_counts().head(8)
        if len(shares):
            counted[name] = {str(key): int(count) for key, count in shares.items()}
    ages = rows["age"].dropna()
    if len(ages):
        low, middle, high = (round(float(ages.quantile(q)), 1) for q in (0.05, 0.5, 0.95))
        counted["age"] = {"p5": low, "median": middle, "p95": high, "known": len(ages)}
    return counted
