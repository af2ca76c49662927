"""The study file: one frozen, typed description of everything a study does. Unknown keys are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from secondread.core.arms import merged, placed
from secondread.core.limits import AboveZero, BelowOne, Count, Fraction, Names, Positive, Seeds, Weights, Whole

Normalise = Literal["dataset", "image"]
Uncertain = Literal["ignore", "zeros", "ones", "multi_class", "smooth"]
Extractor = Annotated[str, Field(pattern=r"^(task|inception|timm/.+)$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class PartRef(Section):
    """A part as the study file names it: `focal`, or `{name: focal, gamma: 1, as: focal_1}`."""

    name: str
    label: str = Field(alias="as")
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_text_or_mapping(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given, "as": given}
        if isinstance(given, dict) and "options" not in given:
            if "name" not in given:
                raise ValueError("a part is its name, or a mapping with the key `name`")
            options = {k: v for k, v in given.items() if k not in ("name", "as")}
            return {"name": given["name"], "as": given.get("as", given["name"]), "options": options}
        return given

    def as_written(self) -> str | dict[str, Any]:
        if not self.options and self.label == self.name:
            return self.name
        alias = {} if self.label == self.name else {"as": self.label}
        return {"name": self.name, **alias, **self.options}


def ref(name: str, **options: Any) -> PartRef:
    return PartRef.model_validate({"name": name, **options})


class ClassText(Section):
    text: str = ""
    """Explanatory text shown with a reading of this class in the web application."""


class External(Section):
    name: str
    source: PartRef


class Gather(Section):
    source: PartRef = ref("class_folders", root=".")
    """A part of kind `sources`; its `root` is relative to --data or $SECONDREAD_DATA."""
    patient: str = "auto"
    """`auto`, `none`, a column, or a regular expression whose first group is the patient."""
    labels: dict[str, str | list[str]] = {}
    """New class: the class or classes it is made of; classes not named are kept, an empty list drops one."""
    task: Literal["auto", "binary", "multiclass", "multilabel"] = "auto"
    positive: str | None = None
    """The positive one of two classes; found from the names (normal, no, negative…) when not given."""
    classes: dict[str, ClassText] = {}
    frames: Literal["refuse", "first"] = "refuse"
    """What to do with a multi-frame DICOM file."""
    external: list[External] = []


class Prepare(Section):
    checks: list[Literal["unreadable", "duplicates", "near_duplicates", "label_conflicts", "shortcuts"]] = [
        "unreadable", "duplicates", "near_duplicates", "label_conflicts", "shortcuts",
    ]  # fmt: skip
    split: PartRef = ref("grouped", test=0.2, val=0.1, repeats=1, folds=1)
    seed: Whole = 0
    allow_leakage: bool = False
    """Allows `image_level` splits and balancing before the split; stamps every output LEAKY PROTOCOL."""
    drop_duplicates: bool = False
    """Keep one of each group of exact duplicates; otherwise they stay together on one side of the split."""
    channels: Literal["auto", 1, 3] = "auto"
    intensity: Literal["auto", "full_range", "percentile", "window"] = "auto"
    """How more than 8 bits become uint8."""
    crop_border: Annotated[float, Field(ge=0.0, le=0.3)] = 0.0
    """Share of width and height cut from each side before resizing: a defence against border shortcuts."""


class Synthesize(Section):
    gans: list[PartRef] = []
    for_classes: list[str] | Literal["minority", "all"] = Field("minority", alias="for")
    size: Literal[32, 64, 128] = 64
    steps: Count = 20_000
    """Generator updates."""
    per: Literal["class", "conditional"] = "class"
    batch: Count = 64
    seeds: Seeds = [0]
    samples: Count | Literal["auto"] = "auto"
    """Images per class, GAN and seed; `auto`: what the arms that use them need, at least 512."""
    sheet_every: Count = 500
    keep: Literal["best", "last"] = "best"
    """Which generator draws the samples: of the varied and sharp sheets that with the least KID, or the last."""
    patience: Count | None = None
    """End a GAN after so many sheets in a row none of which is better to keep."""
    extractors: list[Extractor] = ["task"]
    """`task` (trained on this fold's training rows), `inception`, or `timm/<name>`."""
    extractor_weights: dict[str, str] = {}
    before_split: list[str] = []
    """GANs (by name) trained on all rows, test rows too, as some published protocols do (prepare.allow_leakage)."""
    force_copies: bool = False
    """Use generated images although they were flagged as copies of training images."""


class Head(Section):
    hidden: Whole = 0
    dropout: BelowOne = 0.0


class EarlyStop(Section):
    patience: Count = 5
    watch: Literal["loss", "auroc"] = "loss"


class Engine(Section):
    devices: Count | Literal["auto"] = "auto"
    nodes: Count = 1
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What products are taken in while training; `auto`: bf16 where the GPU or the processor multiplies it."""
    compile: bool | Literal["auto"] = "auto"
    threads: Count | Literal["auto"] = "auto"


class Tracking(Section):
    tensorboard: Literal["off", "scalars", "full"] = "scalars"
    mlflow: str | None = None


class Train(Section):
    models: Annotated[list[PartRef], Field(min_length=1)] = [ref("resnet18")]
    size: Annotated[int, Field(ge=16, le=1024)] = 224
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    normalise: Normalise = "dataset"
    """By the mean and spread of the training pixels, or each image by its own, so that exposure does not matter."""
    regime: PartRef = ref("full")
    loss: PartRef = ref("cross_entropy")
    uncertain: Uncertain | dict[str, Uncertain] = "ignore"
    """What becomes of labels of −1; one for all or one per label."""
    augment: PartRef = ref("none")
    epochs: Count = 20
    """One epoch is as many steps as it takes to see every real training image once, in every arm alike."""
    steps: Count | Literal["auto"] = "auto"
    """Optimiser steps, the same in every arm; `auto`: `epochs` epochs."""
    batch: Count = 32
    optimiser: PartRef = ref("adamw", lr=1e-3, weight_decay=1e-4)
    schedule: PartRef = ref("one_cycle")
    early_stop: EarlyStop | None = EarlyStop()
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: of the best epoch on validation, or the last, as many published protocols do."""
    clip: Positive | None = 1.0
    ema: BelowOne = 0.0
    label_smoothing: BelowOne = 0.0
    layer_decay: AboveZero = 1.0
    weights: Weights = "none"
    """`none`, `imagenet`, a file, or `trial:STUDY/ARM/MODEL`."""
    head: Head = Head()
    seeds: Seeds = [0]
    engine: Engine = Engine()
    track: Tracking = Tracking()
    search: dict[str, Any] = {}
    """Read by `secondread tune` only."""

    @model_validator(mode="after")
    def _the_last_is_not_stopped_early(self) -> Train:
        if self.keep == "last" and self.early_stop is not None:
            raise ValueError("keep: last takes no early stopping; write early_stop: null beside it")
        return self


class Rule(Section):
    """How the threshold is chosen on validation."""

    name: Literal["argmax", "youden", "sensitivity", "cost"] = "youden"
    sensitivity: BelowOne = 0.95
    cost: list[list[float]] | None = None

    @model_validator(mode="after")
    def _cost_is_a_matrix(self) -> Rule:
        square = self.cost is None or all(len(row) == len(self.cost) for row in self.cost)
        if not square or (self.name == "cost" and self.cost is None):
            raise ValueError("the rule `cost` needs `cost`, a square matrix (truth × decision)")
        return self


class Evaluate(Section):
    metrics: Names = ["accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "auroc",
                          "average_precision", "mcc", "log_loss", "brier", "ece"]  # fmt: skip
    primary: str = "auto"
    """The metric that the verdicts are about; `auto`: auroc (macro for more than two classes)."""
    bootstrap: Count = 2000
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    baseline: str | None = None
    """The arm that the others are compared with; the first when not given."""
    threshold: Rule = Rule()
    prevalences: list[Fraction] = []
    """Deployment prevalences for the PPV and NPV table; `[]` lets the report choose."""
    subgroups: list[str] = ["sex", "age", "view", "site"]
    left_out: bool = False
    """Shift proxy: score each site or source as if it were new."""
    seed: Whole = 0


class Explain(Section):
    cases: Whole = 24
    methods: list[Literal["grad_cam", "grad_cam_pp", "layer_cam", "hires_cam"]] = ["grad_cam"]
    models: list[str] | Literal["picked", "all"] = "picked"
    masks: str | None = None
    """A folder of masks named as the images, relative to the data root."""
    quality: bool = True


class Export(Section):
    pick: str = "best"
    """`best` by validation, `all`, or ARM/MODEL."""
    ensemble: bool = False
    int8: bool = True


class Arm(Section):
    balance: PartRef | None = None
    train: dict[str, Any] = {}


class Study(Section):
    """The whole study file."""

    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    about: str = ""
    gather: Gather = Gather()
    prepare: Prepare = Prepare()
    synthesize: Synthesize = Synthesize.model_validate({})
    balance: PartRef = ref("none")
    train: Train = Train()
    arms: dict[str, Arm] = {"plain": Arm()}
    evaluate: Evaluate = Evaluate()
    explain: Explain = Explain()
    export: Export = Export()

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


def as_yaml(section: Section) -> Any:
    """The section as plain values in the way a person would write it: parts by name, aliases as in the file."""
    if isinstance(section, PartRef):
        return section.as_written()
    fields = type(section).model_fields
    return {fields[name].alias or name: _plain(getattr(section, name)) for name in fields}


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return as_yaml(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
