"""Make the database ready and enter the bundles on offer: `python -m secondread.serve.manage prepare BUNDLE…`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from secondread.core.errors import SecondreadError
from secondread.serve.preparing import prepared

WITHDRAWN = "  (not offered: an operator withdrew it)"


class Command(BaseCommand):
    help = "Brings the database up to date and enters the bundles; those not named any more are no longer offered."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bundles", nargs="+", type=Path, help="bundle folders or zips")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            registered = prepared(options["bundles"])
        except SecondreadError as error:
            raise CommandError(str(error)) from error
        for row in registered:
            self.stdout.write(f"{row.short}  {row.name}{'' if row.active else WITHDRAWN}")
