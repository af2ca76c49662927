"""Sections on what comes after training: scores and verdicts, heatmaps, the bundle."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from secondread.core.limits import BelowOne, Count, Fraction, Names, Whole
from secondread.core.spec.sections import Section


class Rule(Section):
    """How the threshold is chosen on validation."""

    name: Literal["argmax", "youden", "sensitivity", "cost"] = "youden"
    """Most probable class; largest sensitivity + specificity; most specificity at a sensitivity; least cost."""
    sensitivity: BelowOne = 0.95
    """For the rule `sensitivity`."""
    cost: list[list[float]] | None = None
    """For the rule `cost`: rows of the truth, columns of the decision."""

    @model_validator(mode="after")
    def _rule_has_its_numbers(self) -> Rule:
        square = self.cost is None or all(len(row) == len(self.cost) for row in self.cost)
        if not square or (self.name == "cost" and self.cost is None):
            raise ValueError("the rule `cost` needs `cost`, a square matrix (truth × decision)")
        if self.name != "sensitivity" and self.sensitivity != type(self).model_fields["sensitivity"].default:
            raise ValueError(f"the rule is `{self.name}`, which has no `sensitivity`: write name: sensitivity too")
        return self


class Evaluate(Section):
    metrics: Names = ["accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "auroc",
                          "average_precision", "mcc", "log_loss", "brier", "ece"]  # fmt: skip
    """Parts of kind `metrics`."""
    primary: str = "auto"
    """The metric that the verdicts are about; `auto`: auroc (macro for more than two classes)."""
    bootstrap: Count = 2000
    """How often patients are drawn anew for an interval."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Of the intervals."""
    baseline: str | None = None
    """The arm that the others are compared with; the first when not given."""
    threshold: Rule = Rule()
    """How decisions are made of probabilities."""
    prevalences: list[Fraction] = []
    """Deployment prevalences for the PPV and NPV table; `[]` lets the report choose."""
    subgroups: list[str] = ["sex", "age", "view", "site"]
    """Columns whose values are scored apart, where the data have them."""
    left_out: bool = False
    """Shift proxy: score each site or source as if it were new."""
    seed: Whole = 0
    """Of the draws."""

    @property
    def level(self) -> float:
        """Of the tests: what the confidence leaves, without the last digits that a subtraction adds."""
        return round(1 - self.confidence, 12)


class Explain(Section):
    cases: Whole = 24
    """Test images shown: a third right ones, a third wrong ones, a third confident errors, as far as there are."""
    methods: list[Literal["grad_cam", "grad_cam_pp", "layer_cam", "hires_cam"]] = ["grad_cam"]
    """Ways to make heatmaps."""
    models: list[str] | Literal["picked", "all"] = "picked"
    """The picked arm and model, all, or those named (MODEL or ARM/MODEL)."""
    masks: str | None = None
    """A folder of masks named as the images, relative to the data root."""
    quality: bool = True
    """Whether maps are put to the test (randomised weights, pixels taken away, masks)."""


class Export(Section):
    pick: str = "best"
    """`best` by validation, `all`, or ARM/MODEL."""
    ensemble: bool = False
    """Put all seeds of the recipe into the bundle, whose logits are averaged."""
    int8: bool = True
    """Also write a bundle in 8 bits, where it is faster and its answers stay close."""
