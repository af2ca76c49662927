"""One trial: an arm's plan, a model, a fold and a seed become trained weights with their card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.core.agreement import MIXING
from secondread.core.errors import WrongRequest
from secondread.core.files import read_json, write_with
from secondread.core.leakage import write_contents
from secondread.core.registry import resolve
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.trials import Trial
from secondread.images.batches import share_of
from secondread.learning.checkpoints import load_weights, save_weights
from secondread.learning.devices import Machine
from secondread.learning.lesson import Course, Pace
from secondread.models.build import build_classifier
from secondread.models.card import TrialCard
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec
from secondread.models.weights import statistics_of
from secondread.train.autoencoder import encoder_for
from secondread.train.features import forget
from secondread.train.loss_types import Loss, LossSpec
from secondread.train.material import LEAKY, Material, material_of, mean_and_std
from secondread.train.objective import has_batch_norm, without_uncertain_logits
from secondread.train.phases import Learning, run_phase
from secondread.train.regimes import Phase
from secondread.train.tracking import Journal
from secondread.train.uncertain import ThreeWay

EPOCH_COLUMNS = ["epoch", "step", "seconds", "images_per_s", "lr", "train_loss", "val_loss", "train_accuracy",
                 "val_accuracy", "val_recall", "val_auroc"]  # fmt: skip
UNCERTAIN_PRIOR = 0.1  # where the first output bias of "uncertain" starts

Watch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """How a trial went: its epochs, and the best of them by what it watched."""

    epochs: pd.DataFrame
    best_epoch: int
    best: float | None


def train_trial(
    study: Study, where: StudyDir, trial: Trial, machine: Machine, folder: Path, key: str, watch: Watch | None = None
) -> Outcome:
    """Train into `folder`: best.safetensors, card.json, epochs.csv, contents.json, tensorboard/.

    Goes on from the checkpoints of an earlier try of the same `key`. `watch` is told each epoch's figures, in every
    process. Raises `Leak`, `BadData` (NaN, memory, missing input) or `WrongRequest` (settings that do not fit the task
    or the model).
    """
    with machine.main_first():
        material = material_of(study, where, trial)
        loss = _loss(trial, material)
        classifier = _classifier(where, trial, material, loss, machine)
    machine.choose_precision(classifier)  # the card tells it, of a training too that was over before a kill
    with Journal(trial, folder / "tensorboard", machine.is_main) as journal:
        journal.begin(classifier, material)
        learning = Learning(trial, material, classifier, loss, machine, folder, key, journal, watch)
        outcome = _all_phases(learning)
        machine.wait()  # every process has loaded the weights that the first one now clears away
        if machine.is_main:
            _finish(study, learning, outcome)
        journal.end(classifier, material, outcome.epochs, outcome.best_epoch)
    machine.wait()
    return outcome


def _loss(trial: Trial, material: Material) -> Loss:
    return loss_of(trial, material.loss_spec(trial.train.label_smoothing), material.policies)


def loss_of(trial: Trial, spec: LossSpec, policies: list[str]) -> Loss:
    """The trial's loss; raises `WrongRequest` where it does not fit the task."""
    loss: Loss = resolve("losses", trial.train.loss)(spec)
    if "multi_class" not in policies:
        return loss
    if trial.train.augment.name in MIXING:
        raise WrongRequest(f"train.uncertain: multi_class cannot be mixed by augment: {trial.train.augment.name}")
    if set(policies) == {"multi_class"} and (trial.train.loss.name != "bce" or trial.train.label_smoothing):
        raise WrongRequest(
            "train.uncertain: multi_class tells every label apart by a loss of its own, so that train.loss and "
            "train.label_smoothing would do nothing: set loss: bce without smoothing, or multi_class for some labels"
        )
    return ThreeWay(loss, policies, spec.prior)


def _classifier(where: StudyDir, trial: Trial, material: Material, loss: Loss, machine: Machine) -> Classifier:
    """The network with its first weights, normalisation and output bias; refused when its weights leak."""
    train, extra = trial.train, material.policies.count("multi_class")
    known = statistics_of(trial.model, train.weights, normalise=train.normalise, beside=where.root)
    mean, std = known or mean_and_std(material.stack, material.places)
    classifier = build_classifier(
        trial.model,
        ModelSpec(len(material.dataset.classes) + extra, material.channels, train.size, material.dataset.task,
                  train.head, train.weights != "none"),
        mean=mean,
        std=std,
        normalise=train.normalise,
        weights=train.weights,
        prior=[*loss.prior, *[UNCERTAIN_PRIOR] * extra],
        seed=trial.seed,
        beside=where.root,
    )  # fmt: skip
    material.forbid_leaks(classifier.origin.content_ids(), f"trial {trial.name}: weights {classifier.origin.text}")
    if train.weights == "none":
        encoder_for(classifier, where, trial, material)
    need_fair_shares(trial, classifier, machine.world)
    without_uncertain_logits(classifier, trial.model, len(material.dataset.classes))  # refused before it is trained
    return classifier


