"""Decoding on all cores, surviving a decoder that dies.

Workers are fresh processes that import this package and nothing of the caller's script. A chunk during which a worker
died is taken apart until the one file that did it is known; it is reported as `Crash` and everything else goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from secondread.core.processors import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 48


KILLED = -9
"""Exit code of a process that was ended by SIGKILL: no decoder does that to itself, a system short of memory does."""


@dataclass(frozen=True)
class Crash:
    """Stands where the result of an item would be that brought its process down."""

    of_memory: bool = False
    """Whether the system ended the process, which it does for want of memory."""


def in_processes(
    function: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    chunk: int = 32,
    few: int = FEW,
) -> Iterator[tuple[int, Sequence[Result | Crash]]]:
    """(position of the first item, results) of each chunk, in the order in which chunks finish.

    `function` takes a chunk and gives as many results; it must be importable by name. Up to `few` items are worked on
    here, without processes: starting them would take longer.
    """
    starts = range(0, len(items), chunk)
    workers = min(workers or cores(), len(starts))
    if workers <= 1 or len(items) <= few:
        for start in starts:
            yield start, function(items[start : start + chunk])
        return
    finished: set[int] = set()
    try:
        for start, results in _pooled(function, {start: items[start : start + chunk] for start in starts}, workers):
            finished.add(start)
            yield start, results
    except BrokenProcessPool:
        for start in starts:
            if start not in finished:
                yield start, _taken_apart(function, items[start : start + chunk])


def _pooled(
    function: Callable[[Sequence[Item]], Sequence[Result]], chunks: dict[int, Sequence[Item]], workers: int
) -> Iterator[tuple[int, Sequence[Result]]]:
    spawning = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawning, initializer=_die_with_parent)
    try:
        with _without_main():
            futures: dict[Future[Any], int] = {pool.submit(function, part): start for start, part in chunks.items()}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _die_with_parent() -> None:
    """End this worker when the process that started it is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def _taken_apart(function: Callable[[Sequence[Item]], Sequence[Result]], part: Sequence[Item]) -> list[Result | Crash]:
    """The results of a chunk of which an item may be deadly: halves, each in a process of its own."""
    if len(part) == 1:
        return [_alone(function, part)]
    try:
        return list(next(_pooled(function, {0: part}, 1))[1])
    except BrokenProcessPool:
        middle = len(part) // 2
        return _taken_apart(function, part[:middle]) + _taken_apart(function, part[middle:])


def _alone(function: Callable[[Sequence[Item]], Sequence[Result]], one: Sequence[Item]) -> Result | Crash:
    """The result of one item by a process whose end can be asked for."""
    spawning = multiprocessing.get_context("spawn")
    receiver, sender = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_answer, args=(function, one, sender), daemon=True)
    with _without_main():
        process.start()
    sender.close()
    try:
        result, error = receiver.recv()
    except EOFError:
        process.join()
        return Crash(of_memory=process.exitcode == KILLED)
    finally:
        receiver.close()
    process.join()
    if error is not None:
        raise error
    found: Result = result
    return found


def _answer(function: Callable[[Any], Any], one: Sequence[Any], sender: Connection) -> None:
    _die_with_parent()
    try:
        sender.send((function(one)[0], None))
    except Exception as error:
        sender.send((None, error))


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the caller's script while workers start: a script without a main guard would run again in each of them."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
