"""The rules of a plan: what the data say about one key of the study file, and why.

Figures that a reason gives were measured and stand in RESULTS.md. A rule that follows nothing measured says a habit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from secondread.core.errors import BadData
from secondread.planning.seen import Seen

LEAST_TESTED = 10
"""Patients of the rarest class without whom a single test part says nothing: folds are then not given up for time."""
FEWEST = 10
"""Patients that a class needs: five folds then test two of them each."""
ENOUGH_TO_TEST = 100
"""Patients of the rarest class in a test part: a sensitivity of 90 % is then known to six points."""
CHEAP_TO_FOLD = 5000
ENOUGH_TO_STOP = 20
TESTED, CHOSEN_ON, FOLDS = 0.2, 0.15, 5
UNEVEN = 3.0
ASPECTS = 1.3
CROP = 0.08
HELD_BEST = (
    "every other image is changed, which held best on kinds of X-rays never trained on (AUROC .993 against .986); no "
    "flips, because left and right may matter"
)


@dataclass(frozen=True)
class Choice:
    """The value of a key (`prepare.split`) and the reason for it."""

    key: str
    value: Any
    why: str


def choices(seen: Seen) -> list[Choice]:
    """All that the data decide; what time decides is `budget`'s."""
    return [*_gathering(seen), *_preparing(seen), *_training(seen), *_judging(seen)]


def left_out(seen: Seen) -> list[str]:
    """Classes of too few patients to train, choose and test on, as long as two (or a label) stay."""
    few = [name for name, count in seen.patients.items() if count < FEWEST]
    staying = len(seen.patients) - len(few)
    return few if staying >= (1 if seen.task == "multilabel" else 2) else []


def images_that_stay(seen: Seen) -> int:
    """Images that a plan trains, chooses or tests on: none of classes left out, of copies one."""
    gone = 0 if seen.task == "multilabel" else sum(seen.images[name] for name in left_out(seen))
    copies = seen.copies if "exact_duplicates" in seen.findings else 0
    return max(round(seen.count * (1 - gone / max(sum(seen.images.values()), 1))) - copies, 1)


def forbid_too_few(seen: Seen) -> None:
    """Raises `BadData` where too few patients are left of a class to train, choose and test on."""
    few = {name: count for name, count in seen.patients.items() if name not in left_out(seen) and count < FEWEST}
    if few:
        told = ", ".join(f"{name} {count}" for name, count in few.items())
        raise BadData(
            f"too few patients, or groups of images, to train, choose and test on ({told}; {FEWEST} are needed): "
            "add images, or merge classes in a study of your own (gather.labels)"
        )


