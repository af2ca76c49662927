"""What never changes is computed once: features of a frozen backbone, codes of a trained encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.core.errors import BadData
from secondread.core.files import atomic_path, reserve
from secondread.core.progress import progress
from secondread.images.augment import Augment
from secondread.images.batches import Stack, planes
from secondread.learning.devices import Machine
from secondread.learning.inference import EVALUATION_BATCH
from secondread.learning.lesson import step_seed

MOST_BYTES = 64 * 2**30


@dataclass(frozen=True)
class Features:
    """Features of the rows in `stack` (first view 0 of every row, then view 1, …), and those of validation."""

    stack: Stack
    rows: int
    views: int
    val: Stack


@dataclass(frozen=True)
class Front:
    """The part of a network that does not learn, images [B,C,H,W] → something, and the augmentation before it."""

    network: Callable[[Tensor], Tensor]
    augment: Augment | None
    seed: int

    @torch.inference_mode()
    def __call__(self, images: Tensor, labels: Tensor, view: int, start: int) -> Tensor:
        """View 0 is the plain image."""
        if view and self.augment is not None:
            generator = torch.Generator().manual_seed(step_seed(self.seed, view, start))
            images, _ = self.augment(images.float(), labels, generator)
        return self.network(images).float()


def features_of(
    front: Front, stack: Stack, places: NDArray[np.int64], val_places: NDArray[np.int64], views: int,
    machine: Machine, folder: Path,
) -> Features:  # fmt: skip
    """Run `front` once over every row and view, on disk in `folder`; the network must be in eval mode."""
    if machine.is_main:
        folder.mkdir(parents=True, exist_ok=True)
        _write(front, stack, places, views, machine, folder / "features.npy")
        _write(front, stack, val_places, 1, machine, folder / "features-val.npy")
    machine.wait()
    train, val = (np.load(folder / name, mmap_mode="r") for name in ("features.npy", "features-val.npy"))
    return Features(Stack([train]), len(places), views, Stack([val]))


def forget(folder: Path) -> None:
    """Remove the features once the training is over: they can be computed again and may be large."""
    for name in ("features.npy", "features-val.npy"):
        (folder / name).unlink(missing_ok=True)


def _write(front: Front, stack: Stack, places: NDArray[np.int64], views: int, machine: Machine, path: Path) -> None:
    shape = tuple(_first(front, stack, places, machine).shape[1:])
    needed = len(places) * views * int(np.prod(shape)) * 4
    if needed > MOST_BYTES:
        raise BadData(f"{path.name} would take {needed / 2**30:.0f} GiB: use a smaller train.size or fewer views")
    with atomic_path(path) as temporary, progress("features", len(places) * views) as shown:
        array = np.lib.format.open_memmap(temporary, "w+", np.float32, (len(places) * views, *shape))
        reserve(temporary)
        for view in range(views):
            for start in range(0, len(places), EVALUATION_BATCH):
                some = places[start : start + EVALUATION_BATCH]
                images = planes(torch.from_numpy(stack.take(some)).to(machine.device))
                nothing = torch.zeros(len(some), 1, device=machine.device)
                at = view * len(places) + start
                array[at : at + len(some)] = front(images, nothing, view, start).cpu().numpy()
                shown.advance(len(some))
        array.flush()


def _first(front: Front, stack: Stack, places: NDArray[np.int64], machine: Machine) -> Tensor:
    """Features of one row, or of a black image when there is none, for their shape."""
    pixels = stack.take(places[:1]) if len(places) else np.zeros((1, *stack.shape), stack.dtype)
    return front(planes(torch.from_numpy(pixels).to(machine.device)), torch.zeros(1, 1), 0, 0)
