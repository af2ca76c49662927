"""What is learnt, for how long, and how far it is: the three things that the loop is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secondread.learning.schedules import Schedule


@dataclass(frozen=True)
class Pace:
    """How long training goes on and what it watches; a `watch` that ends in `loss` is better when lower."""

    steps: int
    epoch_steps: int
    seed: int
    clip: float | None = None
    ema: float = 0.0
    patience: int | None = None
    watch: str = "val_loss"
    keep_last: bool = False

    def better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        return value < than if self.watch.endswith("loss") else value > than

    def to_keep(self, value: float | None, best: float | None) -> bool:
        """Whether weights of that figure are kept; those of an epoch without a figure while none has had one."""
        if self.keep_last or value is None:
            return self.keep_last or best is None
        return self.better(value, best)


@dataclass
class Lesson:
    """`learner(inputs, labels)` gives the loss and the share of correct answers of a batch, both scalars.

    `evaluate()` gives `val_loss` and other figures of the validation rows ({} when there are none) and `keep()` saves
    the weights as those of the best epoch; both are called with the model in eval mode and, where asked for, with
    averaged weights. `learned(row)` is told the figures of each epoch, in every process.
    """

    name: str
    learner: nn.Module
    batches: Callable[[int], tuple[Tensor, Tensor]]
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    evaluate: Callable[[], dict[str, float]]
    keep: Callable[[], None]
    learned: Callable[[dict[str, Any]], None] = lambda row: None


@dataclass
class Course:
    """How far a training is; saved with the weights."""

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    correct: float = 0.0
    counted: int = 0
    """Steps of this epoch that `loss` and `correct` are the sums of."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One row of figures per epoch."""
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    """Epochs since the best one."""

    def over(self, pace: Pace) -> bool:
        return self.step >= pace.steps or (pace.patience is not None and self.waited >= pace.patience)


def step_seed(*numbers: int) -> int:
    """One seed from several numbers (seed, step, process…), without the collisions of adding them."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
