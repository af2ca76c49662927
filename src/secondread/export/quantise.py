"""int8: static quantisation per channel, calibrated on training images, kept only where it is harmless and faster."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.metrics.calibration import OperatingPoint
from secondread.metrics.cases import cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.scores import score
from secondread.models.bundle.judge import Outputs

CALIBRATION_IMAGES = 128
LARGEST_AUROC_LOSS = 0.005
LARGEST_PROBABILITY_SHIFT = 0.05
"""At the 99th percentile of all probabilities."""
LEAST_GAIN = 1.05
QUANTISED = ("Conv", "Relu", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Gemm", "Clip")
TAIL = ("features", "logits")
"""The pooling and the last linear layer stay in floating point: cheap, and the probabilities hang on them."""


@dataclass(frozen=True)
class Int8Verdict:
    """What int8 costs and gains on validation, and whether it is kept."""

    kept: bool
    reason: str
    auroc_fp32: float
    auroc_int8: float
    probability_shift_p99: float
    flips: int
    images: int
    speed_ratio: float
    """fp32 seconds over int8 seconds for one image, interleaved."""

    def to_json(self) -> dict[str, Any]:
        return {name: None if value != value else value for name, value in asdict(self).items()}


def quantised(model: bytes, images: NDArray[np.uint8]) -> bytes:
    """The model in QDQ form: int8 weights per channel, uint8 activations, ranges from `images` [N,C,H,W].

    Weights keep 7 bits (`reduce_range`): processors with AVX2 alone add pairs of products in 16 bits, which 8 would
    overflow. Raises `BadData` when the runtime cannot quantise the architecture.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([images[at : at + 8] for at in range(0, len(images), 8)])

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"image": batch}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, ready, made = (Path(folder) / name for name in ("plain.onnx", "ready.onnx", "made.onnx"))
        plain.write_bytes(model)
        try:
            quant_pre_process(plain, ready, skip_symbolic_shape=True)
            quantize_static(
                ready, made, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
                op_types_to_quantize=list(QUANTISED), nodes_to_exclude=_kept_nodes(onnx.load(ready)),
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
        except Exception as error:  # the quantiser raises whatever its own steps do
            raise BadData(f"int8: {type(error).__name__}: {' '.join(str(error).split())[:160]}") from error
        return _without_other_domains(made.read_bytes())


def judge_int8(
    point: OperatingPoint, labels: NDArray[np.float64], fp32: Outputs, int8: Outputs, speed_ratio: float
) -> Int8Verdict:
    """Compare both on the same validation images with labels [N,K]."""
    before, after = _auroc(point, labels, fp32), _auroc(point, labels, int8)
    shift = float(np.percentile(np.abs(int8.probabilities - fp32.probabilities), 99))
    flips = int((point.decide(int8.probabilities) != point.decide(fp32.probabilities)).any(1).sum())
    reasons = []
    if np.isnan(before):
        reasons.append("validation has too few cases to tell what it costs")
    elif not before - after <= LARGEST_AUROC_LOSS:
        reasons.append(f"validation AUROC {before:.4f} becomes {after:.4f}")
    if not shift <= LARGEST_PROBABILITY_SHIFT:
        reasons.append(f"probabilities move by {shift:.3f} (99th percentile)")
    if not speed_ratio >= LEAST_GAIN:
        reasons.append(f"it is only {speed_ratio:.2f} times as fast")
    told = f"int8: AUROC {before:.4f} → {after:.4f}, probabilities move by {shift:.3f}, {speed_ratio:.2f} times as fast"
    reason = "int8 left out: " + "; ".join(reasons) if reasons else told
    return Int8Verdict(not reasons, reason, before, after, shift, flips, len(labels), speed_ratio)


def speed_ratio(slow: Any, fast: Any, image: NDArray[np.uint8], repeats: int = 15) -> float:
    """Seconds of `slow.run(image)` over those of `fast.run(image)`: medians of calls that take turns."""
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats + 2):
        for at, bundle in enumerate((slow, fast)):
            started = time.perf_counter()
            bundle.run(image)
            seconds[at].append(time.perf_counter() - started)
    return float(np.median(seconds[0][2:]) / np.median(seconds[1][2:]))


def _auroc(point: OperatingPoint, labels: NDArray[np.float64], outputs: Outputs) -> float:
    chances = outputs.probabilities.astype(np.float64)
    judged = cases(labels, chances, point.decide(chances), task=point.task, classes=point.classes)
    row = METRICS["auroc"].headline(point.task, point.classes)
    return next(one.value for one in score(judged, ["auroc"]) if one.row == row)


def _kept_nodes(model: Any) -> list[str]:
    return [node.name for node in model.graph.node if set(node.output) & set(TAIL)]


def _without_other_domains(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in ("", *used)]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    written: bytes = model.SerializeToString()
    return written


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises its own developers through warnings and the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
