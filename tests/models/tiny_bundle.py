"""A real bundle that is made in milliseconds: a one-layer network with random weights, written node by node.

For tests that need something to read with, not something that reads well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from secondread.core.errors import WrongRequest
from secondread.core.leakage import marks
from secondread.images.decode_types import DECODER_VERSION
from secondread.models.bundle.card import BundleCard, GateCard
from secondread.models.bundle.gate import fit_gate, looks
from secondread.models.bundle.judge import Outputs
from secondread.models.bundle.opened import Bundle, session_of
from secondread.models.bundle.writing import REFERENCE_IMAGES, reference_images, reference_npz, write_bundle

FEATURES = 8


def tiny_bundle(
    folder: Path,
    task: Literal["binary", "multiclass", "multilabel"] = "binary",
    classes: list[str] | None = None,
    channels: Literal[1, 3] = 1,
    size: int = 32,
    gate: bool = True,
    heatmaps: bool = True,
    seed: int = 0,
    fitted_on: Sequence[str] | None = None,
    slowed: int = 0,
    **card_fields: Any,
) -> Path:
    """Write a bundle into `folder` and give the folder; `card_fields` overwrite those of the card, `fitted_on` the
    content ids that it says it learned from, `slowed` is of `tiny_graph`."""
    names = classes or (["normal", "pneumonia"] if task == "binary" else ["normal", "covid-19", "pneumonia"])
    model = tiny_graph(len(names), task, channels, size, heatmaps, seed, slowed).SerializeToString()
    images = reference_images(channels, size, 1 if slowed else REFERENCE_IMAGES)
    outputs = _outputs(model, images)
    statistics = gate_card = None
    if gate:
        many = discs(channels, size, 200, seed)
        features, seen = _outputs(model, many).features, looks(many)
        statistics, threshold = fit_gate((features[:100], features[100:]), (seen[:100], seen[100:]), 0.98)
        gate_card = GateCard("mahalanobis_joint", 25.0 * threshold, 0.98, 100, 100)
    fields: dict[str, Any] = {
        "name": "tiny/plain/tiny_cnn", "study": "tiny", "arm": "plain", "model": "tiny_cnn", "task": task,
        "classes": names, "channels": channels, "size": size, "fit": "stretch", "intensity": "full_range",
        "crop_border": 0.0, "thresholds": dict.fromkeys(names, 0.5),
        "uncertain": {name: [0.45, 0.55] for name in names}, "decoder": DECODER_VERSION, "gate": gate_card,
        "no_gate": "" if gate else "left out for a test", "heatmaps": "grad_cam" if heatmaps else "",
        "no_heatmaps": "" if heatmaps else "left out for a test", "texts": {name: f"About {name}." for name in names},
        "about": "A network with random weights.", "created": "2026-01-01T00:00:00Z", "licence": "Apache-2.0",
        "metrics": [{"split": "test", "class": "macro", "metric": "auroc", "value": 0.5, "low": 0.4, "high": 0.6,
                     "n": 100, "method": "bootstrap"}],
    }  # fmt: skip
    text = "# tiny_cnn\n\nA network with random weights. For research and education, not a medical device.\n"
    reference = reference_npz(images, outputs, statistics, None if fitted_on is None else np.unique(marks(fitted_on)))
    write_bundle(folder, BundleCard(**(fields | card_fields)), model, reference, text)
    return folder


def tiny_graph(
    classes: int, task: str = "binary", channels: int = 1, size: int = 32, heatmaps: bool = True, seed: int = 0,
    slowed: int = 0,
) -> onnx.ModelProto:  # fmt: skip
    """uint8 image [N,C,S,S] → convolution, ReLU, mean, linear: logits, probabilities, features, heatmaps.

    `slowed`: times that the image is multiplied by the matrix that leaves it as it is, which takes its time.
    """
    drawn = np.random.default_rng(seed)
    weights = {
        "scale": np.float32(1 / 255.0),
        "kernel": drawn.normal(0, 0.5, (FEATURES, channels, 4, 4)).astype(np.float32),
        "head": drawn.normal(0, 2.0, (FEATURES, classes)).astype(np.float32),
        "bias": np.zeros(classes, np.float32),
        "axes": np.asarray([2, 3], np.int64),
        **({"same": np.eye(size, dtype=np.float32)} if slowed else {}),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled 0"]),
        *(helper.make_node("MatMul", [f"scaled {at}", "same"], [f"scaled {at + 1}"]) for at in range(slowed)),
        helper.make_node("Conv", [f"scaled {slowed}", "kernel"], ["convolved"], strides=[4, 4], kernel_shape=[4, 4]),
        helper.make_node("Relu", ["convolved"], ["maps"]),
        helper.make_node("ReduceMean", ["maps", "axes"], ["features"], keepdims=0),
        helper.make_node("Gemm", ["features", "head", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"])
        if task == "multilabel"
        else helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    side = size // 4
    outputs = {"logits": [classes], "probabilities": [classes], "features": [FEATURES]}
    if heatmaps:
        nodes += [
            helper.make_node("Einsum", ["maps", "head"], ["weighed"], equation="nfhw,fk->nkhw"),
            helper.make_node("Relu", ["weighed"], ["heatmaps"]),
        ]
        outputs["heatmaps"] = [classes, side, side]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", channels, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def opened(folder: Path, **fields: Any) -> Bundle:
    return Bundle.open(tiny_bundle(folder, **fields), threads=1)


def _outputs(model: bytes, images: NDArray[np.uint8]) -> Outputs:
    wanted = ["logits", "probabilities", "features"]
    return Outputs(*session_of(model, 1).run(wanted, {"image": images}))


def discs(channels: int, size: int, count: int, seed: int) -> NDArray[np.uint8]:
    """Images of one kind: a bright disc of varying place on a dark ground."""
    drawn = np.random.default_rng(seed)
    across = np.linspace(-1, 1, size)
    images = np.empty((count, channels, size, size), np.uint8)
    for at in range(count):
        x, y = drawn.uniform(-0.4, 0.4, 2)
        disc = np.exp(-((across[:, None] - y) ** 2 + (across[None] - x) ** 2) / 0.3)
        images[at] = np.clip(disc * 200 + drawn.normal(0, 8, (size, size)), 0, 255).astype(np.uint8)
    return images


def refused(path: Path) -> str:
    """The reason why a bundle is refused; fails when it is opened."""
    with pytest.raises(WrongRequest) as told:
        Bundle.open(path, threads=1)
    reason = str(told.value)
    assert reason
    assert len(reason.splitlines()) <= 2
    return reason
