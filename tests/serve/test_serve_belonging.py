"""A site that is started with another database loses none of its images."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.belonging import refuse_strange_database
from secondread.serve.reads.models import StoredImage
from secondread.serve.reads.places import image_path
from secondread.serve.reads.sweeping import AGE


def kept_images(count: int, age: float = 2 * AGE) -> list[uuid.UUID]:
    """Identifiers of files that have lain in the folder for so many seconds."""
    names, then = [uuid.uuid4() for _ in range(count)], time.time() - age
    for name in names:
        image_path(name).parent.mkdir(exist_ok=True)
        image_path(name).touch()
        os.utime(image_path(name), (then, then))
    return names


def test_a_database_that_knows_no_image_of_the_folder_is_refused(db: None, bundle_path: Path) -> None:
    kept_images(settings.LIMITS.files + 1)
    with pytest.raises(CommandError, match=r"knows none of the 51 images .* DATABASE_URL"):
        call_command("prepare", str(bundle_path))
    assert not RegisteredBundle.objects.exists()


def test_what_killed_uploads_leave_is_no_other_database(db: None, alice: User) -> None:
    kept_images(settings.LIMITS.files)
    refuse_strange_database()
    kept_images(1, age=0)  # of an upload that is coming in
    refuse_strange_database()
    known, *_ = kept_images(100)
    StoredImage.objects.create(id=known, owner=alice, content_id="0" * 64)
    refuse_strange_database()


def test_a_worker_with_another_database_ends_and_sweeps_nothing(tmp_path: Path) -> None:
    names = kept_images(settings.LIMITS.files + 1)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SECONDREAD", "DATABASE"))}
    environment |= {
        "DATABASE_URL": f"sqlite:///{tmp_path}/another.sqlite3", "SECONDREAD_FOLDER": str(settings.FOLDER.root),
        "DJANGO_SETTINGS_MODULE": "secondread.serve.settings", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    python = [sys.executable, "-m"]
    subprocess.run([*python, "secondread.serve.manage", "migrate", "-v", "0"], env=environment, check=True)
    ended = subprocess.run([*python, "secondread.serve.reads.worker", "--name", "astray"], env=environment,
                           capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert (ended.returncode, "knows none of the 51 images" in ended.stderr) == (2, True)
    assert "Traceback" not in ended.stderr
    assert all(image_path(name).exists() for name in names)
