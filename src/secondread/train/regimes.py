"""Which parameters train when, as parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from secondread.core.limits import Share
from secondread.core.registry import part

Views = Annotated[int, Field(ge=1, le=16)]


@dataclass(frozen=True)
class Phase:
    """A stretch of the training in which either the head or everything learns."""

    name: str
    steps: int
    head_only: bool
    views: int = 1
    """Of a phase of the head: how many versions of each image get features, the plain one among them."""


@dataclass(frozen=True)
class Regime:
    head_share: float
    """Share of the optimiser steps in which only the head learns."""
    views: int = 1

    def phases(self, steps: int) -> Iterator[Phase]:
        head = round(self.head_share * steps)
        if head:
            yield Phase("head", head, True, self.views)
        if steps - head:
            yield Phase("full", steps - head, False)


@part("regimes", "full")
def full() -> Regime:
    """Everything learns."""
    return Regime(0.0)


@part("regimes", "head")
def head(*, views: Views = 1) -> Regime:
    """Only the head learns; the frozen backbone sees each image once, or `views` augmented versions of it."""
    return Regime(1.0, views)


@part("regimes", "head_then_full")
def head_then_full(*, head: Share = 0.2, views: Views = 1) -> Regime:
    """The head first, for a share of the steps, then everything (Kumar et al. 2022)."""
    return Regime(head, views)
