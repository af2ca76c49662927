"""Does each bundle meet what it was proven on? `python -m secondread.serve.manage watch [--days 30] [--json]`."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.operate.told import told
from secondread.serve.operate.watching import watch

ALARM = 3


class Command(BaseCommand):
    help = (
        f"Says of each bundle on offer whether what it meets is like what it was proven on; ends with {ALARM} if not."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="how far back; 30 when not given")
        parser.add_argument("--json", action="store_true", help="one JSON object per bundle")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= 3650:
            raise CommandError("--days: 1 to 3650")
        all_told = [told(watch(bundle, options["days"])) for bundle in RegisteredBundle.objects.filter(active=True)]
        for one in all_told:
            spoken = f"{one.watched.bundle.name}: {one.headline} {one.advice}".rstrip()
            self.stdout.write(json.dumps(one.to_json()) if options["json"] else spoken)
        if any(one.watched.alarms for one in all_told):
            raise SystemExit(ALARM)
