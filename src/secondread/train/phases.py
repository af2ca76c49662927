"""One phase of a trial: which parameters learn, from pixels or from what was computed once, in the common loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.core.agreement import forbid_mixed_views
from secondread.core.progress import say
from secondread.core.registry import resolve
from secondread.core.trials import Trial
from secondread.images.augment import Augment
from secondread.images.batches import Batches, Stack
from secondread.learning.checkpoints import save_weights
from secondread.learning.devices import Machine, memory_told
from secondread.learning.inference import outputs_of
from secondread.learning.lesson import Course, Lesson, Pace, step_seed
from secondread.learning.loop import finished, fit
from secondread.learning.optimisers import decayed_groups
from secondread.models.classifier import Classifier, TrainOutput
from secondread.train.features import Front, features_of, forget
from secondread.train.loss_types import Loss
from secondread.train.material import Material
from secondread.train.objective import Objective
from secondread.train.regimes import Phase
from secondread.train.tracking import Journal
from secondread.train.validation import figures


@dataclass
class Learning:
    """A trial under way."""

    trial: Trial
    material: Material
    classifier: Classifier
    loss: Loss
    machine: Machine
    folder: Path
    key: str
    journal: Journal
    watch: Callable[[dict[str, Any]], None] | None = None

    def best_of(self, phase: str) -> Path:
        return self.folder / f"{phase}.best.safetensors"

    def checkpoint_of(self, phase: str) -> Path:
        return self.folder / f"{phase}.checkpoint.safetensors"

    @property
    def augment(self) -> Augment | None:
        made: Augment | None = resolve("augment", self.trial.train.augment)()
        return made


@dataclass(frozen=True)
class Inputs:
    """What the network's learning part is fed: where rows lie, and how a batch becomes logits."""

    stack: Stack
    places: NDArray[np.int64]
    val_stack: Stack
    val_places: NDArray[np.int64]
    route: Callable[[Tensor], TrainOutput]
    logits: Callable[[Tensor], Tensor]
    augment: Augment | None = None
    views: int = 1


def run_phase(
    learning: Learning, phase: Phase, number: int, epoch_steps: int, before: list[dict[str, Any]]
) -> tuple[Course, Pace]:
    """Train one phase to its end and leave its best weights in its file; a phase that was finished is not repeated."""
    train = learning.trial.train
    pace = Pace(
        steps=phase.steps,
        epoch_steps=epoch_steps,
        seed=step_seed(learning.trial.seed, number),
        clip=train.clip,
        ema=train.ema,
        patience=train.early_stop.patience if train.early_stop else None,
        watch=f"val_{train.early_stop.watch}" if train.early_stop else "val_loss",
        keep_last=train.keep == "last",
    )
    checkpoint = learning.checkpoint_of(phase.name)
    course = finished(pace, checkpoint, learning.key)
    if course is not None:
        return course, pace
    (learning.classifier.freeze if phase.head_only else learning.classifier.unfreeze)()
    learning.classifier.to(learning.machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with memory_told(learning.trial.name):
        inputs = _inputs(learning, phase)
    lesson_batches = _batches(learning, inputs, pace)
    with lesson_batches:
        course = fit(_lesson(learning, phase, pace, inputs, lesson_batches, before), pace, learning.machine,
                     checkpoint, learning.key)  # fmt: skip
    forget(learning.folder)
    return course, pace


def _inputs(learning: Learning, phase: Phase) -> Inputs:
    """Pixels, or features of what does not learn in this phase, computed once."""
    material, classifier = learning.material, learning.classifier
    if phase.head_only:
        views = _views(learning, phase)
        return _computed_once(learning, classifier.features, classifier.logits_from_features, views)
    codes = getattr(classifier.backbone, "codes", None)  # `coded_cnn`: its encoder never learns here
    if codes is not None and learning.augment is None:

        def from_codes(inputs: Tensor) -> Tensor:
            maps: Tensor = classifier.backbone.maps_from_codes(inputs)  # type: ignore[operator]
            return classifier.logits_from_maps(maps)

        return _computed_once(learning, lambda images: codes(classifier.normalise(images)), from_codes, 1)
    return Inputs(material.stack, material.places, material.stack, material.val_places,
                  classifier.train_logits, classifier, learning.augment)  # fmt: skip


def _computed_once(
    learning: Learning, front: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor], views: int
) -> Inputs:
    material = learning.material
    learning.classifier.eval()
    made = features_of(
        Front(front, learning.augment, learning.trial.seed), material.stack, material.places, material.val_places,
        views, learning.machine, learning.folder,
    )  # fmt: skip
    return Inputs(
        made.stack, np.arange(made.rows), made.val, np.arange(len(material.val_places)),
        lambda inputs: TrainOutput(back(inputs), ()), back, None, views,
    )  # fmt: skip


