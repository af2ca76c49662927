"""Models that are exchanged, downloaded and withdrawn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from serve_tiny_bundle import tiny_bundle

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


def test_two_versions_of_one_model_are_told_apart(
    as_alice: Client, bundle_path: Path, other_bundle_path: Path, tmp_path: Path, submit: Any
) -> None:
    """Both are offered while people go over to the new one: a click must not be a guess."""
    old, other, new = register([bundle_path, other_bundle_path, tiny_bundle(tmp_path / "new", seed=1)])
    assert old.name == new.name != other.name
    reads = {bundle.sha256: submit(as_alice, bundle) for bundle in (old, other, new)}
    for page in ("/read/", "/reads/"):
        told = as_alice.get(page).content.decode()
        assert all(f"{bundle.name} ({bundle.short})" in told for bundle in (old, new))
        assert other.name in told
        assert f"{other.name} (" not in told
    told = as_alice.get(f"/reads/{reads[old.sha256].id}/").content.decode()
    assert told.count(f"{new.name} ({new.short})") == 2  # to read with, and what it has read


def test_a_longer_name_than_there_is_room_for_is_cut(db: None, tmp_path: Path) -> None:
    """PostgreSQL and MariaDB refuse what SQLite takes."""
    (row,) = register([tiny_bundle(tmp_path / "wordy", name=f"{'study' * 60}/arm/model")])
    assert (len(row.name), len(row.card["name"])) == (200, 310)
