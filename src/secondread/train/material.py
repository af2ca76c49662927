"""What one trial is trained on: pixels, labels and plan of its fold, and the list of contents it will have seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import read_json
from secondread.core.leakage import forbid_overlap, read_contents
from secondread.core.progress import say
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, needed
from secondread.core.tables import Dataset, labels_of, read_dataset, read_table
from secondread.core.trials import Trial
from secondread.images.batches import Sampler, Stack
from secondread.images.cache import CacheItem, PixelCache, build_cache, open_for
from secondread.images.decode import PixelSpec
from secondread.train.loss_types import LossSpec
from secondread.train.uncertain import policies_of, resolved

STATISTICS_IMAGES = 20_000
LEAKY = "LEAKY PROTOCOL: rows that it is judged on, or their copies, were trained on"


@dataclass(frozen=True)
class Material:
    """Rows of the plan and of validation as places in one stack of pixels (real first, then synthetic)."""

    dataset: Dataset
    stack: Stack
    places: NDArray[np.int64]
    labels: NDArray[np.float32]
    """[N,K] of the plan's rows, uncertain ones resolved; NaN where the loss leaves an entry out."""
    times: NDArray[np.int64]
    weights: NDArray[np.float64]
    val_places: NDArray[np.int64]
    val_labels: NDArray[np.float32]
    """[N,K] as found: 1, 0, −1, NaN."""
    policies: list[str]
    real_rows: int
    """Real training rows of the fold, whatever the plan takes of them: they set the length of an epoch."""
    natural_prior: tuple[float, ...]
    fitted_on: set[str]
    held_out: pd.DataFrame
    rows: pd.DataFrame
    pixels: dict[str, object]
    """How pixels are made: channels, intensity, crop_border."""
    leaky: bool

    @property
    def channels(self) -> int:
        return 3 if len(self.stack.shape) == 3 else 1

    def epoch_steps(self, batch: int) -> int:
        return math.ceil(self.real_rows / batch)

    def sampler(self, batch: int, seed: int) -> Sampler:
        return Sampler(self.times, self.weights, batch, seed)

    def loss_spec(self, smoothing: float) -> LossSpec:
        """Counts over one pass of the plan, labels that nobody knows left out."""
        share = self.times * self.weights
        share = share / share.sum() * self.times.sum()
        known = ~np.isnan(self.labels) & (self.labels >= 0)
        counts = (np.where(known, self.labels, 0.0) * share[:, None]).sum(axis=0)
        told = (known * share[:, None]).sum(axis=0)
        return LossSpec(self.dataset.task, tuple(counts.tolist()), tuple(told.tolist()), smoothing)

    def forbid_leaks(self, seen: set[str], what: str) -> None:
        """Raise `Leak` when `seen` holds a held-out row or its relative; a leaky protocol is said aloud instead."""
        if self.leaky:
            say(f"{what}: {LEAKY}")
            return
        forbid_overlap(seen, self.held_out, self.rows, what)


def material_of(study: Study, where: StudyDir, trial: Trial) -> Material:
    """Gather what a trial needs; raises `BadData` when a step before it is missing, `Leak` when the plan leaks."""
    dataset = read_dataset(needed(where.dataset, "gather"))
    rows = rows_with_split(where, trial.repeat, trial.fold)
    plan = plan_of(where, trial)
    cache = open_for(where, trial.train.size, trial.train.fit)
    synthetic = synthetic_rows(where, plan)
    real = plan[~plan["synthetic"].astype(bool)]
    known = rows.set_index("row_id")
    training = known.loc[real["row_id"]]
    classes = dataset.classes
    policies = policies_for(trial, dataset)
    found = np.concatenate([labels_of(training, classes), labels_of(synthetic, classes)])
    stack, synthetic_places = _stack(where, cache, synthetic)
    val = rows[rows["split"] == "val"]
    material = Material(
        dataset=dataset,
        stack=stack,
        places=np.concatenate([_places(cache, training.index), synthetic_places]),
        labels=resolved(found, policies, trial.seed),
        times=np.concatenate([real["times"], synthetic["times"]]).astype(np.int64),
        weights=np.concatenate([real["sampling_weight"], synthetic["sampling_weight"]]).astype(np.float64),
        val_places=_places(cache, val["row_id"]),
        val_labels=labels_of(val, classes),
        policies=policies,
        real_rows=int((rows["split"] == "train").sum()),
        natural_prior=_natural_prior(rows, dataset),
        fitted_on=set(training["content_id"]) | set(synthetic["content_id"]) | _seen_by_gans(where, synthetic),
        held_out=rows[rows["split"] != "train"],
        rows=rows,
        pixels=read_json(needed(where.pixels, "prepare")),
        leaky=_leaky(study, where, trial),
    )
    material.forbid_leaks(material.fitted_on, f"trial {trial.name}")
    return material


def rows_with_split(where: StudyDir, repeat: int, fold: int) -> pd.DataFrame:
    """The clean rows with the split of one repeat and fold; rows that it leaves out are not among them."""
    rows = read_table(needed(where.clean_rows, "prepare"))
    splits = read_table(needed(where.splits, "prepare"))
    here = splits[(splits["repeat"] == repeat) & (splits["fold"] == fold)]
    return rows.merge(here[["row_id", "split"]], on="row_id", how="inner")