def _views(learning: Learning, phase: Phase) -> int:
    name = learning.trial.train.augment.name
    forbid_mixed_views(learning.trial.arm, learning.trial.train)
    if learning.augment is None:
        return 1
    if phase.views == 1 and learning.machine.is_main:
        say(
            f"{learning.trial.name}: features are computed once per image, without augment: {name} (see regime `views`)"
        )
    return phase.views


def _batches(learning: Learning, inputs: Inputs, pace: Pace) -> Batches:
    machine, material = learning.machine, learning.material
    return Batches(
        inputs.stack,
        inputs.places,
        material.labels,
        material.sampler(learning.trial.train.batch, pace.seed),
        machine.device,
        shard=(machine.rank, machine.world),
        views=inputs.views,
        view_stride=len(inputs.places),
    )


def _lesson(
    learning: Learning, phase: Phase, pace: Pace, inputs: Inputs, batches: Batches, before: list[dict[str, Any]]
) -> Lesson:
    """The phase as the loop wants it."""
    train, classifier, machine = learning.trial.train, learning.classifier, learning.machine
    objective = Objective(classifier, learning.loss, inputs.route, len(learning.material.dataset.classes))
    groups = layer_groups(classifier, train.layer_decay, phase.head_only)
    optimiser = resolve("optimisers", train.optimiser)(groups)

    def supply(step: int) -> tuple[Tensor, Tensor]:
        batch = batches(step)
        if inputs.augment is None:
            return batch.inputs, batch.labels
        generator = torch.Generator().manual_seed(step_seed(pace.seed, step, machine.rank, 1))
        return inputs.augment(batch.inputs.float(), batch.labels, generator)

    def learned(row: dict[str, Any]) -> None:
        last = before[-1] if before else {"epoch": 0, "step": 0}
        told = row | {name: row[name] + last[name] for name in ("epoch", "step")}
        if machine.is_main:
            learning.journal.epoch(told, objective, lambda: supply(0))
        if learning.watch is not None:
            learning.watch(told)

    return Lesson(
        name=f"{learning.trial.name} {phase.name}" if phase.head_only else learning.trial.name,
        learner=objective,
        batches=supply,
        optimiser=optimiser,
        schedule=resolve("schedules", train.schedule)(optimiser, pace.steps),
        evaluate=lambda: _evaluate(learning, inputs),
        keep=lambda: save_weights(learning.best_of(phase.name), classifier.state_dict()),
        learned=learned,
    )


def _evaluate(learning: Learning, inputs: Inputs) -> dict[str, float]:
    material, machine = learning.material, learning.machine
    if len(inputs.val_places) == 0:
        return {}
    mixed = machine.precision != "fp32"
    logits = outputs_of(inputs.logits, inputs.val_stack, inputs.val_places, machine, mixed_precision=mixed)
    learning.journal.validated(logits)
    return figures(logits, material.val_labels, learning.loss, material.policies, material.dataset, learning.trial.seed)


def layer_groups(classifier: Classifier, decay: float, head_only: bool) -> list[dict[str, Any]]:
    """Parameter groups, the learning rate falling by `decay` from the head back to the input."""
    groups = classifier.backbone.layer_groups()
    made: list[dict[str, Any]] = []
    for depth, parameters in enumerate(reversed(groups)):
        if depth == 0 or not head_only:
            made += decayed_groups([("", parameter) for parameter in parameters], decay**depth)
    return made
