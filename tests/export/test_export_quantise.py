"""int8 is kept only where it does no harm and is faster; the quantised graph is a bundle's graph."""

from __future__ import annotations

import numpy as np
import pytest

from export.finished_study import Finished
from secondread.export.assemble import Engine
from secondread.export.quantise import judge_int8, quantised
from secondread.metrics.calibration import OperatingPoint
from secondread.models.bundle.judge import Outputs
from secondread.models.bundle.wire import check_graph

POINT = OperatingPoint("binary", ("no", "yes"), (0.0, 0.0), 1.0, (), (0.5, 0.5), ((0.0, 0.0), (0.0, 0.0)))


def outputs(logits: np.ndarray) -> Outputs:  # type: ignore[type-arg]
    return Outputs(logits, POINT.probabilities(logits).astype(np.float32), logits)


def verdict(noise: float, ratio: float):  # type: ignore[no-untyped-def]
    drawn = np.random.default_rng(0)
    truth = np.eye(2)[drawn.integers(0, 2, 400)]
    logits = (truth + drawn.normal(0, 0.7, truth.shape)).astype(np.float32)
    worse = (logits + drawn.normal(0, noise, truth.shape)).astype(np.float32) if noise else logits
    return judge_int8(POINT, truth, outputs(logits), outputs(worse), ratio)


@pytest.mark.parametrize(
    ("noise", "ratio", "kept", "word"),
    [(0.0, 2.0, True, "2.00 times"), (0.0, 0.9, False, "0.90 times"), (3.0, 2.0, False, "AUROC"),
     (0.4, 2.0, False, "99th percentile"), (float("nan"), 2.0, False, "left out")],
)  # fmt: skip
def test_the_gate_of_int8(noise: float, ratio: float, kept: bool, word: str) -> None:
    found = verdict(noise, ratio)
    assert found.kept == kept
    assert word in found.reason


def test_where_validation_cannot_tell_the_cost_that_is_said_in_words() -> None:
    """Of several labels none has enough positives: the mean AUROC is undefined, and was written as `nan`."""
    point = OperatingPoint("multilabel", ("a", "b"), (0.0, 0.0), 1.0, (), (0.5, 0.5), ((0.0, 0.0), (0.0, 0.0)))
    truth, logits = np.eye(2)[np.zeros(40, dtype=int)] * (np.arange(40) < 3)[:, None], np.zeros((40, 2), np.float32)
    same = Outputs(logits, point.probabilities(logits).astype(np.float32), logits)
    found = judge_int8(point, truth, same, same, 2.0)
    assert not found.kept
    assert found.reason == "int8 left out: validation has too few cases to tell what it costs"


def test_the_quantised_graph_answers_nearly_the_same(exported: Finished) -> None:
    model = (exported.where.export("plain", "plain_cnn") / "model.onnx").read_bytes()
    images = np.stack([np.random.default_rng(n).normal(100, 30, (1, 32, 32)).clip(0, 255) for n in range(32)])
    images = images.astype(np.uint8)
    small = quantised(model, images)
    check_graph(small)
    a, b = Engine(model, True, 1).run(images), Engine(small, True, 1).run(images)
    assert np.corrcoef(a.logits.ravel(), b.logits.ravel())[0, 1] > 0.95
    assert b.heatmaps is not None
    assert b"QuantizeLinear" in small
    assert b"com.microsoft" not in small
