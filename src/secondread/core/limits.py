"""Limits of options, as the words that signatures and the study file use."""

from __future__ import annotations

import re
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, Field

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
BelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]
AboveZero = Annotated[float, Field(gt=0.0, le=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
"""Of something that is cut in two: neither nothing nor all."""


def _distinct(given: list[Any]) -> list[Any]:
    if len({str(item) for item in given}) < len(given):
        raise ValueError("an entry stands twice")
    return given


def _weights(given: str) -> str:
    if ":" in given and not re.match("trial:.+/[^/]+/[^/]+/?$", given):
        raise ValueError("weights are none, imagenet, trial:STUDY/ARM/MODEL or a file")
    return given


Seeds = Annotated[list[Whole], Field(min_length=1), AfterValidator(_distinct)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
Weights = Annotated[str, AfterValidator(_weights)]


def described(annotation: Any) -> str:
    """The type as messages show it, limits as an interval: `float in (0, 1] | None`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return f"{inner[0].__name__} in {_interval(inner[1].metadata)}"
    if origin in (Union, UnionType):
        return " | ".join(described(kind) for kind in inner)
    if origin in (list, tuple):
        return f"{origin.__name__}[{', '.join(described(kind) for kind in inner)}]"
    if isinstance(annotation, type):
        return "None" if annotation is NoneType else annotation.__name__
    return str(annotation).replace("typing.", "")


def _interval(metadata: list[Any]) -> str:
    limits = {name: getattr(bound, name) for bound in metadata for name in type(bound).__slots__}
    low = f"({limits['gt']:g}" if "gt" in limits else f"[{limits['ge']:g}"
    high = f"{limits['lt']:g})" if "lt" in limits else f"{limits['le']:g}]" if "le" in limits else "∞)"
    return f"{low}, {high}"
