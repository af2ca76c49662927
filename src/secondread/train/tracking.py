"""What a person watches while a trial trains: TensorBoard, and MLflow where it is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secondread.core.errors import Absent
from secondread.core.trials import Trial
from secondread.images.batches import planes
from secondread.learning.inference import probabilities
from secondread.models.classifier import Classifier
from secondread.train.material import Material

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SHOWN_IMAGES = 16
EMBEDDED_IMAGES = 400
TAGS = {"train_loss": "loss/train", "val_loss": "loss/val", "train_accuracy": "accuracy/train",
        "val_accuracy": "accuracy/val", "val_recall": "recall/val", "val_auroc": "auroc/val", "lr": "learning rate",
        "images_per_s": "images per second"}  # fmt: skip


class Journal:
    """Scalars per epoch; with `track.tensorboard: full` also images, PR curves, graph, histograms and embedding."""

    def __init__(self, trial: Trial, folder: Path, active: bool) -> None:
        track = trial.train.track
        self.trial, self.folder = trial, folder
        self.on = active and track.tensorboard != "off"
        self.full = self.on and track.tensorboard == "full"
        self.writer: SummaryWriter | None = None
        self.mlflow = _mlflow(track.mlflow, trial) if active and track.mlflow else None
        self.logits: NDArray[np.float32] | None = None
        self.material: Material | None = None
        self.classifier: Classifier | None = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()  # type: ignore[no-untyped-call]
        if self.mlflow is not None:
            self.mlflow.end_run("FINISHED" if kind is None else "FAILED")

    def begin(self, classifier: Classifier, material: Material) -> None:
        self.classifier, self.material = classifier, material

    def validated(self, logits: NDArray[np.float32]) -> None:
        """The logits [N,K] of the validation rows of the epoch that is about to be told."""
        self.logits = logits

    def epoch(self, row: dict[str, Any], learner: nn.Module, batch: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Write one epoch down; what an interrupted try wrote for it and later ones is purged."""
        if self.mlflow is not None:
            told = {name: float(row[name]) for name in TAGS if name in row and np.isfinite(row[name])}
            self.mlflow.log_metrics(told, step=row["epoch"])
        if not self.on:
            return
        first = self.writer is None
        writer = self._open(row["epoch"])
        for name, tag in TAGS.items():
            if name in row:
                writer.add_scalar(tag, row[name], row["epoch"])  # type: ignore[no-untyped-call]
        if self.full:
            if first and row["epoch"] == 1:
                self._pictures(writer, batch)
            self._curves(writer, row["epoch"])
            _histograms(writer, learner, batch, row["epoch"])
        writer.flush()  # type: ignore[no-untyped-call]

    def end(self, classifier: Classifier, material: Material, epochs: pd.DataFrame, best_epoch: int) -> None:
        """Hyper-parameters with the best epoch's metrics, and the features of validation images as an embedding."""
        if not self.on:
            return
        best = epochs[epochs["epoch"] == best_epoch].iloc[0]
        metrics = {f"best/{n}": float(best[n]) for n in ("val_loss", "val_accuracy", "val_recall", "val_auroc")
                   if np.isfinite(best[n])}  # fmt: skip
        writer = self._open(int(epochs["epoch"].iloc[-1]) + 1)
        writer.add_hparams(settings_in_words(self.trial), metrics, run_name=".")  # type: ignore[no-untyped-call]
        if self.full and len(material.val_places):
            _embedding(writer, classifier, material)
        writer.flush()  # type: ignore[no-untyped-call]

    def _open(self, epoch: int) -> SummaryWriter:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=epoch)  # type: ignore[no-untyped-call]
        return self.writer

    def _pictures(self, writer: SummaryWriter, batch: Callable[[], tuple[Tensor, Tensor]]) -> None:
        assert self.material is not None
        assert self.classifier is not None
        plain = planes(torch.from_numpy(self.material.stack.take(self.material.places[:SHOWN_IMAGES])))
        writer.add_images("images/plain", plain)  # type: ignore[no-untyped-call]
        augmented, _ = batch()
        if augmented.ndim == 4 and augmented.is_floating_point() and augmented.shape[1] in (1, 3):
            shown = augmented[:SHOWN_IMAGES].clamp(0, 255).byte().cpu()
            writer.add_images("images/augmented", shown)  # type: ignore[no-untyped-call]
        device = next(self.classifier.parameters()).device
        with warnings.catch_warnings():  # tracing warns about every shape it writes down
            warnings.simplefilter("ignore")
            writer.add_graph(self.classifier, plain[:1].to(device))  # type: ignore[no-untyped-call]

    def _curves(self, writer: SummaryWriter, epoch: int) -> None:
        if self.logits is None or self.material is None:
            return
        classes = self.material.dataset.classes
        found = probabilities(self.logits[:, : len(classes)], self.material.dataset.task)
        for k, name in enumerate(classes):
            truth = self.material.val_labels[:, k]
            known = truth >= 0
            writer.add_pr_curve(  # type: ignore[no-untyped-call]
                f"precision-recall/{name}", truth[known] == 1, found[known, k], epoch
            )


