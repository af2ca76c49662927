"""The engines that bench compares: PyTorch in both memory formats, ONNX Runtime, OpenVINO; and a fair clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.learning.devices import multiplies_bf16
from secondread.models.bundle import Bundle
from secondread.models.bundle.engines import Engine
from secondread.models.classifier import Classifier

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
WARM = 2
PAUSE = 0.12
"""Seconds before each call. The threads of an engine go on asking for work after a call, those of ONNX Runtime for
nearly a tenth of a second, and hold the cores of whoever comes next."""


@dataclass(frozen=True)
class Timed:
    """One engine: its name and precision, and images [N,C,H,W] → logits [N,K]."""

    engine: str
    precision: str
    run: Run


def native_engines(members: Sequence[Classifier]) -> list[Timed]:
    """The mean logits of the members in eager PyTorch, in both memory formats, each with its own weights; in bfloat16
    too where the processor multiplies it."""
    import copy

    eager = [member.eval() for member in members]
    last = [copy.deepcopy(member).to(memory_format=torch.channels_last) for member in eager]  # type: ignore[call-overload]

    @torch.inference_mode()
    def plain(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _mean(eager, torch.from_numpy(images))

    @torch.inference_mode()
    def channels_last(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _mean(last, torch.from_numpy(images).contiguous(memory_format=torch.channels_last))

    def bfloat16(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.autocast("cpu", torch.bfloat16):
            return channels_last(images)

    fp32 = [Timed("native eager", "fp32", plain), Timed("native channels_last", "fp32", channels_last)]
    return [*fp32, *([Timed("native bfloat16", "bf16", bfloat16)] if multiplies_bf16() else [])]


def bundle_engine(bundle: Bundle, engine: Engine = "onnxruntime") -> Timed:
    return Timed(engine, bundle.card.precision, lambda images: bundle.run(images).logits)


def _mean(members: Sequence[torch.nn.Module], images: torch.Tensor) -> NDArray[np.float32]:
    logits: NDArray[np.float32] = torch.stack([member(images) for member in members]).mean(0).float().numpy()
    return logits


def take_turns(
    calls: Sequence[Callable[[], object]], repeats: int, most_seconds: float = float("inf")
) -> list[list[float]]:
    """Seconds of every call, round after round, so that a busy moment of the machine meets all of them alike.

    Every other round runs backwards: no engine always follows the one that leaves the caches cold. Two rounds warm up.
    Rounds end early once `most_seconds` have passed, but not before three.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    for turn in range(repeats + WARM):
        if turn >= WARM + 3 and time.perf_counter() - began > most_seconds:
            break
        for at in range(len(calls))[:: 1 if turn % 2 else -1]:
            time.sleep(PAUSE)
            started = time.perf_counter()
            calls[at]()
            if turn >= WARM:
                seconds[at].append(time.perf_counter() - started)
    return seconds
