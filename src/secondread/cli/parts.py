"""What may stand in a study file: `secondread keys` and, of its plug-ins, `secondread parts`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command()(parts)
    app.command()(keys)


def parts(
    kind: Annotated[str | None, typer.Argument(help="models, losses, balance, augment, …; all when not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """Every part: its name, options, defaults and what it does."""
    from secondread.core import registry

    found = [part for name in ([kind] if kind else registry.kinds()) for part in registry.parts(name).values()]
    if as_json:
        listed = [
            {
                "kind": p.kind,
                "name": p.name,
                "options": {o.key: o.default_shown for o in p.options.values()},
                "summary": p.summary,
            }
            for p in found
        ]
        typer.echo(json.dumps(listed, indent=1))
    elif sys.stdout.isatty():
        _as_table(found)
    else:
        for p in found:
            options = ", ".join(option.describe() for option in p.options.values())
            typer.echo(f"{p.kind}\t{p.name}\t{options}\t{p.summary}")


def keys(
    section: Annotated[str, typer.Argument(help="train, prepare.split, …; all when not given.")] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/study.md has it.")] = False,
    schema: Annotated[bool, typer.Option("--json-schema", help="For editors that complete YAML.")] = False,
) -> None:
    """Every key of the study file: what it takes, its default and what it does."""
    from secondread.core.errors import WrongRequest
    from secondread.core.spec.keys import as_markdown, json_schema
    from secondread.core.spec.keys import keys as listed

    if schema and (section or markdown):
        raise WrongRequest("--json-schema is of the whole study file and stands alone")
    if schema:
        typer.echo(json.dumps(json_schema(), indent=1))
        return
    found = [key for key in listed() if f"{key.path}.".startswith(f"{section}.") or not section]
    if not found:
        raise WrongRequest(f"the study file has no key {section!r}; `secondread keys` lists them")
    if markdown:
        typer.echo(as_markdown(found))
    elif sys.stdout.isatty():
        _keys_as_table(found)
    else:
        for key in found:
            typer.echo("\t".join((key.path, key.takes, key.default, key.does)))


def _keys_as_table(found) -> None:  # type: ignore[no-untyped-def]
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("key", "takes", "default", "what it does", box=None)
    for key in found:
        table.add_row(Text(key.path, style="bold"), Text(key.takes), Text(key.default), Text(key.does))
    Console().print(table)


def _as_table(found) -> None:  # type: ignore[no-untyped-def]
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "name", "options", "what it does", box=None)
    for p in found:  # as Text: in plain strings rich takes the [str] of list[str] for a style and leaves it out
        options = Text("\n".join(option.describe() for option in p.options.values()))
        table.add_row(p.kind, Text(p.name), options, Text(p.summary))
    Console().print(table)
