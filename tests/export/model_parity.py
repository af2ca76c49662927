"""A network with lived-in statistics, exported and compared with itself: run in processes of its own, two at a time."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from secondread.core.spec import Head, Normalise, PartRef
from secondread.core.tables import Task
from secondread.export.assemble import Engine
from secondread.export.graph import Calibrated, ReadingGraph
from secondread.export.parity import Parity, measure_parity
from secondread.export.to_onnx import to_onnx
from secondread.metrics.calibration import OperatingPoint
from secondread.models.build import build_classifier
from secondread.models.catalogue import min_size
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec

CLASSES = ("a", "b", "c")
IMAGES = 32


def lived_in(classifier: Classifier) -> Classifier:
    """Statistics of BatchNorm as after training, and logits that spread."""
    images = torch.from_numpy(images_for(classifier.backbone.spec.size))
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        classifier.train()(images)
        classifier.eval()
        spread = float(classifier(images).std())
        classifier.backbone.dense.output.weight.mul_(3.0 / max(spread, 1e-6))
    return classifier


def point(task: Task) -> OperatingPoint:
    exclusive = task != "multilabel"
    platt = () if exclusive else ((1.2, -0.1), (0.8, 0.0), (1.0, 0.3))
    return OperatingPoint(task, CLASSES, (0.1, -0.2, 0.0), 1.3 if exclusive else 1.0, platt, (0.3, 0.4, 0.3),
                          ((0.0, 0.0),) * 3)  # fmt: skip


def images_for(size: int) -> NDArray[np.uint8]:
    """Blobs of many sizes, brightnesses and contrasts: images that a network can tell apart."""
    drawn = np.random.default_rng(0)
    images = np.empty((IMAGES, 1, size, size), np.uint8)
    for at in range(IMAGES):
        cells = int(drawn.integers(2, size // 2))
        places = np.arange(size) * cells // size
        coarse = drawn.normal(drawn.uniform(40, 215), drawn.uniform(5, 80), (cells, cells))
        images[at, 0] = np.clip(coarse[places][:, places], 0, 255)
    return images


def exported(
    model: PartRef, task: Task = "multiclass", hidden: int = 0, normalise: Normalise = "dataset"
) -> tuple[Classifier, ReadingGraph, bytes]:
    size = max(32, min_size(model.name))
    spec = ModelSpec(len(CLASSES), 1, size, task, Head(hidden=hidden))
    classifier = lived_in(build_classifier(model, spec, mean=[0.5], std=[0.29], normalise=normalise, seed=0))
    at = point(task)
    graph = ReadingGraph([classifier], Calibrated(task, list(at.scale), list(at.offset)), size, 1)
    return classifier, graph, to_onnx(graph, size, 1)


def parity_of(
    written: str | dict[str, Any], task: Task = "multiclass", hidden: int = 0, normalise: Normalise = "dataset"
) -> tuple[Parity, str]:
    """What the export of the model measures, and why it has no heatmaps (empty when it has)."""
    torch.set_num_threads(1)
    gc.disable()  # tracing makes millions of small objects, and the process ends soon
    classifier, graph, content = exported(PartRef.model_validate(written), task, hidden, normalise)
    images = images_for(classifier.backbone.spec.size)
    outputs = Engine(content, not graph.no_heatmaps, 1).run(images)
    gc.enable()
    return measure_parity([classifier], point(task), images, outputs), graph.no_heatmaps
