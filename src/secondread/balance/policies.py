"""Balance policies as parts: each makes the plan of one fold from its training rows and synthetic images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from secondread.balance.plan import Counts, Fold, Labels, classes_of, spread_copies
from secondread.core.errors import BadData, WrongRequest
from secondread.core.limits import Count, Fraction, Positive, Share
from secondread.core.registry import part


@part("balance", "none")
def none(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /
) -> pd.DataFrame:
    """Every real training row once."""
    return Fold(rows, labels, synthetic, classes, seed).real()


@part("balance", "sampler")
def sampler(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /,
    *, power: Fraction = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """Rows drawn with replacement, inversely to how often their (rarest) class occurs; passes keep their length."""
    fold = Fold(rows, labels, synthetic, classes, seed)
    rarity = (len(rows) / np.maximum(fold.counts, 1)) ** power
    weights = np.where(fold.positive, rarity, 0.0).max(axis=1)
    nothing = ~fold.positive.any(axis=1)  # several labels, none of them there: a class of its own
    weights[nothing] = (len(rows) / max(int(nothing.sum()), 1)) ** power
    return fold.real(weights=weights / weights.mean())


@part("balance", "oversample")
def oversample(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /,
    *, threshold: Positive = 0.1, cap: Positive = 10.0, before_split: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Rare classes repeated up to the largest; several labels: repeat-factor sampling, √(threshold/frequency).

    Repeat factors (Gupta et al. 2019): an image is repeated by the factor of its rarest label, at most `cap` times.
    `before_split` (needs prepare.allow_leakage) repeats first and splits then, as some published work does: copies of
    held-out images come into training.
    """
    fold = Fold(rows, labels, synthetic, classes, seed)
    exclusive = bool(np.all(fold.positive.sum(axis=1) == 1))
    times = _to_majority(fold) if exclusive else _repeat_factors(fold, threshold, cap)
    return fold.real(_copies_that_leak(fold, times) if before_split else times)


@part("balance", "undersample")
def undersample(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /
) -> pd.DataFrame:
    """Frequent classes cut to the size of the smallest, rows chosen at random."""
    fold = Fold(rows, labels, synthetic, classes, seed)
    fold.need_exclusive("undersample", "dropping an image drops all its labels")
    chance, least = fold.chance(), int(fold.counts.min())
    times = np.zeros(len(rows), np.int64)
    for k in range(len(classes)):
        times[chance.permutation(np.flatnonzero(fold.positive[:, k]))[:least]] = 1
    return fold.real(times)


@part("balance", "fraction")
def fraction(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /,
    *, share: Share = 0.5,
) -> pd.DataFrame:  # fmt: skip
    """A share of the patients, of each class alike: arms of growing shares show whether more images would help.

    Every patient has a turn, and of the patients with images of a class (or of none) the first are taken. Smaller
    shares lie within larger ones of the same fold, so that each arm adds to the one before.
    """
    fold = Fold(rows, labels, synthetic, classes, seed)
    has = pd.DataFrame(fold.positive).groupby(rows["group"].to_numpy(), sort=False).any()
    turn = pd.Series(fold.chance().random(len(has)), index=has.index).sort_values()
    taken: set[str] = set()
    for of_class in (*(has[k] for k in has), ~has.any(axis=1)):
        patients = turn.index[of_class[turn.index]]
        taken.update(patients[: math.ceil(share * len(patients) - 1e-9)])
    return fold.real(np.asarray(rows["group"].isin(taken), np.int64))


@part("balance", "duplicate")
def duplicate(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /, *, as_: str
) -> pd.DataFrame:
    """Real copies in the same number as the arm `as` adds synthetic images: the control for that arm.

    `synthetic` is what that arm adds, with its `times`.
    """
    fold = Fold(rows, labels, synthetic, classes, seed)
    fold.need_exclusive("duplicate", "synthetic images have one class")
    first = synthetic[synthetic["seed"] == synthetic["seed"].min()]
    named, added = classes_of(first, classes), first["times"].to_numpy()
    times, chance = np.ones(len(rows), np.int64), fold.chance()
    for k, name in enumerate(classes):
        spread_copies(np.flatnonzero(fold.positive[:, k]), int(added[named == name].sum()), times, chance)
    return fold.real(times)


def several_counts(to: object = None, add: object = None, ratio: object = None, **_: object) -> None:
    if sum(choice is not None for choice in (to, add, ratio)) > 1:
        raise WrongRequest("balance: top_up takes one of to, add and ratio")


@part("balance", "top_up", refuses=several_counts)
def top_up(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /,
    *, from_: str, to: Literal["majority"] | None = None, add: Count | None = None, ratio: Positive | None = None,
    before_split: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Synthetic images of a GAN added: up to the largest class, or `add` of each class, or `ratio` × its real rows.

    `before_split` (needs prepare.allow_leakage) takes them from a GAN that has seen held-out rows.
    """
    fold = Fold(rows, labels, synthetic, classes, seed)
    fold.need_exclusive("top_up", "a GAN image has one class")
    counts = dict(zip(classes, fold.counts.tolist(), strict=True))
    most = max(counts.values())
    wanted = {
        name: add if add is not None else round(ratio * count) if ratio is not None else most - count
        for name, count in counts.items()
    }
    return pd.concat([fold.real(), fold.made(from_, wanted, "top_up")], ignore_index=True)


@part("balance", "synthetic_only")
def synthetic_only(
    rows: pd.DataFrame, labels: Labels, synthetic: pd.DataFrame, classes: Sequence[str], seed: int, /, *, from_: str
) -> pd.DataFrame:
    """Synthetic images alone, as many of each class as there are real ones: the classification accuracy score."""
    fold = Fold(rows, labels, synthetic, classes, seed)
    fold.need_exclusive("synthetic_only", "a GAN image has one class")
    made = set(classes_of(synthetic[synthetic["generator"] == from_], classes)) if len(synthetic) else set()
    absent = [name for name in classes if name not in made]
    if absent:
        raise BadData(f"balance: synthetic_only: {from_!r} makes no images of {', '.join(absent)}: "
                      "set synthesize.for: all")  # fmt: skip
    return fold.made(from_, dict(zip(classes, fold.counts.tolist(), strict=True)), "synthetic_only")


def _to_majority(fold: Fold) -> Counts:
    times, chance = np.ones(len(fold.rows), np.int64), fold.chance()
    for k, count in enumerate(fold.counts):
        spread_copies(np.flatnonzero(fold.positive[:, k]), int(fold.counts.max() - count), times, chance)
    return times


def _repeat_factors(fold: Fold, threshold: float, cap: float) -> Counts:
    frequency = np.maximum(fold.counts, 1) / len(fold.rows)
    factor = np.clip(np.sqrt(threshold / frequency), 1.0, cap)
    wanted = np.where(fold.positive, factor, 1.0).max(axis=1)
    whole = np.floor(wanted)
    return np.asarray(whole + (fold.chance().random(len(wanted)) < wanted - whole), np.int64)


def _copies_that_leak(fold: Fold, times: Counts) -> Counts:
    """Of the copies of all rows, those that a split at random puts into training."""
    inside = (fold.rows["split"] == "train").to_numpy()
    copies = fold.chance().binomial(times - 1, inside.mean())
    return np.asarray(copies + inside, np.int64)
