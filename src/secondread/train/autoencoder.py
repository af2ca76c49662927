"""The autoencoder of system C: trained once per fold on its training rows, shared by every trial on its codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secondread.core.files import write_with
from secondread.core.leakage import read_contents, write_contents
from secondread.core.registry import find
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, Unit, needed, slug
from secondread.core.trials import Trial, trials
from secondread.images.batches import Batches, Sampler, Stack
from secondread.images.cache import open_for, pixel_choices
from secondread.learning.checkpoints import load_weights, save_weights
from secondread.learning.devices import Machine
from secondread.learning.inference import outputs_of
from secondread.learning.lesson import Lesson, Pace
from secondread.learning.loop import fit
from secondread.learning.optimisers import adam
from secondread.learning.schedules import constant
from secondread.models.autoencoder import Autoencoder
from secondread.models.classifier import Classifier
from secondread.train.material import Material, rows_with_split
from secondread.train.reconstruction import compare_with_resize, save_panel

BATCH, RATE = 64, 1e-3
PANEL_IMAGES = 8
MEASURED_IMAGES = 200
FILES = ("autoencoder.safetensors", "contents.json")


@dataclass(frozen=True)
class Coder:
    """One autoencoder of the study: what tells it from others."""

    size: int
    fit: Any
    code_channels: int
    epochs: int
    repeat: int
    fold: int

    @property
    def name(self) -> str:
        """Its place under train/, beside the arms."""
        label = f"{self.size}px-{self.fit}-{self.code_channels}ch-{self.epochs}ep"
        return slug("autoencoders", label, f"r{self.repeat}f{self.fold}")


def coder_of(trial: Trial) -> Coder | None:
    """The autoencoder that a trial's model takes its encoder from; None for a model on pixels."""
    if trial.model.name != "coded_cnn" or trial.train.weights != "none":
        return None
    part = find("models", "coded_cnn")
    options = {name: option.default for name, option in part.options.items()} | part.check(trial.model.options)
    return Coder(trial.train.size, trial.train.fit, options["channels"], options["encoder_epochs"],
                 trial.repeat, trial.fold)  # fmt: skip


def coders(study: Study, where: StudyDir) -> Iterator[Coder]:
    """Every autoencoder that the study's trials need, once."""
    yield from dict.fromkeys(coder for trial in trials(study, where) if (coder := coder_of(trial)) is not None)


def coder_unit(coder: Coder, where: StudyDir) -> Unit:
    folder = where.trial(coder.name)
    settings = {"coder": [coder.size, coder.fit, coder.code_channels, coder.epochs], "fold": [coder.repeat, coder.fold],
                "batch": BATCH, "lr": RATE}  # fmt: skip
    return Unit("train", coder.name, folder, settings | pixel_choices(where), (where.clean_rows, where.splits))


def encoder_for(classifier: Classifier, where: StudyDir, trial: Trial, material: Material) -> None:
    """Give a `coded_cnn` the encoder of its fold; nothing for other models. Raises `Leak` should it have seen more."""
    coder = coder_of(trial)
    if coder is None:
        return
    folder = where.trial(coder.name)
    seen = read_contents(needed(folder / "contents.json", "train"))
    material.forbid_leaks(seen, f"the autoencoder {coder.name}")
    material.fitted_on.update(seen)
    classifier.backbone.take_encoder(Autoencoder.load(folder / "autoencoder.safetensors"))  # type: ignore[operator]


