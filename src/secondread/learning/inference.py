"""A network over many rows, without gradients, always in the same batches: the same rows give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor

from secondread.core.tables import Task
from secondread.images.batches import Stack, planes
from secondread.learning.devices import Machine

EVALUATION_BATCH = 64


def inputs_of(
    stack: Stack, places: NDArray[np.int64], device: torch.device, batch: int = EVALUATION_BATCH
) -> Iterator[Tensor]:
    """Images [B,C,H,W] uint8 (or features [B,F]) of the places, in their order, on the device."""
    for start in range(0, len(places), batch):
        yield planes(torch.from_numpy(stack.take(places[start : start + batch])).to(device))


@torch.inference_mode()
def outputs_of(
    network: Callable[[Tensor], Tensor],
    stack: Stack,
    places: NDArray[np.int64],
    machine: Machine,
    *,
    mixed_precision: bool = False,
    shared: bool = True,
) -> NDArray[np.float32]:
    """The outputs [N,…] of the network (in eval mode), float32.

    Several processes share the rows unless `shared` is off; then a process may call this while the others wait.
    """
    world, rank = (machine.world, machine.rank) if shared else (1, 0)
    share = -(-len(places) // world)
    mine = places[rank * share : (rank + 1) * share]
    mine = np.concatenate([mine, np.repeat(places[:1], share - len(mine))])  # gathering wants equal shares
    made = []
    for inputs in inputs_of(stack, mine, machine.device):
        if mixed_precision:
            with machine.accelerator.autocast():
                made.append(network(inputs).float())
        else:
            made.append(network(inputs).float())
    joined = machine.gathered(torch.cat(made)) if world > 1 else torch.cat(made)
    outputs: NDArray[np.float32] = joined.cpu().numpy()[: len(places)]
    return outputs


def probabilities(logits: NDArray[np.float32], task: Task) -> NDArray[np.float32]:
    """Softmax of exclusive classes, sigmoid of independent labels, in double precision before it is rounded."""
    exact = logits.astype(np.float64)
    made: NDArray[np.float64] = expit(exact) if task == "multilabel" else softmax(exact, axis=1)
    return made.astype(np.float32)
