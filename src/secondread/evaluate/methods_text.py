"""The methods section as a paper would print it, written from the study file and the record."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from secondread.core.spec import PartRef, Section, Synthesize, Train
from secondread.evaluate.lookup import Lookup
from secondread.evaluate.record import Record
from secondread.pages.numbers import metric_word


def methods_text(record: Record) -> str:
    """Paragraphs, parted by empty lines."""
    parts = [data(record), models(record), operating(record), statistics(record), software(record)]
    return "\n\n".join(part for part in parts if part)


def data(record: Record) -> str:
    look, dataset = Lookup.of(record), record.evidence.dataset
    split = record.study.prepare.split
    told = [f"The task was {KINDS[record.task]} with the {_label(record)} {_words(record.classes)}."]
    if not record.rows.empty:
        told.append(f"After cleaning {len(record.rows):,} images remained.")
    if record.split_proof.get("leaky"):
        told.append(
            "The split was made by image, so that images of one patient, or copies "
            "of one image, could stand on both sides; results under this protocol are not estimates for new patients."
        )
    elif split.name == "official" and _test_given(record):
        told.append("The split that comes with the data was used.")
    else:
        how = f"told by {dataset.patient_rule}" if dataset.patient_rule else "which the data do not name"
        told.append(
            f"Images were split by patient ({how}) together with clusters of duplicates, so that no patient and no "
            f"copy of an image stands on two sides ({_part(split)})."
        )
    if split.name == "families":
        told.append("Each fold was tested on families of images (site or kind of file name) absent from its training.")
    some = [arm for arm in record.evidence.leaky if not record.split_proof.get("leaky")]
    if some:
        told.append(
            f"In {_words(some)} data were balanced before the split, so that copies of test images, or images made "
            "from them, could reach the training; results of these arms are not estimates for new patients."
        )
    test, val = (look.cohort(name, "images").text for name in ("test", "val"))
    apart = "" if record.evidence.leaky else " Test rows took no part in any fit or choice."
    told.append(f"Test rows: {test}; validation rows: {val}.{apart}")
    return " ".join(told)


def _test_given(record: Record) -> bool:
    """Whether the official test part came with the data, rather than being cut in its stead (`otherwise`)."""
    asked = record.study.prepare.split.options
    if asked.get("otherwise") is None:
        return True
    mark = asked.get("test", "auto")
    return bool((record.rows["split_given"] == ("test" if mark == "auto" else mark)).any())


SHORT = {"bf16": "bfloat16", "fp16": "half precision"}
KEPT = {"best": "the epoch with the best validation score", "last": "the last epoch"}
KINDS = {"binary": "binary classification", "multiclass": "classification", "multilabel": "multi-label classification"}


def _label(record: Record) -> str:
    return "labels" if record.task == "multilabel" else "classes"


def models(record: Record) -> str:
    study = record.study
    train = study.arm(next(iter(study.arms)))[1]
    told = [
        f"Images were scaled to {train.size} × {train.size} pixels ({train.fit}). The networks were "
        f"{_words(record.evidence.models)}, {_start(train)}, trained{_how(train)} with {_part(train.loss)} loss by "
        f"{_part(train.optimiser)} under the schedule {_part(train.schedule)}, batches of {train.batch}, "
        f"for {length(train)}; {KEPT[train.keep]} was kept.",
    ]
    if further := _further(train):
        told.append(f"Further settings: {'; '.join(further)}.")
    if short := sorted(
        {each for one in record.evidence.trials if (each := one.card.get("precision", "fp32")) in SHORT}
    ):
        told.append(f"Products were taken in {_words(SHORT[each] for each in short)} while training, never in reading.")
    if train.early_stop:
        patience = counted(train.early_stop.patience, "epoch")
        told.append(f"Training was to end after {patience} without progress on validation.")
    if len(study.arms) > 1:
        told.append(f"Compared were {_words(_arm(record, arm) for arm in study.arms)}.")
        if len({_budget(study.arm(arm)[1]) for arm in study.arms}) == 1:
            told.append("All arms were given equally many optimiser steps.")
    return " ".join([*told, _times(record), *_generated(study.synthesize)])


def _how(train: Train) -> str:
    """Regime and augmentation, where there is one."""
    told = [f"regime {_part(train.regime)}"] if train.regime.name != "full" else []
    told += [f"augmentation {_part(train.augment)}"] if train.augment.name != "none" else []
    return f" ({', '.join(told)})" if told else ""


FURTHER = ("normalise", "uncertain", "label_smoothing", "ema", "layer_decay", "head")


def _further(train: Train) -> list[str]:
    """What is other than in a study that says nothing of it, and how far gradients were cut."""
    plain = Train()
    told = [f"{name.replace('_', ' ')} {_value(getattr(train, name))}" for name in FURTHER
            if getattr(train, name) != getattr(plain, name)]  # fmt: skip
    return [*told, *([f"gradients cut to a norm of {train.clip:g}"] if train.clip is not None else [])]


def _budget(train: Train) -> tuple[int | str, ...]:
    return (train.epochs, train.batch) if train.steps == "auto" else (train.steps,)


def _times(record: Record) -> str:
    """How often each recipe was trained."""
    of = pd.DataFrame([vars(one.trial) for one in record.evidence.trials])
    seeds = of.groupby(["arm", of["model"].map(lambda model: model.label), "repeat", "fold"]).size()
    few, many = seeds.min(), seeds.max()
    times = "once" if many == 1 else f"with {many} seeds" if few == many else f"with {few} to {many} seeds"
    folds, repeats = of["fold"].nunique(), of["repeat"].nunique()
    where = f" in each of {folds} folds" if folds > 1 else ""
    where += f"{' and' if where else ' in'} each of {repeats} repeats of the split" if repeats > 1 else ""
    return f"Each was trained {times}{where}."


def _generated(synthesize: Synthesize) -> list[str]:
    if not synthesize.gans:
        return []
    early = [gan.label for gan in synthesize.gans if gan.label in synthesize.before_split]
    honest = [gan.label for gan in synthesize.gans if gan.label not in early]
    told = [f"Generative networks ({_words(honest)}) were trained per fold on training rows only."] if honest else []
    if early:
        told.append(f"Generative networks ({_words(early)}) were trained on all rows, test rows too.")
    fate = "used all the same" if synthesize.force_copies else "left out"
    return [*told, f"Generated images that copy a training image were {fate}."]


NOT_OF_THE_TRAINING = {"models", "engine", "search", "track"}


def _arm(record: Record, name: str) -> str:
    """The arm with all in which its training differs from that of the first one, which is told in full."""
    balance, train = record.study.arm(name)
    first = record.study.arm(next(iter(record.study.arms)))[1]
    told = [] if balance.name == "none" else [f"balance: {_part(balance)}"]
    if train.models != first.models:
        told.append(f"models: {_words(model.label for model in train.models)}")
    for field in [name for name in type(train).model_fields if name not in NOT_OF_THE_TRAINING]:
        ours, theirs = getattr(train, field), getattr(first, field)
        if ours != theirs:
            told.append(f"{field.replace('_', ' ')}: {_value(ours)}")
    return f"{name} ({'; '.join(told)})" if told else name


def _value(value: object) -> str:
    if isinstance(value, PartRef):
        return _part(value)
    if isinstance(value, Section):
        return ", ".join(f"{name} {_value(one)}" for name, one in value)
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items())
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _start(train: Train) -> str:
    if train.weights == "none":
        return "from random weights"
    return "from ImageNet weights" if train.weights == "imagenet" else f"from weights of {train.weights}"


def length(train: Train) -> str:
    return counted(train.epochs, "epoch") if train.steps == "auto" else counted(train.steps, "step")


def operating(record: Record) -> str:
    rule, several = record.study.evaluate.threshold, record.task == "multilabel"
    threshold = {
        "argmax": "every label was decided from 0.5 on" if several else "the most probable class was decided",
        "youden": "the threshold of each label maximised its sensitivity plus specificity (Youden's J)" if several
        else "thresholds maximised the sum of the classes' sensitivities (Youden's J)",
        "sensitivity": f"the threshold{' of each label' * several} reached a sensitivity of {rule.sensitivity:g}",
        "cost": "thresholds minimised the expected cost",
    }[rule.name]  # fmt: skip
    scaling = "Platt's method for each label" if several else "one temperature"
    fitted = "Calibration was" if rule.name == "argmax" else "Calibration and thresholds were"
    unfitted = any(one.point.notes for one in record.judged)
    return (
        "Probabilities were first corrected for the class mix of the training (where an arm had changed it), then "
        f"calibrated with {scaling}; {threshold}. {fitted} fitted on validation rows, frozen, and applied to the test "
        "rows." + " Where validation rows allowed no fit, it was left out." * unfitted
    )


WITHIN_FOLDS = (
    "The test rows of all folds were joined. As the scores of different trainings share no scale, AUROC and average "
    "precision compare cases within a fold only and are means over folds, weighted by each one's pairs or positives."
)
MEANS = (
    "Scores of recipes that were trained several times are means over their trainings, with bootstrap intervals over "
    "patients and trainings."
)


def statistics(record: Record) -> str:
    e = record.study.evaluate
    look = Lookup.of(record)
    level = f"{100 * e.confidence:g} %"
    told = [
        f"The primary metric was {metric_word(look.primary)} ({look.headline(look.primary)}). Intervals ({level}) are "
        "DeLong's on the logit scale for the AUROC of a class and Wilson's for shares where each patient has one "
        f"image, otherwise from {e.bootstrap:,} bootstrap draws of patients with all their images, shared by all "
        f"trials, stratified by {'the rarest label of a patient' if record.task == 'multilabel' else 'class'}. Draws "
        "so keep the class mix of the test rows: intervals of what depends on it, such as precision, average "
        "precision and F1, hold for this mix.",
        *[WITHIN_FOLDS][: record.folded],
        *[MEANS][: any(len(record.evidence.trainings(*pair)) > 1 for pair in record.evidence.pairs)],
        *[_compared(record)][: not record.comparisons.empty],
        "The trial to be used was picked by its validation score.",
    ]
    return " ".join(told)


TESTS = {
    "paired DeLong": "DeLong's paired test (the AUROC of a class, rows independent)",
    "McNemar": "McNemar's test (shares, rows independent)",
    "paired bootstrap(?! over)": "the paired bootstrap of patients",
    "paired bootstrap over": "the paired bootstrap over patients and trainings",
}
BESIDE = {
    "max-T": "simultaneous max-T intervals of the arms",
    "Nadeau": "Nadeau and Bengio's corrected t over folds",
    "mixed model": "a mixed model of the arms' effects over networks and trainings",
    "Wilcoxon": "Wilcoxon's signed-rank test over the same blocks",
}
"""Methods of comparisons in words, by how they begin: of the main ones, and of what stands beside them."""


def _compared(record: Record) -> str:
    c = record.comparisons
    arms, networks = bool((c["arm"] != c["baseline"]).any()), bool((c["arm"] == c["baseline"]).any())
    who = "Arms, and networks within each arm," if arms and networks else "Arms" if arms else "Networks"
    family = "within each metric" if arms else "within each arm"
    beside = _named(c[c["verdict"] != "too few cases"], BESIDE)
    return (
        f"{who} were compared on the same test rows by {_words(_named(c, TESTS) or ['no test'])}; p values were "
        f"corrected by Holm's method {family}{', of networks within each arm' * (arms and networks)}."
        f"{f' Beside stand {_words(beside)}.' if beside else ''} A difference is called better or worse only if the "
        f"corrected p is below {record.study.evaluate.level:g} and the interval leaves out 0; with fewer than ten "
        "cases on a side no verdict is given."
    )


def _named(rows: pd.DataFrame, words: dict[str, str]) -> list[str]:
    return [told for start, told in words.items() if rows["method"].str.match(start).any()]


def software(record: Record) -> str:
    made = record.provenance
    if not made:
        return ""
    named = [f"{name} {version}" for name, version in made.get("packages", {}).items() if version]
    return (
        f"Software: secondread {made.get('secondread')}, Python {made.get('python')}, {', '.join(named)}; "
        f"{made.get('cores')} cores of {made.get('processor')}."
    )


def _part(part: PartRef) -> str:
    options = ", ".join(f"{key} {_value(value)}" for key, value in part.options.items() if value is not None)
    return f"{part.name} ({options})" if options else part.name


def _words(names: Iterable[str]) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"


def counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"
