"""Progress of long work: a bar with rate and remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PLAIN_EVERY_SECONDS = 15.0


class Progress:
    """One piece of work of `total` things; `advance` after each, `note` for a word beside the bar."""

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.words = ""
        self.started = self.shown = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self.done += count
        if time.monotonic() - self.shown >= PLAIN_EVERY_SECONDS:
            self.shown = time.monotonic()
            say(self.line())

    def note(self, words: str) -> None:
        self.words = words

    def line(self) -> str:
        seconds = max(time.monotonic() - self.started, 1e-9)
        rate = self.done / seconds
        parts = [f"{self.title}: {self.done}" + (f"/{self.total}" if self.total else "") + f" {self.unit}"]
        if self.done:
            parts.append(f"{rate:.3g} {self.unit}/s")
        if self.total and self.done:
            parts.append(f"{(self.total - self.done) / rate:.0f} s left")
        return ", ".join(parts + ([self.words] if self.words else []))


class _Bar(Progress):
    """The same on a terminal, drawn by rich."""

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        super().__init__(title, total, unit)
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.rich = RichProgress(
            TextColumn("{task.description}", markup=False),  # names may hold brackets
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.fields[unit]}"),
            TextColumn("{task.fields[words]}", markup=False),
            TimeRemainingColumn(),
            transient=True,
            console=Console(stderr=True),  # what is redirected is the results: the bar is none of them
            redirect_stdout=sys.stdout.isatty(),
        )
        self.task = self.rich.add_task(title, total=total, unit=unit, words="")

    def advance(self, count: int = 1) -> None:
        self.done += count
        rate = self.done / max(time.monotonic() - self.started, 1e-9)
        self.rich.update(self.task, completed=self.done, words=f"{rate:.3g}/s {self.words}")


@contextmanager
def progress(title: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
    """Show how far a long piece of work is. Nothing is printed for work that ends at once."""
    if not sys.stderr.isatty():
        yield Progress(title, total, unit)
        return
    bar = _Bar(title, total, unit)
    with bar.rich:
        yield bar


def say(message: str) -> None:
    """One line to the user about what was understood or decided; never a result (results go to stdout)."""
    print(message, file=sys.stderr, flush=True)
