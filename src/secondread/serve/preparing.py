"""What is done before the site, or a part of it, starts: the database brought up to date, the bundles entered."""

from __future__ import annotations

from pathlib import Path

from django.core.management import call_command

from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.bundles.register import register
from secondread.serve.charset import refuse_narrow_letters
from secondread.serve.newer import refuse_newer_database
from secondread.serve.reads.belonging import refuse_strange_database


def prepared(bundles: list[Path]) -> list[RegisteredBundle]:
    """The bundles as entered. Raises `WrongRequest` for a database that this site must not use and for what is no
    bundle, `Absent` when the engine of the settings is not installed."""
    refuse_narrow_letters()
    refuse_newer_database()
    call_command("migrate", verbosity=0, interactive=False)
    refuse_strange_database()
    call_command("createcachetable", verbosity=0)
    return register(bundles)