def need_fair_shares(trial: Trial, classifier: Classifier, processes: int) -> None:
    """Raises `WrongRequest` for a batch that the processes cannot share, or of whose share BatchNorm cannot learn."""
    train = trial.train
    if share_of(train.batch, processes) < 2 and train.regime.name != "head" and has_batch_norm(classifier):
        raise WrongRequest(
            f"train.batch: {train.batch} gives a process one image; BatchNorm in {trial.model.name} "
            "cannot learn from it: use at least 2 per process"
        )


def _all_phases(learning: Learning) -> Outcome:
    """Run the phases of the regime one after the other, each from the weights that were kept before."""
    train = learning.trial.train
    each = learning.material.epoch_steps(train.batch)
    steps = train.epochs * each if train.steps == "auto" else train.steps
    rows: list[dict[str, Any]] = []
    best: tuple[Phase, Course, Pace, int] | None = None
    for number, phase in enumerate(resolve("regimes", train.regime)().phases(steps)):
        offset = len(rows)
        course, pace = run_phase(learning, phase, number, each, rows)
        rows += shifted(course.history, rows)
        if best is None or course.best is None or best[1].best is None or pace.to_keep(course.best, best[1].best):
            best = (phase, course, pace, offset)
        learning.machine.wait()
        load_weights(learning.best_of(best[0].name), learning.classifier)
    assert best is not None
    epochs = pd.DataFrame(rows).reindex(columns=EPOCH_COLUMNS)
    return Outcome(epochs, best[3] + best[1].best_epoch, best[1].best)


def shifted(history: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A phase's epochs counted on from those before it."""
    if not before:
        return [dict(row) for row in history]
    last = before[-1]
    return [row | {name: row[name] + last[name] for name in ("epoch", "step", "seconds")} for row in history]


def _finish(study: Study, learning: Learning, outcome: Outcome) -> None:
    """Write what a trial leaves; the classifier holds the best weights."""
    folder, trial, material = learning.folder, learning.trial, learning.material
    classifier, classes = learning.classifier, material.dataset.classes
    state = without_uncertain_logits(classifier, trial.model, len(classes))
    save_weights(folder / "best.safetensors", state, {"model": classifier.backbone.card.name})
    write_with(folder / "epochs.csv", lambda temporary: outcome.epochs.to_csv(temporary, index=False))
    write_contents(folder / "contents.json", material.fitted_on | classifier.origin.content_ids())
    mean, std = classifier.statistics
    pixels: dict[str, Any] = material.pixels
    TrialCard(
        study=study.study, arm=trial.arm, model=trial.model.label,
        repeat=trial.repeat, fold=trial.fold, seed=trial.seed,
        part=trial.model.name, options=trial.model.options, classes=tuple(classes), task=material.dataset.task,
        channels=material.channels, size=trial.train.size, fit=trial.train.fit, intensity=pixels["intensity"],
        crop_border=pixels["crop_border"], mean=mean, std=std, head=trial.train.head,
        training_prior=tuple(learning.loss.prior), natural_prior=material.natural_prior,
        best_epoch=outcome.best_epoch, steps=int(outcome.epochs["step"].iloc[-1]),
        seconds=round(float(outcome.epochs["seconds"].iloc[-1]), 3),
        contents=read_json(folder / "contents.json")["sha256"], weights=classifier.origin.text,
        notes=(*classifier.origin.notes, *((LEAKY,) if material.leaky else ())),
        parameters=classifier.backbone.parameter_count, precision=learning.machine.precision,
        normalise=trial.train.normalise,
    ).write(folder / "card.json")  # fmt: skip
    forget(folder)  # of a phase that was killed, or that the study no longer has
    for left in (learning.checkpoint_of, learning.best_of):  # a checkpoint without its best weights could not go on
        for phase in ("head", "full"):
            left(phase).unlink(missing_ok=True)
