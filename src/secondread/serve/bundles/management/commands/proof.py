"""Show readers what a proof found: `python -m secondread.serve.manage proof FOLDER [--name NAME]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from secondread.core.errors import SecondreadError
from secondread.serve.audit.record import record
from secondread.serve.bundles.models import BundleProof
from secondread.serve.bundles.proofs import enter


class Command(BaseCommand):
    help = "Enters what secondread prove found on images of this place; one that does not hold warns at every reading."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", nargs="?", type=Path, help="the folder that secondread prove wrote")
        parser.add_argument("--name", default="", help="what the images are called here")
        parser.add_argument("--remove", metavar="NAME", help="forget the proofs of that name")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["folder"]) == bool(options["remove"]):
            raise CommandError("name the folder of a proof, or --remove and a name")
        if options["remove"]:
            self._forget(options["remove"])
            return
        try:
            proof = enter(options["folder"], options["name"])
        except SecondreadError as error:
            raise CommandError(str(error)) from error
        record(None, "operator: by command line", f"bundle {proof.bundle.short}", f"proof entered: {proof.outcome}")
        self.stdout.write(f"{proof.bundle.name} on {proof.name}: {proof.outcome}")

    def _forget(self, name: str) -> None:
        count, _ = BundleProof.objects.filter(name=name).delete()
        if not count:
            known = ", ".join(BundleProof.objects.values_list("name", flat=True)) or "there is none"
            raise CommandError(f"no proof is called {name!r}: {known}")
        record(None, "operator: by command line", "", f"proofs removed: {count}")
        self.stdout.write(f"{count} removed")
