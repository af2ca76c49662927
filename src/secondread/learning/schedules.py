"""Learning-rate schedules as parts: one factor per optimiser step, on top of each group's own learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from secondread.core.limits import Count, Fraction, Positive
from secondread.core.registry import part

Schedule = LambdaLR | ReduceLROnPlateau


@part("schedules", "one_cycle")
def one_cycle(
    optimizer: Optimizer, steps: int, /, *, warm_up: Fraction = 0.3, start: Positive = 25.0, end: Positive = 1e4
) -> Schedule:
    """Cosine up from lr/start over the first part, then cosine down to lr/start/end (Smith & Topin 2018)."""
    top = max(warm_up * steps - 1, 1e-9)
    last = max(steps - 1, 1)

    def factor(step: int) -> float:
        if step <= top:
            return _cosine(1 / start, 1.0, step / top)
        return _cosine(1.0, 1 / start / end, (step - top) / max(last - top, 1e-9))

    return _by_step(optimizer, factor)


@part("schedules", "cosine")
def cosine(optimizer: Optimizer, steps: int, /, *, warm_up: Fraction = 0.05, end: Fraction = 0.0) -> Schedule:
    """Linear warm-up over a share of the steps, then cosine down to `end` times the learning rate."""
    first = round(warm_up * steps)

    def factor(step: int) -> float:
        if step < first:
            return (step + 1) / first
        return _cosine(1.0, end, (step - first) / max(steps - first, 1))

    return _by_step(optimizer, factor)


@part("schedules", "constant")
def constant(optimizer: Optimizer, steps: int, /, *, warm_up: Fraction = 0.0) -> Schedule:
    """The same learning rate throughout, after an optional linear warm-up."""
    first = round(warm_up * steps)
    return _by_step(optimizer, lambda step: (step + 1) / first if step < first else 1.0)


@part("schedules", "step")
def step(optimizer: Optimizer, steps: int, /, *, every: Fraction = 0.34, factor: Fraction = 0.1) -> Schedule:
    """Multiply the learning rate by `factor` after each share `every` of the steps."""
    stride = max(round(every * steps), 1)
    return _by_step(optimizer, lambda at: float(factor ** (at // stride)))


@part("schedules", "plateau")
def plateau(
    optimizer: Optimizer, steps: int, /, *, factor: Fraction = 0.5, patience: Count = 2, end: Fraction = 0.01
) -> Schedule:
    """Multiply the learning rate by `factor` when the validation loss has not fallen for `patience` epochs."""
    floors = [group["lr"] * end for group in optimizer.param_groups]
    return ReduceLROnPlateau(optimizer, mode="min", factor=factor, patience=patience, min_lr=floors)


def per_evaluation(schedule: Schedule) -> bool:
    """Whether the schedule is stepped with the validation loss after each evaluation instead of after each step."""
    return isinstance(schedule, ReduceLROnPlateau)


def _by_step(optimizer: Optimizer, factor: Callable[[int], float]) -> LambdaLR:
    return LambdaLR(optimizer, factor)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
