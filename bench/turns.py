"""Sides of a comparison in processes of their own, so that neither runs under the settings of the other."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection

import torch

Step = Callable[[], None]
Timed = Callable[[int], float]
"""Seconds that so many steps take."""


@contextmanager
def apart(makers: Mapping[str, Callable[[], Step]]) -> Iterator[dict[str, Timed]]:
    """Each maker builds its side in a fresh process; what is given runs steps of that side there and times them."""
    fresh = multiprocessing.get_context("spawn")
    ends, workers = {}, []
    for name, make in makers.items():
        ends[name], theirs = fresh.Pipe()
        workers.append(fresh.Process(target=_work, args=(make, theirs)))
        workers[-1].start()
        theirs.close()  # so that an end is noticed when the other side is gone
    try:
        yield {name: partial(_asked, end) for name, end in ends.items()}
    finally:
        for end, worker in zip(ends.values(), workers, strict=True):
            with suppress(BrokenPipeError):
                end.send(0)
            worker.join()


def _asked(end: Connection, steps: int) -> float:
    end.send(steps)
    return float(end.recv())


def _work(make: Callable[[], Step], told: Connection) -> None:
    step = make()
    with suppress(EOFError):
        while steps := told.recv():
            started = time.perf_counter()
            for _ in range(steps):
                step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            told.send(time.perf_counter() - started)