def patients_of_rarest(seen: Seen) -> int:
    """Of the classes that stay: of exclusive ones the rarest, of several labels the one in the middle."""
    counts = sorted(count for name, count in seen.patients.items() if name not in left_out(seen))
    return counts[len(counts) // 2] if seen.task == "multilabel" else counts[0]


def uncertainty(patients: int) -> str:
    """Half the 95 % interval of a sensitivity of 90 % (normal approximation), in points."""
    points = 100 * NormalDist().inv_cdf(0.975) * (0.09 / max(patients, 1)) ** 0.5
    return f"± {points:.0f} points"


def _gathering(seen: Seen) -> Iterator[Choice]:
    yield Choice("gather.source", {"name": "auto", "root": seen.root}, f"recognised as: {seen.layout}")
    if "no_patients" in seen.findings:
        yield Choice(
            "gather.patient", "auto", "nothing names the patient; write a column, or a regular expression whose first "
            "group is the patient in the file name: otherwise a patient may stand on both sides of the split"
        )  # fmt: skip
    else:
        yield Choice("gather.patient", "auto", f"found by: {seen.patient_rule}")
    if few := left_out(seen):
        told = ", ".join(f"{name} ({seen.patients[name]})" for name in few)
        why = f"left out, too few patients to train, choose and test on: {told}; or merge them with others here"
        yield Choice("gather.labels", {name: [] for name in few}, why)


def _preparing(seen: Seen) -> Iterator[Choice]:
    yield _split(seen)
    if "exact_duplicates" in seen.findings:
        yield Choice("prepare.drop_duplicates", True, "some files are there several times; one of each is enough")
    if seen.findings & {"shortcut_border", "corner_marks"}:
        why = "the border alone tells something of the class (audit): it is cut off, so that a network must look inside"
        yield Choice("prepare.crop_border", CROP, why)


def _split(seen: Seen) -> Choice:
    rarest = patients_of_rarest(seen)
    least = min((seen.given_test.get(name, 0) for name in seen.patients if name not in left_out(seen)), default=0)
    crossing = seen.findings & {"patients_across_splits", "duplicates_across_splits"}
    if seen.given.get("test") and seen.given.get("train") and least >= 2 and not crossing:
        small = "small_validation" in seen.findings or not seen.given.get("val")
        why = (
            f"the split that comes with the data, no patient of which stands on both sides; {least} patients test the "
        )
        why += f"rarest class (a sensitivity is known to {uncertainty(least)})"
        cut = {"val": CHOSEN_ON} if small else {}
        return Choice("prepare.split", {"name": "official", **cut}, why + ("; validation is cut from train" * small))
    instead = "the split that comes with the data puts patients on both sides; " * bool(crossing)
    tested = int(rarest * TESTED)
    if tested >= ENOUGH_TO_TEST or seen.count > CHEAP_TO_FOLD:
        return _tested_once(tested, instead)
    why = (
        f"{instead}a fifth would leave {tested} patients of the rarest class to test ({uncertainty(tested)}): in five "
    )
    why += f"folds all {rarest} are tested once ({uncertainty(rarest)})"
    return Choice("prepare.split", {"name": "grouped", "folds": FOLDS, "val": CHOSEN_ON}, why)


def _tested_once(tested: int, instead: str) -> Choice:
    why = f"{instead}a fifth of the patients tests: {tested} of the rarest class, a sensitivity is known to "
    value = {"name": "grouped", "test": TESTED, "val": CHOSEN_ON}
    return Choice("prepare.split", value, why + uncertainty(tested))


def without_folds(seen: Seen, minutes: float, given: float) -> Choice | None:
    """A single test part where five folds take `minutes`, more than were `given`; None where it would say nothing."""
    tested = int(patients_of_rarest(seen) * TESTED)
    if tested < LEAST_TESTED:
        return None
    return _tested_once(tested, f"five folds would take {minutes:.0f} minutes instead of {given:g}; so ")


def _training(seen: Seen) -> Iterator[Choice]:
    yield _fit(seen)
    if seen.task == "multilabel":
        yield Choice("train.loss", "bce", "an image may have several labels")
    yield Choice("train.optimiser", {"name": "adamw", "lr": 1.0e-3, "weight_decay": 1.0e-2}, "usual from scratch")
    if seen.count < CHEAP_TO_FOLD:
        why = "needs no network; `imagenet`, fetched once, is worth a try with so few images"
        yield Choice("train.weights", "none", why)
    if stops_early(seen):
        yield Choice("train.early_stop", {"patience": 5}, "validation is large enough to say when nothing is gained")
    else:
        yield Choice("train.early_stop", None, "validation holds too few patients to say when to stop")


def stops_early(seen: Seen) -> bool:
    return patients_of_rarest(seen) * CHOSEN_ON >= ENOUGH_TO_STOP


def _fit(seen: Seen) -> Choice:
    if seen.file_facts_tell:
        why = "sizes and formats of the files tell the classes apart: stretched images all look alike in that"
        return Choice("train.fit", "stretch", why)
    if seen.aspects > ASPECTS:
        return Choice("train.fit", "pad", "shapes of the images differ much: padding keeps their proportions")
    return Choice("train.fit", "stretch", "the images have nearly one shape")


def _judging(seen: Seen) -> Iterator[Choice]:
    yield Choice("evaluate.baseline", "plain", "the others must show that they are better than nothing done")


def arms(seen: Seen) -> Mapping[str, tuple[Mapping[str, Any], str]]:
    """What is compared, by name: its settings and the reason."""
    strong = {"train": {"augment": {"name": "strong", "share": 0.5}}}
    found: dict[str, tuple[Mapping[str, Any], str]] = {
        "plain": ({}, "nothing done"),
        "varied": (strong, HELD_BEST),
    }
    counts = sorted(count for name, count in seen.images.items() if name not in left_out(seen))
    uneven = counts[-1] / max(counts[0], 1)
    if seen.task == "multilabel":
        found["weighted"] = ({"train": {"loss": "weighted_bce"}}, "rare labels weigh more")
    elif uneven >= UNEVEN:
        why = f"the largest class has {uneven:.0f} times the images of the smallest: rare ones are drawn more often"
        found["sampled"] = ({"balance": "sampler"}, why)
    return found
