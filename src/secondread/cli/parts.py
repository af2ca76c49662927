"""`secondread parts`: every plug-in with its options."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command()(parts)


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
                "options": {o.name: repr(o.default) for o in p.options.values()},
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


def _as_table(found) -> None:  # type: ignore[no-untyped-def]
    from rich.console import Console
    from rich.table import Table

    table = Table("kind", "name", "options", "what it does", box=None)
    for p in found:
        table.add_row(p.kind, p.name, "\n".join(option.describe() for option in p.options.values()), p.summary)
    Console().print(table)
