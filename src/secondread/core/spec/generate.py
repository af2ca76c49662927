"""The section on generated images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secondread.core.limits import Count, Seeds
from secondread.core.spec.sections import PartRef, Section

Extractor = Annotated[str, Field(pattern=r"^(task|inception|timm/.+)$")]


class Synthesize(Section):
    gans: list[PartRef] = []
    """Parts of kind `gans`; none, no images are generated."""
    for_classes: list[str] | Literal["minority", "all"] = Field("minority", alias="for")
    """Classes to draw images of; `minority`: all but the largest."""
    size: Literal[32, 64, 128] = 64
    """Side of the images drawn, in pixels."""
    steps: Count = 20_000
    """Generator updates."""
    per: Literal["class", "conditional"] = "class"
    """A GAN for each class, or one that is told the class."""
    batch: Count = 64
    """Images a step, of each kind."""
    seeds: Seeds = [0]
    """Each GAN is trained once with each of them."""
    samples: Annotated[int, Field(ge=4)] | Literal["auto"] = "auto"  # fewer have no halves to be compared
    """Images per class, GAN and seed; `auto`: what the arms that use them need, at least 512."""
    sheet_every: Count = 500
    """Updates between two sheets of samples, which are judged and written."""
    keep: Literal["best", "last"] = "best"
    """Which generator draws the samples: of the varied and sharp sheets that with the least KID, or the last."""
    patience: Count | None = None
    """End a GAN after so many sheets in a row none of which is better to keep."""
    extractors: list[Extractor] = ["task"]
    """Features for FID and KID: `task` (trained on this fold's training rows), `inception`, or `timm/<name>`."""
    extractor_weights: dict[str, str] = {}
    """By extractor, a file with its weights."""
    before_split: list[str] = []
    """GANs (by name) trained on all rows, test rows too, as some published protocols do (prepare.allow_leakage)."""
    force_copies: bool = False
    """Use generated images although they were flagged as copies of training images."""
