"""From trained trials to the parts of a bundle: the ONNX model, the gate, the answers to the reference images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.spec import Rule
from secondread.core.studydir import StudyDir
from secondread.core.trials import Trial
from secondread.export.graph import Calibrated, ReadingGraph
from secondread.export.material import Images
from secondread.export.to_onnx import to_onnx
from secondread.metrics.calibration import OperatingPoint, fit_operating_point
from secondread.models.build import load_trial
from secondread.models.bundle.card import GateCard
from secondread.models.bundle.engines import session_of
from secondread.models.bundle.gate import JOINT, LEAST_IMAGES, GateStatistics, fit_gate, looks
from secondread.models.bundle.judge import Outputs
from secondread.models.card import TrialCard
from secondread.models.classifier import Classifier

GATE_QUANTILE = 0.98
RUN_BATCH = 16


@dataclass(frozen=True)
class Members:
    """The classifiers inside one bundle (one, or seeds of one fold whose logits are averaged) and their cards."""

    trials: tuple[Trial, ...]
    classifiers: list[Classifier]
    cards: list[TrialCard]

    @property
    def card(self) -> TrialCard:
        return self.cards[0]


def load_members(where: StudyDir, trials: Sequence[Trial]) -> Members:
    loaded = [load_trial(where.trial(trial.name)) for trial in trials]
    return Members(tuple(trials), [classifier for classifier, _ in loaded], [card for _, card in loaded])


def point_of_mean(
    points: Sequence[OperatingPoint], logits: NDArray[np.float32], labels: NDArray[np.float64], card: TrialCard,
    rule: Rule,
) -> OperatingPoint:  # fmt: skip
    """The operating point of averaged logits [N,K], fitted on the same validation rows as those of the members."""
    if len(points) == 1:
        return points[0]
    first = points[0]
    return fit_operating_point(
        logits, labels, task=first.task, classes=first.classes, train_prior=card.training_prior,
        natural_prior=card.natural_prior, rule=rule,
    )  # fmt: skip


def model_of(members: Members, point: OperatingPoint) -> tuple[bytes, str]:
    """The ONNX model, and why it has no heatmaps (empty when it has)."""
    card = members.card
    calibrated = Calibrated(card.task, list(point.scale), list(point.offset))
    graph = ReadingGraph(members.classifiers, calibrated, card.size, card.channels)
    return to_onnx(graph, card.size, card.channels), graph.no_heatmaps


class Engine:
    """A model that has no card yet, run as a bundle runs it."""

    def __init__(self, model: bytes, heatmaps: bool, threads: int) -> None:
        self.session, self.heatmaps = session_of(model, threads), heatmaps

    def run(self, images: Images) -> Outputs:
        """All outputs for [N,C,H,W], a few images at a time."""
        names = ["logits", "probabilities", "features", *(["heatmaps"] if self.heatmaps else [])]
        told = [
            self.session.run(names, {"image": images[at : at + RUN_BATCH]}) for at in range(0, len(images), RUN_BATCH)
        ]
        return Outputs(*(np.concatenate(parts) for parts in zip(*told, strict=True)))


def fit_bundle_gate(
    engine: Engine, training: NDArray[np.uint8], validation: NDArray[np.uint8]
) -> tuple[GateStatistics, GateCard] | str:
    """The gate on the graph's own features, or the reason why there is none."""
    if len(training) < LEAST_IMAGES or len(validation) < LEAST_IMAGES:
        few = min(len(training), len(validation))
        return f"{few} training or validation images are too few to say what an image of this kind looks like"
    features = engine.run(training).features
    if not np.isfinite(features).all():
        raise BadData("export: the model gives features that are no numbers for its own training images")
    pairs = (features, engine.run(validation).features), (looks(training), looks(validation))
    statistics, threshold = fit_gate(*pairs, GATE_QUANTILE)
    if not 0.0 < threshold < float("inf"):
        return "the features of all images are the same"
    return statistics, GateCard(JOINT, threshold, GATE_QUANTILE, len(training), len(validation))
