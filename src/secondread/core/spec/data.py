"""Sections on the data: where rows come from, how they are cleaned, split and brought to pixels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secondread.core.limits import Whole
from secondread.core.spec.sections import PartRef, Section, ref


class ClassText(Section):
    text: str = ""
    """Explanatory text shown with a reading of this class in the web application."""


class External(Section):
    name: str
    """How reports call this set."""
    source: PartRef
    """A part of kind `sources`, as in `gather.source`."""


class Gather(Section):
    source: PartRef = ref("class_folders", root=".")
    """A part of kind `sources`; its `root` is relative to --data or $SECONDREAD_DATA, a list takes the first there."""
    patient: str = "auto"
    """`auto`, `none`, a column, or a regular expression whose first group is the patient."""
    labels: dict[str, str | list[str]] = {}
    """New class: the class or classes it is made of; classes not named are kept, an empty list drops one."""
    task: Literal["auto", "binary", "multiclass", "multilabel"] = "auto"
    """`auto`: multilabel where a row may have several labels or none, else by the number of classes."""
    positive: str | None = None
    """The positive one of two classes; found from the names (normal, no, negative…) when not given."""
    classes: dict[str, ClassText] = {}
    """By class: what the web application says about it."""
    frames: Literal["refuse", "first"] = "refuse"
    """What to do with a file of several frames: leave it out, or take its first."""
    external: list[External] = []
    """Further sets that nothing is trained on: each is read and scored as one from elsewhere."""


class Prepare(Section):
    checks: list[Literal["unreadable", "duplicates", "near_duplicates", "label_conflicts", "shortcuts"]] = [
        "unreadable", "duplicates", "near_duplicates", "label_conflicts", "shortcuts",
    ]  # fmt: skip
    """What the audit looks for."""
    split: PartRef = ref("grouped", test=0.2, val=0.1, repeats=1, folds=1)
    """A part of kind `splits`."""
    seed: Whole = 0
    """Of the split."""
    allow_leakage: bool = False
    """Allows `image_level` splits and balancing before the split; stamps every output LEAKY PROTOCOL."""
    drop_duplicates: bool = False
    """Keep one of each group of exact duplicates; otherwise they stay together on one side of the split."""
    channels: Literal["auto", 1, 3] = "auto"
    """Grey or colour; `auto`: colour when a tenth of the images have any."""
    intensity: Literal["auto", "full_range", "percentile", "window"] = "auto"
    """How more than 8 bits become 8: the whole range, from the 0.5th to the 99.5th percentile, or as DICOM shows it."""
    crop_border: Annotated[float, Field(ge=0.0, le=0.3)] = 0.0
    """Share of width and height cut from each side before resizing: a defence against border shortcuts."""
