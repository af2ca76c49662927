"""Django's own commands: `python -m secondread.serve.manage check --deploy`, `… operator NAME`, `… migrate`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command; a database or a setting that will not do is told in a line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secondread.serve.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"secondread: {error}")
    except DatabaseError as error:
        reason = " ".join(str(error).split())
        sys.exit(f"secondread: the database is away or was not made ready ({reason}): manage prepare BUNDLE… does that")


if __name__ == "__main__":
    main()