def train_autoencoder(coder: Coder, where: StudyDir, machine: Machine, folder: Path, key: str) -> None:
    """Train on the fold's training rows; writes the weights, contents, epochs.csv, reconstructions and quality.csv."""
    rows = rows_with_split(where, coder.repeat, coder.fold)
    with machine.main_first():
        cache = open_for(where, coder.size, coder.fit)
    stack = Stack([cache.pixels])
    place = {split: np.asarray([cache.position[row] for row in rows.loc[rows["split"] == split, "row_id"]], np.int64)
             for split in ("train", "val")}  # fmt: skip
    torch.manual_seed(0)
    coded = Autoencoder(3 if cache.pixels.ndim == 4 else 1, coder.code_channels)
    batch = fair_batch(machine.world)
    steps = -(-len(place["train"]) // batch)
    pace = Pace(steps * coder.epochs, steps, seed=0)
    sampler = Sampler(np.ones(len(place["train"]), np.int64), np.ones(len(place["train"])), batch, 0)
    labels = np.zeros((len(place["train"]), 1), np.float32)
    shard = (machine.rank, machine.world)
    with Batches(stack, place["train"], labels, sampler, machine.device, shard=shard) as batches:
        lesson = _lesson(coder, coded, batches, stack, place["val"], machine, folder)
        course = fit(lesson, pace, machine, folder / "checkpoint.safetensors", key)
    machine.wait()  # every process has looked at the checkpoint that the first one now clears away
    if machine.is_main:
        load_weights(folder / "best.safetensors", coded)
        coded.eval()
        table = pd.DataFrame(course.history)[["epoch", "step", "seconds", "images_per_s", "train_loss", "val_loss"]]
        write_with(folder / "epochs.csv", lambda temporary: table.to_csv(temporary, index=False))
        _judge(coded, stack, place["val"], machine, folder)
        write_contents(folder / "contents.json", rows.loc[rows["split"] == "train", "content_id"])
        coded.save(folder / "autoencoder.safetensors")
        for name in ("checkpoint.safetensors", "best.safetensors"):  # the first cannot go on without the second
            (folder / name).unlink(missing_ok=True)
    machine.wait()


def fair_batch(processes: int) -> int:
    """Images a step that so many processes can share, about 64: no study sets this number."""
    return max(BATCH // processes, 2) * processes


class _Reconstruction(nn.Module):
    """The autoencoder with its loss; there is no right or wrong answer to count."""

    def __init__(self, coded: Autoencoder) -> None:
        super().__init__()
        self.coded = coded

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss = self.coded.loss(images)
        return loss, torch.zeros_like(loss)


def _lesson(
    coder: Coder, coded: Autoencoder, batches: Batches, stack: Stack, val: NDArray[np.int64], machine: Machine,
    folder: Path,
) -> Lesson:  # fmt: skip
    optimiser = adam(coded.parameters(), lr=RATE)

    def supply(step: int) -> tuple[Tensor, Tensor]:
        batch = batches(step)
        return batch.inputs, batch.labels

    def evaluate() -> dict[str, float]:
        if len(val) == 0:
            return {}
        errors = outputs_of(lambda images: _squared_error(coded, images), stack, val, machine)
        return {"val_loss": float(errors.astype(np.float64).mean())}

    return Lesson(coder.name, _Reconstruction(coded), supply, optimiser, constant(optimiser, 1), evaluate,
                  lambda: save_weights(folder / "best.safetensors", coded.state_dict()))  # fmt: skip


def _squared_error(coded: Autoencoder, images: Tensor) -> Tensor:
    """Mean squared error of each image [B], of pixels in 0..1."""
    error: Tensor = (coded(images) - images.float() / 255).square().mean(dim=(1, 2, 3))
    return error


def _judge(coded: Autoencoder, stack: Stack, val: NDArray[np.int64], machine: Machine, folder: Path) -> None:
    """Reconstructions of validation images, and their fidelity beside a plain resize to as many values."""
    chosen = val[:MEASURED_IMAGES]
    if len(chosen) == 0:
        return
    images = stack.take(chosen)
    coded.to(machine.device)
    made = outputs_of(coded, stack, chosen, machine, shared=False)
    made = np.moveaxis(made, 1, -1) if images.ndim == 4 else made[:, 0]
    rebuilt = np.clip(np.rint(made * 255), 0, 255).astype(np.uint8)
    save_panel(images[:PANEL_IMAGES], rebuilt[:PANEL_IMAGES], folder / "reconstructions.png")
    side = -(-images.shape[1] // 16)
    table = compare_with_resize(images, rebuilt, values=side * side * coded.code_channels)
    write_with(folder / "quality.csv", lambda temporary: table.to_csv(temporary, index=False))