def settings_in_words(trial: Trial) -> dict[str, Any]:
    """The settings of a trial as flat names and plain values."""
    train = trial.train
    told: dict[str, Any] = {"arm": trial.arm, "model": trial.model.label, "balance": trial.balance.label,
                            "seed": trial.seed, "repeat": trial.repeat, "fold": trial.fold}  # fmt: skip
    for name in ("regime", "loss", "augment", "optimiser", "schedule"):
        ref = getattr(train, name)
        told[name] = ref.name
        told |= {f"{name}.{key}": value for key, value in ref.options.items() if isinstance(value, int | float | str)}
    for name in ("size", "fit", "batch", "epochs", "ema", "label_smoothing", "layer_decay", "weights"):
        told[name] = getattr(train, name)
    return told | {"head.hidden": train.head.hidden, "head.dropout": train.head.dropout}


def _histograms(
    writer: SummaryWriter, learner: nn.Module, batch: Callable[[], tuple[Tensor, Tensor]], epoch: int
) -> None:
    """Weights, and their gradients on one batch (in eval mode, so that nothing of the training moves)."""
    learning = [(name, parameter) for name, parameter in learner.named_parameters() if parameter.requires_grad]
    mode = learner.training
    learner.eval()
    loss, _ = learner(*batch())
    gradients = torch.autograd.grad(loss, [parameter for _, parameter in learning], allow_unused=True)
    learner.train(mode)
    for (name, parameter), gradient in zip(learning, gradients, strict=True):
        place = name.replace(".", "/")
        writer.add_histogram(f"weights/{place}", parameter.detach().cpu(), epoch)  # type: ignore[no-untyped-call]
        if gradient is not None and gradient.isfinite().all():
            writer.add_histogram(f"gradients/{place}", gradient.cpu(), epoch)  # type: ignore[no-untyped-call]


@torch.inference_mode()
def _embedding(writer: SummaryWriter, classifier: Classifier, material: Material) -> None:
    """Features of at most 400 validation images, with their classes and thumbnails."""
    places = material.val_places[:EMBEDDED_IMAGES]
    images = planes(torch.from_numpy(material.stack.take(places)))
    device = next(classifier.parameters()).device
    classifier.eval()
    parts = [images[start : start + 64].to(device) for start in range(0, len(images), 64)]
    features = torch.cat([classifier.features(part).cpu() for part in parts])
    names = np.asarray([*material.dataset.classes, "none"])
    present = np.nan_to_num(material.val_labels[: len(places)]) == 1
    first = np.where(present.any(axis=1), present.argmax(axis=1), len(names) - 1)
    thumbnails = torch.nn.functional.interpolate(images.float() / 255, size=(32, 32), mode="area")
    writer.add_embedding(  # type: ignore[no-untyped-call]
        features.flatten(1), metadata=names[first].tolist(), label_img=thumbnails, tag="features"
    )


def _mlflow(uri: str, trial: Trial) -> Any:
    """The module `mlflow` with a run begun; raises `Absent` when it is not installed."""
    try:
        import mlflow
    except ImportError as error:
        raise Absent("track.mlflow: mlflow is not installed: pip install 'secondread[mlflow]'") from error
    mlflow.set_tracking_uri(uri)
    mlflow.start_run(run_name=trial.name)
    mlflow.log_params(settings_in_words(trial))
    return mlflow
