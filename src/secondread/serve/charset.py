"""The database must hold every letter that people write."""

from __future__ import annotations

from django.db import connection

from secondread.core.errors import WrongRequest


def refuse_narrow_letters() -> None:
    """MariaDB and MySQL compare such text with an error, which then looks like a database that is away."""
    if connection.vendor != "mysql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@character_set_database, DATABASE()")
        letters, name = cursor.fetchone()
    if letters != "utf8mb4":
        raise WrongRequest(
            f"the database {name} has the character set {letters}, which does not hold all letters; make it anew with "
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4"
        )
