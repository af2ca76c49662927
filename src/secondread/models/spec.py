"""What the pipeline asks of a network. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from secondread.core.errors import WrongRequest
from secondread.core.spec import Head
from secondread.core.tables import Task


@dataclass(frozen=True)
class ModelSpec:
    """The study's side of a network: how many outputs, for which images."""

    classes: int
    """Number of logits: one per class, two for a binary task."""
    channels: int = 3
    """Channels of the images as the cache holds them: 1 or 3."""
    size: int = 224
    """Height and width of the images."""
    task: Task = "multiclass"
    head: Head = field(default_factory=Head)
    pretrained: bool = False
    """Whether weights will be loaded over the fresh ones."""

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise WrongRequest(f"images of {self.channels} channels: a network takes 1 (grey) or 3 (colour)")
        if self.classes < 1:
            raise WrongRequest("a network needs at least one class")
