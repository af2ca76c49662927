"""The section on training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from secondread.core.limits import AboveZero, BelowOne, Count, Positive, Seeds, Weights, Whole
from secondread.core.spec.sections import PartRef, Section, ref

Normalise = Literal["dataset", "image"]
Uncertain = Literal["ignore", "zeros", "ones", "multi_class", "smooth"]


class Head(Section):
    hidden: Whole = 0
    """Width of a dense layer before the last one; 0: none."""
    dropout: BelowOne = 0.0
    """Before each layer of the head; 0 leaves the model's own."""


class EarlyStop(Section):
    patience: Count = 5
    """Epochs without a better value after which training ends."""
    watch: Literal["loss", "auroc"] = "loss"
    """Of validation; the best epoch is chosen by it too."""


class Engine(Section):
    devices: Count | Literal["auto"] = "auto"
    """Processes on this machine, one a GPU, that share each batch; `auto`: one, or what torchrun or SLURM started."""
    nodes: Count = 1
    """Machines that torchrun or SLURM must have started it on; refused when there are fewer processes."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What products are taken in while training; `auto`: bf16 where the GPU or the processor multiplies it."""
    compile: bool | Literal["auto"] = "auto"
    """Whether networks go through torch.compile; `auto`: no (on a GPU steps are recorded as CUDA graphs instead)."""
    threads: Count | Literal["auto"] = "auto"
    """Of PyTorch on the processor; the last digits of all results depend on it."""


class Tracking(Section):
    tensorboard: Literal["off", "scalars", "full"] = "scalars"
    """`full` adds the network's graph, images, histograms and precision-recall curves."""
    mlflow: str | None = None
    """Address of an MLflow server (needs the extra `mlflow`)."""


class Train(Section):
    models: Annotated[list[PartRef], Field(min_length=1)] = [ref("resnet18")]
    """Parts of kind `models`: each is trained in each arm."""
    size: Annotated[int, Field(ge=16, le=1024)] = 224
    """Side of the square that networks see, in pixels."""
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    """How an image becomes a square."""
    normalise: Normalise = "dataset"
    """By the mean and spread of the training pixels, or each image by its own, so that exposure does not matter."""
    regime: PartRef = ref("full")
    """A part of kind `regimes`: what learns when."""
    loss: PartRef = ref("cross_entropy")
    """A part of kind `losses`; for several labels an image `bce` and its kin."""
    uncertain: Uncertain | dict[str, Uncertain] = "ignore"
    """What becomes of labels of −1; one for all or one per label."""
    augment: PartRef = ref("none")
    """A part of kind `augment`."""
    epochs: Count = 20
    """One epoch is as many steps as it takes to see every real training image once, in every arm alike."""
    steps: Count | Literal["auto"] = "auto"
    """Optimiser steps, the same in every arm; `auto`: `epochs` epochs."""
    batch: Count = 32
    """Images a step, over all processes together."""
    optimiser: PartRef = ref("adamw", lr=1e-3, weight_decay=1e-4)
    """A part of kind `optimisers`."""
    schedule: PartRef = ref("one_cycle")
    """A part of kind `schedules`: how the learning rate goes."""
    early_stop: EarlyStop | None = EarlyStop()
    """`null`: all epochs are trained."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: of the best epoch on validation, or the last, as many published protocols do."""
    clip: Positive | None = 1.0
    """Largest norm of a step's gradient; `null`: any."""
    ema: BelowOne = 0.0
    """Decay of a running mean of the weights, which is judged and kept in their stead; 0: off."""
    label_smoothing: BelowOne = 0.0
    """Share of each label that is spread over all classes."""
    layer_decay: AboveZero = 1.0
    """Factor on the learning rate from each stage of the network to the one before it; 1: all alike."""
    weights: Weights = "none"
    """`none`, `imagenet`, a file, or `trial:STUDY/ARM/MODEL`."""
    head: Head = Head()
    """What stands on the network."""
    seeds: Seeds = [0]
    """Each model is trained once with each of them, in each fold."""
    engine: Engine = Engine()
    """Where and in what precision it is trained."""
    track: Tracking = Tracking()
    """Who is told of its course."""
    search: dict[str, Any] = {}
    """Read by `secondread tune` only: dotted keys of `train` and what to try, a list or {low, high, log}."""

    @model_validator(mode="after")
    def _the_last_is_not_stopped_early(self) -> Train:
        if self.keep == "last" and self.early_stop is not None:
            raise ValueError("keep: last takes no early stopping; write early_stop: null beside it")
        return self