def plan_of(where: StudyDir, trial: Trial) -> pd.DataFrame:
    """The plan as this trial uses it: of several generator seeds, each training seed takes its own in turn."""
    plan = read_table(needed(where.plan(trial.arm, trial.repeat, trial.fold), "balance"))
    if plan.empty:
        raise BadData(f"the plan of arm {trial.arm} has no rows: see balance")
    synthetic = plan["synthetic"].astype(bool)
    seeds = sorted(set(plan.loc[synthetic, "generator_seed"]))
    if not seeds:
        return plan
    mine = seeds[trial.train.seeds.index(trial.seed) % len(seeds)]
    chosen: pd.DataFrame = plan[~synthetic | (plan["generator_seed"] == mine)]
    return chosen


def synthetic_rows(where: StudyDir, plan: pd.DataFrame) -> pd.DataFrame:
    """The plan's synthetic rows with their times and all that `synthesize` wrote of them, in the order of the plan."""
    wanted = plan[plan["synthetic"].astype(bool)][["row_id", "times", "sampling_weight"]]
    if wanted.empty:
        clean = read_table(needed(where.clean_rows, "prepare"))[:0]
        return clean.assign(times=0, sampling_weight=1.0, generator="", target="", repeat=0, fold=0, seed=0)
    made = wanted.merge(read_table(needed(where.synthetic_rows, "synthesize")), on="row_id", how="left")
    if made["content_id"].isna().any():
        lost = made.loc[made["content_id"].isna(), "row_id"].iloc[0]
        raise BadData(f"the plan names the synthetic row {lost}, which is not in synthesize/: run balance again")
    return made


def mean_and_std(stack: Stack, places: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images in 0..1, exact sums over at most 20,000 of the images."""
    chosen = np.unique(places)
    if len(chosen) > STATISTICS_IMAGES:
        chosen = chosen[np.linspace(0, len(chosen) - 1, STATISTICS_IMAGES).astype(np.int64)]
    channels = 3 if len(stack.shape) == 3 else 1
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(chosen), 512):
        pixels = stack.take(chosen[start : start + 512])
        for channel in range(channels):
            some = pixels[..., channel] if channels == 3 else pixels
            counts[channel] += np.bincount(some.ravel(), minlength=256)
    values = np.arange(256) / 255
    total = counts.sum(axis=1)
    mean = counts @ values / total
    std = np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 1e-12))
    return tuple(mean.tolist()), tuple(std.tolist())


def _stack(where: StudyDir, cache: PixelCache, synthetic: pd.DataFrame) -> tuple[Stack, NDArray[np.int64]]:
    """Real and synthetic pixels as one, and where the synthetic rows lie in it."""
    if synthetic.empty:
        return Stack([cache.pixels]), np.empty(0, np.int64)
    items = [
        CacheItem(row_id, where.root / path, -1, content)
        for row_id, path, content in zip(synthetic["row_id"], synthetic["path"], synthetic["content_id"], strict=True)
    ]
    # the generator drew them under the study's intensity and border already; only the size may differ
    spec = PixelSpec(cache.pixels.shape[1], "stretch", 3 if cache.pixels.ndim == 4 else 1)
    made = build_cache(items, spec, where.cache)
    return Stack([cache.pixels, made.pixels]), _places(made, synthetic["row_id"]) + len(cache.pixels)


def _places(cache: PixelCache, row_ids: pd.Series | pd.Index) -> NDArray[np.int64]:
    return np.fromiter((cache.position[row_id] for row_id in row_ids), np.int64, len(row_ids))


def policies_for(trial: Trial, dataset: Dataset) -> list[str]:
    """What becomes of the uncertain labels of each class; nothing is uncertain where classes exclude each other."""
    policies = policies_of(trial.train.uncertain, dataset.classes)
    return policies if dataset.task == "multilabel" else ["ignore"] * len(policies)


def _natural_prior(rows: pd.DataFrame, dataset: Dataset) -> tuple[float, ...]:
    labels = labels_of(rows[rows["split"] == "train"], dataset.classes)
    known = np.maximum((labels >= 0).sum(axis=0), 1)
    return tuple(((labels == 1).sum(axis=0) / known).tolist())


def _seen_by_gans(where: StudyDir, synthetic: pd.DataFrame) -> set[str]:
    """Contents that the generators of these rows were fitted on."""
    columns = ["generator", "target", "repeat", "fold", "seed"]
    seen: set[str] = set()
    for generator, target, repeat, fold, seed in synthetic[columns].drop_duplicates().itertuples(index=False):
        listed = where.gan(str(generator), str(target), int(repeat), int(fold), int(seed)) / "contents.json"
        seen |= read_contents(needed(listed, "synthesize"))
    return seen


def _leaky(study: Study, where: StudyDir, trial: Trial) -> bool:
    """Whether the study file asks for a protocol that leaks, and allows it."""
    proof: Path = where.split_proof
    split_leaks = proof.exists() and bool(read_json(proof).get("leaky"))
    return study.prepare.allow_leakage and (split_leaks or bool(trial.balance.options.get("before_split")))
