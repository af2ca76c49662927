"""Every key of the study file with what it takes, its default and what it does, read off the sections themselves."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from secondread.core.limits import described
from secondread.core.spec.sections import PartRef, Section, as_plain
from secondread.core.spec.study import Study


@dataclass(frozen=True)
class Key:
    """`path` as in train.engine.precision; NAME stands for names that the study gives."""

    path: str
    takes: str
    default: str
    """As YAML; empty for a key that must be given."""
    does: str


def keys(section: type[Section] = Study, before: str = "") -> Iterator[Key]:
    """The keys of a section and of those within it, in the order of the file."""
    hints, said = get_type_hints(section, include_extras=True), docstrings(section)
    for name, field in section.model_fields.items():
        path = before + (field.alias or name)
        default = "" if field.is_required() else _written(field.get_default(call_default_factory=True))
        inner, between = _within(hints[name])
        yield Key(path, _takes(hints[name]), default if inner is None else "", said.get(name, ""))
        if inner is not None:
            yield from keys(inner, f"{path}{between}.")


def as_markdown(found: Sequence[Key]) -> str:
    """A table of the keys outside all sections, then one for each section."""
    sections = {name: list(part) for name, part in itertools.groupby(found, lambda key: key.path.partition(".")[0])}
    lines = _table([part[0] for part in sections.values() if len(part) == 1])
    for name, (head, *within) in sections.items():
        if within:
            lines += ["", f"## {name}", head.does, "", *_table(within)]
    return "\n".join(lines)


def json_schema() -> dict[str, Any]:
    """The study file as a JSON Schema, for editors that complete and check YAML by one."""
    schema = Study.model_json_schema(by_alias=True)
    kinds = {kind.__name__: kind for kind in _sections(Study)}
    for name, made in {**schema["$defs"], "Study": schema}.items():
        for field, text in docstrings(kinds[name]).items() if name in kinds else ():
            made["properties"][kinds[name].model_fields[field].alias or field]["description"] = text
    return schema


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for hint in get_type_hints(section, include_extras=True).values():
        if (inner := _within(hint)[0]) is not None:
            yield from _sections(inner)


def _table(found: Sequence[Key]) -> list[str]:
    rows = [
        (f"`{key.path}`", key.takes.replace("|", "\\|"), f"`{key.default}`" if key.default else "", key.does)
        for key in found
    ]
    return ["| key | takes | default | |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def docstrings(section: type[Section]) -> dict[str, str]:
    """The line under each field of a section, by the field's name."""
    body: Any = ast.parse(textwrap.dedent(inspect.getsource(section))).body[0]
    found = {}
    for line, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(line.target)] = inspect.cleandoc(str(below.value.value)).replace("\n", " ")
    return found


def _within(annotation: Any) -> tuple[type[Section] | None, str]:
    """The section that a key holds, and how its keys are reached: directly, by name, or one after the other."""
    inner = [kind for kind in get_args(annotation) if _is_section(kind)]
    if _is_section(annotation):
        return annotation, ""
    if inner and get_origin(annotation) is list:
        return inner[0], "[]"
    return (inner[0], ".NAME" if get_origin(annotation) is dict else "") if inner else (None, "")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section) and kind is not PartRef


def _takes(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return described(annotation) if inner[0] in (int, float) else _takes(inner[0])
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return " | ".join(_takes(kind) for kind in inner)
    if origin is list:
        return f"list of {_takes(inner[0])}"
    if origin is dict:
        return f"name: {_takes(inner[1])}"
    if annotation is PartRef or _is_section(annotation):
        return "part" if annotation is PartRef else "section"
    return {types.NoneType: "null", str: "text", bool: "true | false", Any: "any"}.get(
        annotation, described(annotation)
    )


def _written(value: Any) -> str:
    text = yaml.safe_dump(as_plain(value), default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
