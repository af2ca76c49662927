"""A grey image repeated for a network of three channels is convolved once, and the answers stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from secondread.core.spec import ref
from secondread.export.graph import Calibrated, ReadingGraph
from secondread.export.to_onnx import to_onnx
from secondread.models.build import build_classifier
from secondread.models.bundle.opened import session_of
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec

SIZE = 64


def network(name: str, channels: int, seed: int) -> Classifier:
    spec = ModelSpec(2, channels, SIZE, "binary")
    means, spreads = [0.5, 0.4, 0.6][:channels], [0.25] * channels
    return build_classifier(ref(name), spec, mean=means, std=spreads, seed=seed).eval()


@pytest.mark.parametrize(
    ("name", "channels", "members"), [("resnet18", 1, 2), ("resnet18", 3, 1), ("plain_cnn", 1, 1), ("googlenet", 1, 1)]
)
def test_the_exported_graph_answers_as_the_network(name: str, channels: int, members: int) -> None:
    networks = [network(name, channels, seed) for seed in range(members)]
    model = to_onnx(
        ReadingGraph(networks, Calibrated("binary", [1.0, 1.0], [0.0, 0.0]), SIZE, channels), SIZE, channels
    )
    images = np.random.default_rng(0).integers(0, 256, (3, channels, SIZE, SIZE), dtype=np.uint8)
    (answered,) = session_of(model, 1).run(["logits"], {"image": images})
    with torch.inference_mode():
        wanted = torch.stack([one(torch.from_numpy(images)) for one in networks]).mean(0).numpy()
    np.testing.assert_allclose(answered, wanted, atol=1e-4 * np.ptp(wanted) + 1e-6)
    nodes = onnx.load_from_string(model).graph.node
    assert not [node for node in nodes if node.op_type == "Expand"]
    kernels = {tensor.name: tensor.dims for tensor in onnx.load_from_string(model).graph.initializer}
    first = next(node for node in nodes if node.op_type == "Conv")
    assert kernels[first.input[1]][1] == channels
