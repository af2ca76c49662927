"""The whole study file."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError, model_validator

from secondread.core.arms import merged, placed
from secondread.core.spec.data import Gather, Prepare
from secondread.core.spec.generate import Synthesize
from secondread.core.spec.judging import Evaluate, Explain, Export
from secondread.core.spec.sections import PartRef, Section, as_yaml, ref
from secondread.core.spec.training import Train


class Arm(Section):
    balance: PartRef | None = None
    """A part of kind `balance`; the study's when not given."""
    train: dict[str, Any] = {}
    """Keys of `train` that this arm has otherwise."""


class Study(Section):
    """The whole study file."""

    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Its name, and that of its folder under `runs/`."""
    about: str = ""
    """A sentence for the report."""
    gather: Gather = Gather()
    """Where rows come from and what their labels mean."""
    prepare: Prepare = Prepare()
    """Audit, split and pixels."""
    synthesize: Synthesize = Synthesize.model_validate({})
    """GANs and their images."""
    balance: PartRef = ref("none")
    """A part of kind `balance`: which training rows count how often."""
    train: Train = Train()
    """Models and how they learn."""
    arms: dict[str, Arm] = {"plain": Arm()}
    """Variations that are compared at equal optimiser steps, by name."""
    evaluate: Evaluate = Evaluate()
    """Scores, intervals, comparisons."""
    explain: Explain = Explain()
    """Heatmaps and their quality."""
    export: Export = Export()
    """Which trials become bundles."""

    def arm(self, name: str) -> tuple[PartRef, Train]:
        """The balance policy and training settings of one arm: its own over the study's."""
        arm = self.arms[name]
        return arm.balance or self.balance, Train.model_validate(merged(as_yaml(self.train), arm.train))

    @model_validator(mode="after")
    def _arms_are_whole(self) -> Study:
        if not self.arms:
            raise ValueError("arms: name at least one")
        for name in self.arms:
            if "/" in name:
                raise ValueError(f"arms: {name!r}: a name has no slash")
            try:
                labels = [model.label for model in self.arm(name)[1].models]
            except ValidationError as error:
                raise placed(error, "arms", name, "train") from error
            if {name, *labels} & {"", ".", ".."}:
                raise ValueError(f"arms: {name!r}: arms and models name folders; '', '.' and '..' are no names")
            if len(labels) != len(set(labels)):
                raise ValueError(f"arms: {name}: two models share a name; tell them apart with `as`")
        gans = [gan.label for gan in self.synthesize.gans]
        if len(gans) != len(set(gans)):
            raise ValueError("synthesize.gans: two GANs share a name; tell them apart with `as`")
        if self.synthesize.before_split and not self.prepare.allow_leakage:
            raise ValueError("synthesize.before_split leaks test rows: it needs prepare.allow_leakage: true")
        if self.evaluate.baseline is not None and self.evaluate.baseline not in self.arms:
            raise ValueError(f"evaluate.baseline: no arm {self.evaluate.baseline!r}; arms: {', '.join(self.arms)}")
        return self
