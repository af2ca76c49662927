"""What an ONNX file may hold: checked on its bytes, before any runtime sees them and without building its objects.

ONNX is a protocol buffer. Only the messages on the way to nodes and tensors are entered; weights are stepped over.
Field numbers are those of `onnx.proto` (ONNX 1.23).
"""

from __future__ import annotations

from collections.abc import Iterator

from secondread.core.errors import WrongRequest

DOMAINS = (b"", b"ai.onnx")
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5

# message: {field: the message inside}
ENTERED: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor"},
    "tensor": {},
}
REFUSED: dict[str, dict[int, str]] = {
    "model": {20: "training graphs", 25: "functions of its own"},
    "graph": {15: "sparse tensors"},
    "node": {},
    "attribute": {6: "graphs inside nodes", 11: "graphs inside nodes", 22: "sparse tensors", 23: "sparse tensors"},
    "tensor": {13: "weights in other files (external data)"},
}
NODE_DOMAIN, TENSOR_LOCATION = 7, 14


def check_graph(content: bytes) -> None:
    """Raise `WrongRequest` when an ONNX model reaches outside itself or holds anything but standard operators."""
    try:
        _check(memoryview(content), "model")
    except (IndexError, ValueError) as error:
        raise WrongRequest(f"model.onnx is not a whole ONNX file: {error}") from error


def _check(message: memoryview, kind: str) -> None:
    entered = 0
    for number, value in _fields(message):
        if number in REFUSED[kind]:
            raise WrongRequest(f"model.onnx holds {REFUSED[kind][number]}, which a bundle may not")
        if kind == "node" and number == NODE_DOMAIN and isinstance(value, memoryview) and bytes(value) not in DOMAINS:
            raise WrongRequest(f"model.onnx uses operators of {bytes(value)[:40]!r}: only standard ONNX ones are run")
        if kind == "tensor" and number == TENSOR_LOCATION and value != 0:
            raise WrongRequest("model.onnx holds weights in other files (external data), which a bundle may not")
        inside = ENTERED[kind].get(number)
        if inside is not None:
            if not isinstance(value, memoryview):
                raise ValueError(f"field {number} of a {kind} is no message")
            _check(value, inside)
            entered += 1
    if kind == "model" and entered != 1:
        raise ValueError(f"{entered} graphs")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of each field: a number, or the bytes of a delimited one."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if wire == DELIMITED:
            size, at = _varint(message, at)
        elif wire in (FIXED64, FIXED32):
            size = 8 if wire == FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > end:
            raise ValueError("it ends too early")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
