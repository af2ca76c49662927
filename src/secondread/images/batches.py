"""Batches from the memory-mapped uint8 cache: a fixed order for every seed, read ahead, moved to the device as uint8.

Which rows make up step s depends on nothing but (seed, s): a training goes on after a kill without any sampler state,
and several processes that share a batch see together what one process would see alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.core.errors import WrongRequest

RESIDENT_SHARE = 0.4  # of the free memory of a GPU, for data that stay there


@dataclass(frozen=True)
class Batch:
    """`inputs`: images [B,C,H,W] uint8, or features [B,F]; `labels` [B,K], NaN where not said; `rows` [B]."""

    inputs: Tensor
    labels: Tensor
    rows: NDArray[np.int64]


class Stack:
    """Arrays [N, …] of one shape and type, read as if they were one; memory maps stay on disk."""

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        shapes = {array.shape[1:] for array in arrays}
        if len(shapes) != 1:
            raise ValueError(f"arrays of different shapes cannot be stacked: {shapes}")
        self.arrays = list(arrays)
        self.starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.shape, self.dtype = arrays[0].shape[1:], arrays[0].dtype

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """Copies at `places`, in that order; the disk is read in its own order."""
        taken = np.empty((len(places), *self.shape), self.dtype)
        order = np.argsort(places, kind="stable")
        parts = np.searchsorted(self.starts, places[order], side="right") - 1
        for part, array in enumerate(self.arrays):
            here = order[parts == part]
            if len(here):
                taken[here] = array[places[here] - self.starts[part]]
        return taken


@dataclass(frozen=True)
class Sampler:
    """An endless order of rows: shuffled passes one after the other, cut into batches of equal size.

    Row i stands `times[i]` times in a pass. When `weights` are not all 1 a pass is instead drawn with replacement in
    proportion to times × weights, and is as long.
    """

    times: NDArray[np.int64]
    weights: NDArray[np.float64]
    batch: int
    seed: int

    @property
    def length(self) -> int:
        """Rows in one pass."""
        return int(self.times.sum())

    def rows(self, step: int) -> NDArray[np.int64]:
        """The rows [batch] of step `step` (from 0)."""
        return self.at(step)[0]

    def at(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows [batch] of a step, and of which pass (from 0) each is."""
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        passes = places // self.length
        rows = np.empty(self.batch, np.int64)
        for one in np.unique(passes):
            inside = passes == one
            rows[inside] = self._order(int(one))[places[inside] % self.length]
        return rows, passes

    def _order(self, one: int) -> NDArray[np.int64]:
        kept: dict[int, NDArray[np.int64]] = self.__dict__.setdefault("_orders", {})
        if one not in kept:
            for old in [key for key in kept if key < one - 1]:
                del kept[old]
            kept[one] = self._shuffled(one)
        return kept[one]

    def _shuffled(self, one: int) -> NDArray[np.int64]:
        chance = np.random.default_rng([self.seed, one])
        if np.all(self.weights == 1.0):
            return chance.permutation(np.repeat(np.arange(len(self.times)), self.times))
        share = self.times * self.weights
        return chance.choice(len(self.times), size=self.length, p=share / share.sum()).astype(np.int64)


class Batches:
    """`batches(step)` is the batch of that step on the device; the next one is read meanwhile.

    `places[i]` is where row i lies in `stack`; with several views of each row (features of augmented copies), view v of
    row i lies `v * view_stride` further on. `shard` = (rank, processes): this process gets its part of each batch.
    """

    def __init__(
        self,
        stack: Stack,
        places: NDArray[np.int64],
        labels: NDArray[np.float32],
        sampler: Sampler,
        device: torch.device,
        *,
        shard: tuple[int, int] = (0, 1),
        views: int = 1,
        view_stride: int = 0,
    ) -> None:
        self.share = share_of(sampler.batch, shard[1])
        self.stack, self.places, self.sampler, self.device = stack, places, sampler, device
        self.labels = torch.from_numpy(labels)
        self.shard, self.views, self.view_stride = shard, views, view_stride
        self.resident = self._upload() if self._fits() else None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        ahead, self._ahead = self._ahead, None
        batch = ahead[1].result() if ahead is not None and ahead[0] == step else self._read(step)
        self._ahead = (step + 1, self._reader.submit(self._read, step + 1))
        return Batch(self._on_device(batch), batch.labels.to(self.device, non_blocking=True), batch.rows)

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, step: int) -> Batch:
        rows, passes = self.sampler.at(step)
        mine = slice(self.shard[0] * self.share, (self.shard[0] + 1) * self.share)
        rows, passes = rows[mine], passes[mine]
        labels = self.labels[rows]
        if self.resident is not None:
            return Batch(torch.empty(0), labels, rows)
        inputs = torch.from_numpy(self.stack.take(self.places[rows] + passes % self.views * self.view_stride))
        if self.device.type == "cuda":
            inputs, labels = inputs.pin_memory(), labels.pin_memory()
        return Batch(inputs, labels, rows)

    def _on_device(self, batch: Batch) -> Tensor:
        if self.resident is not None:
            index = torch.from_numpy(batch.rows).to(self.device, non_blocking=True)
            return planes(self.resident[index])
        return planes(batch.inputs.to(self.device, non_blocking=True))

    def _fits(self) -> bool:
        if self.device.type != "cuda" or self.views > 1:
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return len(self.places) * int(np.prod(self.stack.shape)) * self.stack.dtype.itemsize < RESIDENT_SHARE * free

    def _upload(self, stretch: int = 1024) -> Tensor:
        """All rows on the device, in the order of the rows."""
        kind = torch.from_numpy(np.empty(0, self.stack.dtype)).dtype
        held = torch.empty((len(self.places), *self.stack.shape), dtype=kind, device=self.device)
        for start in range(0, len(self.places), stretch):
            some = self.places[start : start + stretch]
            held[start : start + len(some)] = torch.from_numpy(self.stack.take(some)).to(self.device)
        return held


def share_of(batch: int, processes: int) -> int:
    """Images of a batch that one of the processes gets; raises `WrongRequest` where they cannot get equally many."""
    if batch % processes:
        raise WrongRequest(f"train.batch: {batch} images cannot be shared equally by {processes} processes")
    return batch // processes


def planes(pixels: Tensor) -> Tensor:
    """Pixels (uint8) [B,H,W] or [B,H,W,3] as [B,C,H,W] without a copy; features (float) as they are."""
    if pixels.dtype != torch.uint8:
        return pixels
    return pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
