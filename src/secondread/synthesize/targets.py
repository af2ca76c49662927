"""What is to be synthesized: which classes, from which rows, how many images; and what forbids it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from secondread.core.errors import BadData, WrongRequest
from secondread.core.leakage import forbid_overlap
from secondread.core.spec import PartRef, Study
from secondread.core.studydir import StudyDir, needed
from secondread.core.tables import Dataset, labels_of, read_dataset, read_table
from secondread.core.trials import folds

LEAST_IMAGES = 16
LEAST_SAMPLES = 512
ALL = "all"
"""What a class-conditional GAN is called by; a class may be called so too."""


@dataclass(frozen=True)
class Target:
    """One GAN to train: its part, its class (or all), and where it stands in the study."""

    gan: PartRef
    name: str
    repeat: int
    fold: int
    seed: int
    before_split: bool = False
    """The leak on purpose: trained on every row, as some published protocols do."""
    conditional: bool = False
    """Whether it learns every class, told which."""

    @property
    def title(self) -> str:
        return f"{self.gan.label} {self.name} r{self.repeat}f{self.fold}s{self.seed}"


@dataclass(frozen=True)
class FoldRows:
    """The clean rows of one fold by split, with their classes."""

    dataset: Dataset
    train: pd.DataFrame
    held_out: pd.DataFrame
    every: pd.DataFrame
    validation: frozenset[str]
    """Ids of the validation rows."""

    def counts(self) -> dict[str, int]:
        positive = np.nansum(labels_of(self.train, self.dataset.classes) == 1, axis=0)
        return {name: int(count) for name, count in zip(self.dataset.classes, positive, strict=True)}

    def of_class(self, name: str) -> pd.DataFrame:
        """Training rows of a class, one per distinct content."""
        found = self.train[self.train[f"y_{name}"] == 1]
        return found.drop_duplicates("content_id")


def fold_rows(where: StudyDir, repeat: int, fold: int) -> FoldRows:
    dataset = read_dataset(needed(where.dataset, "gather"))
    rows = read_table(needed(where.clean_rows, "prepare"))
    splits = read_table(needed(where.splits, "prepare"))
    here = splits[(splits["repeat"] == repeat) & (splits["fold"] == fold)].set_index("row_id")["split"]
    split = rows["row_id"].map(here)
    validation = frozenset(rows.loc[split == "val", "row_id"])
    return FoldRows(dataset, rows[split == "train"], rows[split.isin(["val", "test"])], rows, validation)


def targets(study: Study, where: StudyDir) -> list[Target]:
    """Every GAN the study trains, in the order of folds, GANs, classes and seeds. Raises `WrongRequest`, `BadData`."""
    wanted = study.synthesize
    if not wanted.gans:
        return []
    dataset = read_dataset(needed(where.dataset, "gather"))
    if dataset.task == "multilabel":
        raise WrongRequest(
            "synthesize: a GAN needs one class per image, and these images may carry several labels. "
            "Use balance: oversample (repeat-factor sampling), or derive exclusive classes with gather.labels"
        )
    return [
        Target(gan, name, repeat, fold, seed, gan.label in wanted.before_split, wanted.per == "conditional")
        for repeat, fold in folds(study)
        for gan in wanted.gans
        for name in ([ALL] if wanted.per == "conditional" else target_classes(study, where, repeat, fold))
        for seed in wanted.seeds
    ]


def target_classes(study: Study, where: StudyDir, repeat: int, fold: int) -> list[str]:
    """The classes that get synthetic images: as named, all, or every one but the largest of the training rows."""
    counts = fold_rows(where, repeat, fold).counts()
    named = study.synthesize.for_classes
    if named == "all":
        return list(counts)
    if named == "minority":
        largest = max(counts, key=lambda name: counts[name])
        return [name for name in counts if name != largest]
    unknown = [name for name in named if name not in counts]
    if unknown:
        raise WrongRequest(f"synthesize.for: no class {unknown[0]!r}. Valid: {', '.join(counts)}")
    return list(named)


def every_target_can_learn(study: Study, where: StudyDir) -> None:
    """Raises what `training_rows` would raise for any GAN of any fold, and for an arm that lacks images of a class."""
    wanted = targets(study, where)
    for place in dict.fromkeys((target.repeat, target.fold) for target in wanted):
        rows = fold_rows(where, *place)
        for target in wanted:
            if (target.repeat, target.fold) == place:
                training_rows(target, rows)
        drawn = target_classes(study, where, *place)
        absent = [name for name in rows.dataset.classes if name not in drawn]
        if absent and any(study.arm(arm)[0].name == "synthetic_only" for arm in study.arms):
            raise WrongRequest(f"balance: synthetic_only needs images of {', '.join(absent)} too: synthesize.for: all")


def training_rows(target: Target, rows: FoldRows) -> pd.DataFrame:
    """The rows a GAN learns from: this fold's training rows only. Raises `BadData` below 16 distinct images."""
    source = replace(rows, train=rows.every) if target.before_split else rows
    names = rows.dataset.classes if target.conditional else [target.name]
    parts = [source.of_class(name) for name in names]
    for name, part in zip(names, parts, strict=True):
        if len(part) < LEAST_IMAGES:
            raise BadData(
                f"synthesize: {name} has {len(part)} distinct training images in fold r{target.repeat}f{target.fold}; "
                f"a GAN needs at least {LEAST_IMAGES}. Use balance: sampler or oversample for this class"
            )
    chosen = pd.concat(parts)
    if not target.before_split:
        forbid_overlap(chosen["content_id"], rows.held_out, rows.every, f"the GAN {target.title}")
    return chosen


def samples_needed(study: Study, rows: FoldRows, name: str) -> int:
    """How many images of a class the arms ask for at most, and never fewer than the quality figures need."""
    if study.synthesize.samples != "auto":
        return study.synthesize.samples
    counts = rows.counts()
    wanted = [LEAST_SAMPLES, max(counts.values()) - counts[name]]
    for arm in study.arms:
        options = study.arm(arm)[0].options
        wanted += [int(options.get("add") or 0), int(np.ceil(float(options.get("ratio") or 0) * counts[name]))]
        if study.arm(arm)[0].name == "synthetic_only":
            wanted.append(counts[name])
    return max(wanted)
