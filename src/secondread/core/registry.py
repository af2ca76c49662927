"""Parts: named plug-ins whose signature is their schema.

A part is one decorated function. What comes before the `*` is given by the pipeline, what comes after it (typed, with
defaults) is what the study file may set:

    @part("losses", "focal")
    def focal(task: LossTask, /, *, gamma: float = 2.0, alpha: float | None = None) -> Loss: ...
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from secondread.core.errors import WrongRequest
from secondread.core.limits import described
from secondread.core.spec import PartRef

# Where the parts of each kind are registered; imported by name on first use, so that naming a kind costs nothing.
HOMES: dict[str, str] = {
    "sources": "secondread.gather.sources",
    "splits": "secondread.prepare.splits",
    "gans": "secondread.synthesize.gans",
    "balance": "secondread.balance.policies",
    "models": "secondread.models.catalogue",
    "regimes": "secondread.train.regimes",
    "losses": "secondread.train.losses",
    "augment": "secondread.images.augment",
    "optimisers": "secondread.learning.optimisers",
    "schedules": "secondread.learning.schedules",
    "metrics": "secondread.metrics.catalogue",
}

FINITE = ConfigDict(allow_inf_nan=False)

Build = TypeVar("Build", bound=Callable[..., Any])


@dataclass(frozen=True)
class Option:
    name: str
    default: Any
    annotation: Any

    @property
    def key(self) -> str:
        """What the study file calls it: `from` and `as` are words of Python and end in an underscore there."""
        return self.name.rstrip("_")

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def default_shown(self) -> str:
        """Empty for an option that must be given."""
        return "" if self.required else repr(self.default)

    def describe(self) -> str:
        default = f" = {self.default_shown}" if self.default_shown else ""
        return f"{self.key}: {described(self.annotation)}{default}"


@dataclass(frozen=True)
class Part:
    """A registered plug-in.

    A name that ends in `/*` answers to every name with that beginning; its function gets what follows the slash (the
    variant) as its first argument.
    """

    kind: str
    name: str
    build: Callable[..., Any] = field(repr=False)
    variant: str | None = None
    refuses: Callable[..., None] | None = field(default=None, repr=False)
    """Given the checked options, raises `WrongRequest` for those that cannot go together."""

    def call(self, *given: Any, **options: Any) -> Any:
        """Build the part: `given` by the pipeline, `options` as `resolve` checked them."""
        first = () if self.variant is None else (self.variant,)
        return self.build(*first, *given, **options)

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.build) or "").split("\n", 1)[0]

    @property
    def options(self) -> dict[str, Option]:
        keywords = {
            name: parameter
            for name, parameter in inspect.signature(self.build).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        written = types.SimpleNamespace(__annotations__={name: p.annotation for name, p in keywords.items()})
        hints = typing.get_type_hints(written, getattr(self.build, "__globals__", {}), include_extras=True)
        return {name: Option(name, p.default, hints[name]) for name, p in keywords.items()}

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options with their types converted; raises `WrongRequest` naming the valid ones."""
        valid = {option.key: option for option in self.options.values()}
        checked = {}
        for key, value in options.items():
            if key not in valid:
                raise WrongRequest(
                    f"{self.kind}: {self.name} has no option {key!r}{_did_you_mean(key, valid)}. "
                    + ("Valid: " + "; ".join(o.describe() for o in valid.values()) if valid else "It has none.")
                )
            option = valid[key]
            try:
                checked[option.name] = TypeAdapter(option.annotation, config=FINITE).validate_python(value)
            except ValidationError as error:
                told = error.errors()[0]["msg"]
                raise WrongRequest(
                    f"{self.kind}: {self.name}: option {key} = {value!r}: {told} ({option.describe()})"
                ) from error
        return checked


_PARTS: dict[str, dict[str, Part]] = {kind: {} for kind in HOMES}


def part(kind: str, name: str, refuses: Callable[..., None] | None = None) -> Callable[[Build], Build]:
    """Register the decorated function as part `name` of `kind`. A name taken twice is an error.

    `refuses`: called with the options that the study file sets; raises `WrongRequest` when they contradict each other.
    """

    def register(build: Build) -> Build:
        if name in _PARTS[kind] and _PARTS[kind][name].build.__qualname__ != build.__qualname__:
            raise ValueError(f"{kind}: the name {name!r} is taken")
        _PARTS[kind][name] = Part(kind, name, build, refuses=refuses)
        return build

    return register


def kinds() -> list[str]:
    return list(HOMES)


def parts(kind: str) -> dict[str, Part]:
    """Every part of a kind, in order of registration."""
    if kind not in HOMES:
        raise WrongRequest(f"there is no kind of part {kind!r}{_did_you_mean(kind, HOMES)}. Valid: {', '.join(HOMES)}")
    importlib.import_module(HOMES[kind])
    return dict(_PARTS[kind])


def find(kind: str, name: str) -> Part:
    """The part of that name; raises `WrongRequest` that lists the valid names."""
    known = parts(kind)
    if name in known:
        return known[name]
    for pattern, found in known.items():
        if pattern.endswith("/*") and name.startswith(pattern[:-1]):
            return replace(found, name=name, variant=name.removeprefix(pattern[:-1]))
    raise WrongRequest(f"{kind}: no part {name!r}{_did_you_mean(name, known)}. Valid: {', '.join(known)}")


def resolve(kind: str, ref: PartRef) -> Callable[..., Any]:
    """The part that a study file names, with its checked options bound; call it with what the pipeline gives.

    Raises `WrongRequest` for options that are unknown, unfit, contradictory or lacking.
    """
    found = find(kind, ref.name)
    written = dict(ref.options)
    if "as_" in found.options and ref.label != ref.name:
        written["as"] = ref.label
    checked = found.check(written)
    if lacking := [option for option in found.options.values() if option.required and option.name not in checked]:
        raise WrongRequest(f"{kind}: {found.name} needs {', '.join(option.describe() for option in lacking)}")
    if found.refuses is not None:
        found.refuses(**checked)
    return functools.partial(found.call, **checked)


def _did_you_mean(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
