"""A database that a newer version brought up to date is not touched by an older one, which does not know its tables."""

from __future__ import annotations

from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from secondread.core.errors import WrongRequest


def refuse_newer_database() -> None:
    """Django itself passes over migrations that it does not know, and the site fails at what they changed."""
    ours = {app.label for app in apps.get_app_configs() if app.name.startswith("secondread.")}
    loader = MigrationLoader(connection, ignore_no_migrations=True)
    unknown = sorted(one for one in set(loader.applied_migrations) - set(loader.disk_migrations) if one[0] in ours)
    if unknown:
        raise WrongRequest(
            f"the database was brought up to date by a newer version of secondread ({'.'.join(unknown[-1])}): install "
            "that version again, or put back the copies of database and data folder from before it"
        )
