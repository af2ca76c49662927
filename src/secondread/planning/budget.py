"""What time decides: pixels, epochs, seeds and networks, as much of each as fits into the minutes given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from secondread.planning.rules import CHOSEN_ON, TESTED, Choice, images_that_stay
from secondread.planning.seen import Seen

Pace = Callable[[str, int, int, int], float]
"""Network, size, batch, classes → images per second (`pace.images_per_second`)."""
SHARE = 0.8
"""Of the minutes goes into training; the rest decodes, reads, explains and exports."""
LOOKING = 1 / 3
"""What an image that is only read costs of one that is trained on."""
LEARNED, TOO_FEW = 60_000, 20_000
"""Images that a network from scratch is shown, as ten passes over 6,000 chest X-rays are, and the least: a habit."""
PASSES = (5, 40)
SMALL = 2000


@dataclass(frozen=True)
class Effort:
    """What is trained, how long, how often."""

    size: int
    epochs: int
    seeds: int = 1
    models: tuple[str, ...] = ("resnet18",)


@dataclass(frozen=True)
class Budget:
    effort: Effort
    minutes: float
    """Expected, of training on this machine."""
    pace: float
    """Images a second of the first network at that size."""
    given: float
    """Minutes that were allowed."""

    @property
    def fits(self) -> bool:
        return self.minutes <= self.given


def budget(seen: Seen, split: Choice, arms: int, minutes: float, pace: Pace) -> Budget:
    """As much as fits: more pixels first, then seeds, then full resolution, then a second network."""
    spending = Spending(seen, split, arms, pace)
    effort = Effort(_at_most(64, seen), _passes(LEARNED, seen))
    while spending.minutes(effort) > SHARE * minutes and effort.epochs > _passes(TOO_FEW, seen):
        effort = replace(effort, epochs=max(_passes(TOO_FEW, seen), effort.epochs * 2 // 3))
    rungs = (
        {"size": _at_most(128, seen)},
        {"seeds": 3 if folds_of(split) == 1 else 2},
        {"size": _at_most(224, seen)},
        {"models": ("resnet18", "densenet121")},
    )
    for rung in rungs:
        larger = replace(effort, **rung)  # type: ignore[arg-type]
        if spending.minutes(larger) <= SHARE * minutes:
            effort = larger
    first = spending.speed(effort.models[0], effort.size)
    return Budget(effort, spending.minutes(effort), first, minutes)


@dataclass(frozen=True)
class Spending:
    """Minutes of training that an effort takes."""

    seen: Seen
    split: Choice
    arms: int
    pace: Pace
    measured: dict[tuple[str, int], float] = field(default_factory=dict)

    def minutes(self, effort: Effort) -> float:
        learned, chosen_on = parts(self.seen, self.split)
        shown = (learned + chosen_on * LOOKING) * effort.epochs
        each = sum(shown / self.speed(model, effort.size) for model in effort.models)
        return each * folds_of(self.split) * self.arms * effort.seeds / 60

    def speed(self, model: str, size: int) -> float:
        """Images per second, measured once."""
        if (model, size) not in self.measured:
            self.measured[model, size] = self.pace(model, size, batch_for(self.seen), len(self.seen.images))
        return self.measured[model, size]


def folds_of(split: Choice) -> int:
    return int(split.value.get("folds", 1))


def parts(seen: Seen, split: Choice) -> tuple[float, float]:
    """Images that one training learns from, and those that it is chosen on."""
    staying = images_that_stay(seen)
    if split.value["name"] == "official":
        given = {name: staying * seen.given.get(name, 0) / sum(seen.given.values()) for name in ("test", "val")}
        left = staying - given["test"]
        chosen_on = left * split.value["val"] if "val" in split.value else given["val"]
        return left - chosen_on, chosen_on
    folds = folds_of(split)
    left = staying * (1 - (1 / folds if folds > 1 else TESTED))
    return left * (1 - CHOSEN_ON), left * CHOSEN_ON


def batch_for(seen: Seen) -> int:
    return 32 if seen.count < SMALL else 64


def spent(found: Budget, seen: Seen, split: Choice) -> list[Choice]:
    """The keys that time decided, with the reasons."""
    effort = found.effort
    shown = int(round(parts(seen, split)[0] * effort.epochs, -2))
    why_models = (
        "networks hardly differ (eight of them: accuracy .958 to .979): time goes into recipes and seeds instead"
    )
    if len(effort.models) > 1:
        why_models = "two kinds of network; between eight of them hardly any difference was shown"
    why_size = f"the images have {seen.side} pixels on the shorter side"
    if effort.size < min(224, seen.side):
        why_size += (
            f"; more do not fit into --minutes {found.given:g}. Findings of a few pixels are lost at {effort.size}"
        )
    made = [
        Choice("train.models", list(effort.models), why_models),
        Choice("train.size", effort.size, why_size),
        Choice("train.epochs", effort.epochs, f"each network is shown about {shown:,} images while it learns"),
        Choice("train.batch", batch_for(seen), "usual for as many images"),
    ]
    if effort.seeds == 1:
        return [*made, Choice("train.seeds", [0], "time allows one; a second would tell how far chance alone goes")]
    why_seeds = "a single training says little: another seed moves a score as much as most recipes do"
    together = (
        "trainings read together are better than one (.858 against .828 on Covid-19), and cost as much more to read"
    )
    return [
        *made,
        Choice("train.seeds", list(range(effort.seeds)), why_seeds),
        Choice("export.ensemble", True, together),
    ]


def _at_most(size: int, seen: Seen) -> int:
    """No more pixels than the images have, in steps of 32 that every network takes."""
    return min(size, max(32, seen.side // 32 * 32))


def _passes(images: int, seen: Seen) -> int:
    return min(max(math.ceil(images / max(seen.count, 1)), PASSES[0]), PASSES[1])
