"""Where a network's first weights came from, told in the trial's card and checked for leaks by the caller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secondread.core.leakage import read_contents


@dataclass(frozen=True)
class Origin:
    text: str = "none"
    """What the trial's card records: `none`, the name of published weights, a file, or a trial."""
    notes: tuple[str, ...] = ()
    """What was left out or adapted, one line each, for the user to read."""
    contents: Path | None = None
    """List of the contents these weights were fitted on, where it is known (`contents.json` of a trial)."""

    def content_ids(self) -> set[str]:
        """Content ids the weights have seen; empty where no list exists."""
        return read_contents(self.contents) if self.contents else set()
