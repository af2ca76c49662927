"""One GAN as a unit of work: train (or resume) it, draw its samples, judge them, and write all of it down."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from secondread.core.files import write_json, write_with
from secondread.core.leakage import write_contents
from secondread.core.registry import resolve
from secondread.core.spec import Synthesize
from secondread.core.tables import read_csv
from secondread.images.cache import PixelCache
from secondread.learning.checkpoints import load_checkpoint, load_weights, save_checkpoint, save_weights
from secondread.learning.gan_loop import Gan, GanTraining, fit_gan, generate
from secondread.metrics import distances
from secondread.metrics.spectrum import spectral_distance
from secondread.synthesize.collapse import CollapseWatch, diversity
from secondread.synthesize.extractors import Extractor
from secondread.synthesize.sheets import save_film, save_sheet
from secondread.synthesize.targets import Target

SHEET_IMAGES = 64
LEAST_DIVERSITY = 0.5
"""Of the difference between real images: what a generator that is kept must reach."""
SHARP_ENOUGH = 1.5
"""Times the least spectral distance so far: how far a generator that is kept may be from it."""
CURVE_IMAGES = 256


@dataclass(frozen=True)
class Material:
    """What a GAN learns from: uint8 images [N, S, S(, 3)] and, when class-conditional, their class numbers [N]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    classes: list[str]


def material_of(rows: pd.DataFrame, cache: PixelCache, target: Target, classes: list[str]) -> Material:
    images = cache.take(list(rows["row_id"]))
    if not target.conditional:
        return Material(images, None, [target.name])
    labels = rows[[f"y_{name}" for name in classes]].to_numpy().argmax(axis=1)
    return Material(images, labels.astype(np.int64), classes)


def build(target: Target, wanted: Synthesize, material: Material) -> Gan:
    """The GAN's networks with weights drawn from its seed."""
    torch.manual_seed(target.seed)
    channels = 1 if material.images.ndim == 3 else 3
    classes = 0 if material.labels is None else len(material.classes)
    gan: Gan = resolve("gans", target.gan)(wanted.size, channels, classes)
    return gan


def train_gan(
    target: Target, wanted: Synthesize, material: Material, judge: Extractor, folder: Path, key: str,
    device: torch.device, bf16: bool = False,
) -> GanTraining:  # fmt: skip
    """Train up to `synthesize.steps`, going on from a checkpoint of the same `key`; writes losses, sheets and film."""
    gan = build(target, wanted, material)
    training = GanTraining(
        gan,
        material.images,
        material.labels,
        wanted.batch,
        target.seed,
        resolve("optimisers", gan.generator_optimiser)(list(gan.generator.parameters())),
        resolve("optimisers", gan.critic_optimiser)(list(gan.critic.parameters())),
        device,
        bf16,
    )
    record = _Record(target, wanted, material, judge, folder, key)
    record.resume(training)
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(folder / "tensorboard"), purge_step=training.step + 1)  # type: ignore[no-untyped-call]
    with open(folder / "losses.csv", "a", newline="", encoding="utf8") as opened, board:
        losses = csv.DictWriter(opened, ["step", "generator_loss", "critic_loss", "wasserstein", "images_per_s"])
        if training.step == 0:
            losses.writeheader()
        steps = wanted.steps if record.goes_on() else training.step
        for step in fit_gan(training, steps, target.title, wanted.sheet_every, record.at_sheet):
            losses.writerow(step)
            for name in ("generator_loss", "critic_loss", "wasserstein"):
                board.add_scalar(name, step[name], training.step)
            if training.step % wanted.sheet_every == 0 or training.step == steps:
                opened.flush()
    sheets = sorted((folder / "sheets").glob("*.png"))
    save_film(sheets, folder / "film.webp")
    record.keep(training)
    save_weights(folder / "generator.safetensors", training.averaged.state_dict())
    return training


def draw_samples(
    training: GanTraining, target: Target, material: Material, counts: dict[str, int]
) -> dict[str, NDArray[np.uint8]]:
    """Images of each class from the averaged generator; their noise is not that of any sheet."""
    return {
        name: generate(
            training.averaged, count, 1_000_003 * (target.seed + 1) + place,
            None if material.labels is None else material.classes.index(name),
        )
        for place, (name, count) in enumerate(counts.items())
    }  # fmt: skip


