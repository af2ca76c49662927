"""Entering bundles into the database when the site starts."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction

from secondread.models.bundle import Bundle
from secondread.serve.bundles.models import MOST_LETTERS, RegisteredBundle


def register(paths: list[Path]) -> list[RegisteredBundle]:
    """Check and enter the bundles, in this order; those not named, and those an operator withdrew, are not offered.

    Raises `WrongRequest` with the reason for what is not a whole bundle, `Absent` when the engine of the settings is
    not installed; then nothing is changed.
    """
    opened = [(path.absolute(), Bundle.open(path, 1, settings.ENGINE)) for path in paths]
    with transaction.atomic():
        RegisteredBundle.objects.exclude(sha256__in=[bundle.sha256 for _, bundle in opened]).update(active=False)
        withdrawn = set(RegisteredBundle.objects.filter(withdrawn=True).values_list("sha256", flat=True))
        registered = []
        for position, (path, bundle) in enumerate(opened):
            values = {"name": bundle.card.name[:MOST_LETTERS], "path": str(path), "card": bundle.card.to_json(),
                      "active": bundle.sha256 not in withdrawn, "position": position}  # fmt: skip
            registered.append(RegisteredBundle.objects.update_or_create(sha256=bundle.sha256, defaults=values)[0])
    return registered
