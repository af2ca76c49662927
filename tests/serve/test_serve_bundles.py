"""Models that are exchanged, downloaded and withdrawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.test import Client

from secondread.models.bundle import Bundle
from secondread.models.bundle.container import write_zip
from secondread.serve.audit.models import AuditEvent
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.bundles.register import register


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_what_is_downloaded_is_the_model_of_the_page(
    kind: str, as_alice: Client, bundle_path: Path, other_bundle_path: Path, tmp_path: Path
) -> None:
    """A model that is trained again is exported to where the one before lay."""
    place = tmp_path / "exported"

    def export(model: Path) -> None:
        if kind == "folder":
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(model, place)
        else:
            write_zip(model, place)

    export(bundle_path)
    bundle = register([place])[0]
    RegisteredBundle.objects.update(downloads="everyone")
    packed = tmp_path / "got.zip"
    packed.write_bytes(b"".join(as_alice.get(f"/models/{bundle.sha256}/download")))
    assert Bundle.open(packed, threads=1).sha256 == bundle.sha256
    export(other_bundle_path)
    assert as_alice.get(f"/models/{bundle.sha256}/download").status_code == 404
    assert AuditEvent.objects.filter(action="download").count() == 1