class _Record:
    """What is written at every sample sheet: the sheet, the quality so far, a checkpoint; and the collapse watch."""

    def __init__(
        self, target: Target, wanted: Synthesize, material: Material, judge: Extractor, folder: Path, key: str
    ) -> None:
        self.folder, self.judge, self.material, self.target, self.wanted = folder, judge, material, target, wanted
        self.key = key
        self.checkpoint, self.curve = folder / "checkpoint.safetensors", folder / "curve.csv"
        self.best = folder / "best.safetensors"
        (folder / "sheets").mkdir(parents=True, exist_ok=True)
        self.compared = np.random.default_rng(0).permutation(len(material.images))[:SHEET_IMAGES]
        real, stop = material.images[self.compared], True
        self.watch = CollapseWatch(target.title, diversity(real), stop, quiet_until=min(wanted.steps // 4, 1000))

    def resume(self, training: GanTraining) -> None:
        """Go on from a checkpoint of the same key, dropping what was written after it or under another key."""
        self.watch.stop = training.gan.on_collapse == "stop"
        state = load_checkpoint(self.checkpoint)
        if state is not None and state.get("key") == self.key:
            training.load(state)
        else:  # of other settings: what is kept from now on would not be its
            self.checkpoint.unlink(missing_ok=True)
        self._cut_tables(training.step)
        for sheet in (self.folder / "sheets").glob("*.png"):
            if sheet.name > _sheet_name(training.step):
                sheet.unlink()

    def _cut_tables(self, step: int) -> None:
        """Drop what the tables tell after `step`; a kill may have left losses.csv empty or its last line cut short."""
        for table in (self.folder / "losses.csv", self.curve):
            if step == 0:
                table.unlink(missing_ok=True)
            elif table.exists():
                told = read_csv(table)
                kept = told[told["step"] <= step] if table == self.curve else told[told["step"] <= step].dropna()
                write_with(table, partial(kept.to_csv, index=False))
        if self.curve.exists():  # sheets without diversity before the kill count too
            self.watch.recall(read_csv(self.curve))

    def at_sheet(self, training: GanTraining) -> bool:
        """Write the sheet, its quality and a checkpoint; whether training on may still help."""
        images = self._fixed(training, SHEET_IMAGES)
        save_sheet(images, self.folder / "sheets" / _sheet_name(training.step))
        varied = images if self.material.labels is None else self._beside(training, self.compared)
        diversity = self.watch.look(varied, training.step)
        told = {"step": training.step, "diversity": diversity} | self._distances(training)
        known = [read_csv(self.curve)] if self.curve.exists() else []
        table = pd.concat([*known, pd.DataFrame([told])])
        if _kept(table) == training.step:
            save_weights(self.best, training.averaged.state_dict())
        write_with(self.curve, lambda temporary: table.to_csv(temporary, index=False))
        save_checkpoint(self.checkpoint, training.state() | {"key": self.key})
        return self.goes_on()

    def goes_on(self) -> bool:
        """Whether the generator of one of the last `patience` sheets is the one to keep so far."""
        if self.wanted.patience is None or not self.curve.exists():
            return True
        table = read_csv(self.curve)
        return int((table["step"] > _kept(table)).sum()) < self.wanted.patience

    def keep(self, training: GanTraining) -> None:
        """Put the generator that `synthesize.keep` names in place and write down at which update it stood."""
        kept = training.step
        if self.wanted.keep == "best":
            load_weights(self.best, training.averaged)
            kept = _kept(read_csv(self.curve))
        write_json(self.folder / "kept.json", {"keep": self.wanted.keep, "step": kept, "trained": training.step})

    def _distances(self, training: GanTraining) -> dict[str, float]:
        count = min(CURVE_IMAGES, len(self.material.images))
        chosen = np.random.default_rng(1).permutation(len(self.material.images))[:count]
        real, made = self.material.images[chosen], self._beside(training, chosen)
        ours, theirs = self.judge(real), self.judge(made)
        half = count // 2
        kid = distances.kid(ours, theirs, subset_size=max(half, 2)).value
        return {
            "kid": kid,
            "fid": distances.fid(ours, theirs),
            "fid_floor": distances.fid(ours[:half], ours[half : 2 * half]),
            "spectrum": spectral_distance(real, made),
        }

    def _fixed(self, training: GanTraining, count: int) -> NDArray[np.uint8]:
        """Images of the averaged generator from the same noise at every call; of all classes when conditional."""
        if self.material.labels is None:
            return generate(training.averaged, count, self.target.seed, None)
        each = -(-count // len(self.material.classes))
        made = [
            generate(training.averaged, each, self.target.seed, label) for label in range(len(self.material.classes))
        ]
        return np.concatenate(made)[:count]

    def _beside(self, training: GanTraining, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        """As many generated images as real ones are chosen, and each of the class of the real one at its place."""
        if self.material.labels is None:
            return self._fixed(training, len(chosen))
        labels, made = self.material.labels[chosen], np.empty_like(self.material.images[chosen])
        for label in np.unique(labels):
            here = labels == label
            made[here] = generate(training.averaged, int(here.sum()), self.target.seed, int(label))
        return made


def _sheet_name(step: int) -> str:
    return f"step-{step:07d}.png"


def _kept(curve: pd.DataFrame) -> int:
    """The update whose generator is kept: of those that are varied and sharp enough the one with the least KID.

    Early on an averaged generator draws one blurred mean image, which lies nearer to the real ones than first attempts;
    and features of a small network take blotches for lungs, which the spectrum does not. Decided sheet after sheet,
    so that the generator is at hand: a sheet takes over from one that it beats, or that is no longer sharp enough.
    The last update while all images still look alike.
    """
    varied = curve[curve["diversity"] >= LEAST_DIVERSITY]
    steps, kids, spectra = (varied[name].to_list() for name in ("step", "kid", "spectrum"))
    kept = None
    for at in range(len(varied)):
        enough = SHARP_ENOUGH * min(spectra[: at + 1])
        if kept is None or spectra[kept] > enough or (spectra[at] <= enough and kids[at] < kids[kept]):
            kept = at
    return int(curve["step"].iloc[-1] if kept is None else steps[kept])


def write_record(target: Target, wanted: Synthesize, rows: pd.DataFrame, training: GanTraining, folder: Path) -> None:
    """The GAN's card and the list of contents it saw."""
    write_contents(folder / "contents.json", rows["content_id"])
    card: dict[str, Any] = {
        "gan": target.gan.as_written(), "target": target.name, "repeat": target.repeat, "fold": target.fold,
        "seed": target.seed, "size": wanted.size, "per": wanted.per, "batch": wanted.batch, "steps": training.step,
        "training_images": len(rows), "before_split": target.before_split,
        "precision": "bf16" if training.bf16 else "fp32",
    }  # fmt: skip
    write_json(folder / "gan.json", card)
