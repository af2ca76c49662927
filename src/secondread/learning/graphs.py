"""Training steps recorded once as a CUDA graph and replayed.

A step of a network is some thousand small kernels. Launched one by one from Python they take longer than they run (8 ms
against 1.8 ms for ResNet-18 at 64 px and batches of 32 on an H200); a graph launches them all at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from secondread.core.progress import say
from secondread.learning.devices import Machine, out_of_memory

Learn = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Inputs and labels → loss and share of right answers; the weights are moved on the way."""
WARM_UP = 3
"""Steps that run as they are before one is recorded: libraries make their choices and optimisers their state there."""


def recorded(learn: Learn, optimiser: Optimizer, machine: Machine) -> Learn:
    """`learn`, from its fourth call on as a graph; `learn` itself where a graph cannot hold it.

    Several processes wait for each other within a step, a scaler of fp16 and a compiler decide within it, and an
    optimiser that is not fused asks the device: none of these can be recorded.
    """
    alone = machine.device.type == "cuda" and machine.world == 1 and not machine.compiled
    fused = type(optimiser) in (Adam, AdamW, SGD)
    return Recorded(learn, optimiser, machine.device) if alone and fused and machine.precision != "fp16" else learn


class Recorded:
    """A step that is recorded at its fourth call; inputs keep the shape that they have there.

    Dropout draws as it would without: every replay takes the seed that was set before it. The learning rate of each
    group is read at every replay.
    """

    def __init__(self, learn: Learn, optimiser: Optimizer, device: torch.device) -> None:
        self.learn, self.optimiser, self.device = learn, optimiser, device
        self.called, self.refused = 0, False
        self.graph: torch.cuda.CUDAGraph | None = None
        self.aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.called += 1
        if self.refused:
            return self.learn(inputs, labels)
        if self.called < WARM_UP:
            return self._warmed(inputs, labels)
        if self.called == WARM_UP:
            return self._watched(inputs, labels)
        if self.graph is None and not self._record(inputs, labels):
            return self.learn(inputs, labels)
        if inputs.shape != self.inputs.shape:
            return self._warmed(inputs, labels)
        return self._replayed(inputs, labels)

    def _warmed(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The step as it is, on the stream that will be recorded."""
        here = torch.cuda.current_stream(self.device)
        self.aside.wait_stream(here)
        with torch.cuda.stream(self.aside):
            told = self.learn(inputs, labels)
        here.wait_stream(self.aside)
        return told

    def _watched(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The step as it is, and whether it asks the device for a value, which a recording would die of."""
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                told = self._warmed(inputs, labels)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        if any("synchronizing CUDA operation" in str(one.message) for one in raised):
            self._refuse("it asks the GPU for values")
        return told

    def _refuse(self, reason: str) -> None:
        say(f"a training step cannot be recorded, it runs as it is: {reason}")
        self.refused = True

    def _record(self, inputs: Tensor, labels: Tensor) -> bool:
        """Whether the step could be recorded; nothing is learnt by that."""
        self.inputs, self.labels = inputs.clone(), labels.clone()
        graph = torch.cuda.CUDAGraph()
        try:
            with self._recordable(), torch.cuda.graph(graph, stream=self.aside, capture_error_mode="thread_local"):
                self.told = self.learn(self.inputs, self.labels)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            self._refuse(str(error).splitlines()[0])
            self.optimiser.zero_grad(set_to_none=True)  # gradients of an attempt that never ran
            dice = torch.cuda.default_generators[torch.cuda.current_device()]
            dice.graphsafe_set_state(dice.clone_state())  # its own still believes that a recording is under way
            return False
        self.graph = graph
        return True

    @contextmanager
    def _recordable(self) -> Iterator[None]:
        """Within the block the optimiser reads its learning rates from the device, where replays can change them."""
        groups: list[dict[str, Any]] = self.optimiser.param_groups
        before: list[dict[str, Any]] = [{name: g[name] for name in ("lr", "capturable") if name in g} for g in groups]
        self.rates = [float(group["lr"]) for group in groups]
        self.held = [torch.tensor(rate, device=self.device) for rate in self.rates]
        for group, rate in zip(groups, self.held, strict=True):
            group["lr"] = rate
            if "capturable" in group:
                group["capturable"] = True
        try:
            yield
        finally:
            for group, own in zip(groups, before, strict=True):
                group.update(own)

    def _replayed(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        assert self.graph is not None
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        for place, group in enumerate(self.optimiser.param_groups):
            if group["lr"] != self.rates[place]:
                self.rates[place] = group["lr"]
                self.held[place].fill_(group["lr"])
        self.graph.replay()
        loss, correct = self.told
        return loss.clone(), correct.clone()
