"""From the torch graph to the bytes of an ONNX model that needs nothing but itself."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from secondread.core.errors import BadData
from secondread.export.graph import ReadingGraph
from secondread.models.bundle.wire import check_graph

OPSET = 18


def to_onnx(graph: ReadingGraph, size: int, channels: int) -> bytes:
    """The ONNX model, any number of images at once; raises `BadData` when the architecture cannot be exported."""
    example = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph.eval(), (example,), dynamo=True, input_names=["image"], output_names=graph.outputs,
                dynamic_shapes={"image": {0: torch.export.Dim("N", min=1, max=4096)}}, opset_version=OPSET,
                verbose=False, optimize=True,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        raise BadData(f"export: this architecture cannot be written as ONNX: {_first_line(error)}") from error
    assert program is not None
    model = _without_names(program.model_proto)
    if channels == 1:
        grey_once(model)
    content: bytes = model.SerializeToString()
    check_graph(content)
    return content


def _without_names(model: Any) -> Any:
    """Drop what the exporter notes about the source code: paths, stack traces, names of Python objects."""
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]:
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    for field in ("metadata_props", "doc_string"):
        model.ClearField(field)
        model.graph.ClearField(field)
    model.graph.ClearField("value_info")
    return model


def grey_once(model: Any) -> None:
    """Let a convolution that gets one grey channel three times take it once, with the sum of its weights.

    The same sum in another order, for a third of the work of the widest layer.
    """
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for repeat in [node for node in model.graph.node if node.op_type == "Expand"]:
        takers = [node for node in model.graph.node if repeat.output[0] in node.input]
        kernels = {node.input[1]: weights[node.input[1]] for node in takers if node.input[1] in weights}
        convolved = all(node.op_type == "Conv" for node in takers) and len(kernels) == len(takers)
        if not convolved or any(kernel.dims[1] != 3 for kernel in kernels.values()):
            continue
        for node in takers:
            name = node.input[1]
            summed = numpy_helper.to_array(kernels[name]).sum(axis=1, keepdims=True)
            kernels[name].CopyFrom(numpy_helper.from_array(summed, name))
            node.input[0] = repeat.input[0]
        model.graph.node.remove(repeat)
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its stages to stdout and warns about its own insides: neither is for our users."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
