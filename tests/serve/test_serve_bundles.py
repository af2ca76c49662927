"""Models that are exchanged, downloaded and withdrawn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
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


def test_a_model_that_an_operator_withdrew_stays_withdrawn(
    as_operator: Client, bundle: RegisteredBundle, bundle_path: Path, other_bundle_path: Path, capsys: Any
) -> None:
    place = f"/operate/bundles/{bundle.sha256}"
    as_operator.post(place, {"downloads": "nobody"})
    call_command("prepare", str(bundle_path))  # the site is started again
    assert "an operator withdrew it" in capsys.readouterr().out
    bundle.refresh_from_db()
    assert not bundle.active
    as_operator.post(place, {"downloads": "nobody", "active": "on"})
    register([other_bundle_path])  # not named is not withdrawn
    bundle.refresh_from_db()
    assert not bundle.active
    register([bundle_path, other_bundle_path])
    bundle.refresh_from_db()
    assert bundle.active
