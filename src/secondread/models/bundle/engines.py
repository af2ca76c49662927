"""What runs a bundle's graph: ONNX Runtime, or OpenVINO (an extra) where `secondread bench` finds it faster."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, Literal, get_args

import onnxruntime
from numpy.typing import NDArray

from secondread.core.errors import Absent, WrongRequest

Engine = Literal["onnxruntime", "openvino"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


def session_of(model: bytes, threads: int, engine: Engine = "onnxruntime") -> Any:
    """What has `run(names of outputs, {name of input: array})`. Safe to use from several threads.

    Raises `WrongRequest` for a graph that cannot be run, `Absent` for an engine that is not installed.
    """
    if engine not in ENGINES:
        raise WrongRequest(f"there is no engine {engine!r}; engines: {', '.join(ENGINES)}")
    make = _onnxruntime if engine == "onnxruntime" else OpenVino
    try:
        return make(model, threads)
    except Absent:
        raise
    except Exception as error:  # neither engine has a common ancestor of its errors
        raise WrongRequest(f"model.onnx cannot be run: {' '.join(str(error).split())[:200]}") from error


def installed(engine: Engine) -> bool:
    return importlib.util.find_spec(engine) is not None


def _onnxruntime(model: bytes, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.force_spinning_stop", "1")  # between runs the cores are for others
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OpenVino:
    """The graph compiled by OpenVINO for this processor."""

    def __init__(self, model: bytes, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise Absent("the engine openvino needs the extra: pip install 'secondread[openvino]'") from error
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it: other answers there
        }
        self.compiled = core.compile_model(core.read_model(model), "CPU", settings)

    def run(self, wanted: Sequence[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """A request of its own for every call: one request serves one thread at a time."""
        found = self.compiled.create_infer_request().infer(feed)
        return [found[name] for name in wanted]
