"""A site in a temporary folder: settings, a tiny bundle, Alice who owns things and Bob who must not see them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(tempfile.mkdtemp(prefix="secondread-tests-"))
os.environ["DJANGO_SETTINGS_MODULE"] = "secondread.serve.settings"
os.environ["SECONDREAD_FOLDER"] = str(FOLDER)
os.environ.setdefault("SECONDREAD_LOG", "CRITICAL")

import django  # noqa: E402

django.setup()
del os.environ["DJANGO_SETTINGS_MODULE"]  # else parallel workers would set Django up on this process's folder

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from secondread.serve.accounts.models import User  # noqa: E402
from secondread.serve.accounts.tokens import new_token  # noqa: E402
from secondread.serve.bundles.models import RegisteredBundle  # noqa: E402
from secondread.serve.bundles.register import register  # noqa: E402
from secondread.serve.bundles.shelf import Shelf  # noqa: E402

if settings.FOLDER.root != FOLDER:  # tests empty the folder they work in
    raise RuntimeError("Django was set up before these tests: unset DJANGO_SETTINGS_MODULE")

if connection.vendor == "sqlite":  # a file, not memory: threads then have connections of their own
    connection.settings_dict["TEST"]["NAME"] = str(FOLDER / "tests.sqlite3")

PASSWORD = "a long enough Pass 1"


def pytest_sessionfinish() -> None:
    from secondread.serve.reads.jail import JAIL

    JAIL.close()
    shutil.rmtree(FOLDER, ignore_errors=True)


def load(name: str, path: Path) -> ModuleType:
    """A module of the tests by its file: test folders are no packages."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


tiny = load("serve_tiny_bundle", Path(__file__).parents[1] / "models" / "tiny_bundle.py")
pictures = load("serve_pictures", Path(__file__).with_name("pictures.py"))


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny.tiny_bundle(tmp_path_factory.mktemp("bundle") / "one"))


@pytest.fixture(scope="session")
def other_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "two"
    return Path(tiny.tiny_bundle(folder, task="multilabel", name="tiny/other/tiny_cnn", size=48, seed=5, gate=False))


@pytest.fixture(scope="session")
def wordy_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names longer than anything has room for, with what HTML takes for its own."""
    classes = ["normal", "Ground_glass_opacity_with_consolidation_<b>&_'organising'", "正常" * 12]
    name = "a_study_of_a_very_long_name/as_the_data_are/efficientnet_b0_with_a_suffix"
    folder = tmp_path_factory.mktemp("bundle") / "wordy"
    return Path(tiny.tiny_bundle(folder, task="multiclass", classes=classes, name=name, seed=3))


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def bundle(db: None, bundle_path: Path) -> RegisteredBundle:
    return register([bundle_path])[0]


@pytest.fixture
def bundles(db: None, bundle_path: Path, other_bundle_path: Path) -> list[RegisteredBundle]:
    return register([bundle_path, other_bundle_path])


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password=PASSWORD)


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password=PASSWORD)


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_user("olga", password=PASSWORD, is_staff=True)


@pytest.fixture
def as_alice(alice: User) -> Client:
    return logged_in(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return logged_in(bob)


@pytest.fixture
def as_operator(operator: User) -> Client:
    return logged_in(operator)


@pytest.fixture
def token(alice: User) -> dict[str, str]:
    """Headers of a program that acts for Alice."""
    return {"Authorization": f"Bearer {new_token(alice, 'tests')[1]}"}


@pytest.fixture(scope="session")
def _shelf() -> dict[str, Shelf]:
    return {}


@pytest.fixture
def work(_shelf: dict[str, Shelf]) -> Callable[[], int]:
    """Do what workers do, in this process, until nothing waits; gives how many reads were done."""

    def read_all(name: str = "tests") -> int:
        from secondread.serve.reads.queue import claim, finish
        from secondread.serve.reads.reading import read_image

        shelf = _shelf.setdefault("one", Shelf(1))
        shelf.state()
        done = 0
        while (read := claim(name, shelf.ready())) is not None:
            done += finish(read, read_image(shelf.bundle(read.bundle_id), read))
        return done

    return read_all


@pytest.fixture
def submit(work: Callable[[], int]) -> Callable[..., Any]:
    """Send a picture as a browser does, have it read, and give the read."""
    from secondread.serve.reads.models import Read

    def send(client: Client, bundle: RegisteredBundle, content: bytes | None = None, name: str = "x.png") -> Read:
        from django.core.files.uploadedfile import SimpleUploadedFile

        image = SimpleUploadedFile(name, pictures.png(pictures.disc()) if content is None else content)
        with warnings.catch_warnings():
            answer = client.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
        assert answer.status_code == 200, answer.content
        work()
        return Read.objects.select_related("image", "bundle").get(id=answer.json()["reads"][0]["id"])

    return send


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """In these tests nobody else works while a request waits."""
    from secondread.serve.reads import awaiting

    monkeypatch.setattr(awaiting, "await_end", lambda *_: None)
    for module in ("reads.views_upload", "reads.views_read", "api.submitting", "api.routes"):
        monkeypatch.setattr(f"secondread.serve.{module}.await_end", lambda *_: None)


@pytest.fixture(autouse=True)
def _empty_folders() -> Iterator[None]:
    yield
    for folder in (settings.FOLDER.images, settings.FOLDER.incoming):
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def random_grey(seed: int, size: int = 64) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (size, size)).astype(np.uint8)


@pytest.fixture
def unguarded(transactional_db: None) -> Iterator[None]:
    """Tests that empty tables by deleting need the audit log to allow it."""
    from importlib import import_module

    from django.apps import apps

    steps = ("0002_written_once", "0004_nor_replaced")
    guards = [import_module(f"secondread.serve.audit.migrations.{step}") for step in steps]
    with connection.schema_editor() as editor:
        for guard in reversed(guards):
            guard.unguard(apps, editor)
    yield
    from django.core.management import call_command

    call_command("flush", verbosity=0, interactive=False)
    with connection.schema_editor() as editor:
        for guard in guards:
            guard.guard(apps, editor)


class RunningSite:
    """`secondread serve` in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        return self.ask(urllib.request.Request(self.address + path, headers=headers or {}))

    def ask(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def await_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if self.get("/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("the site is not ready")


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


@contextmanager
def site_in(folder: Path, *bundles: Path) -> Iterator[RunningSite]:
    """A ready site with its data in `folder`; ended at the end."""
    port, paths = free_port(), [str(path) for path in bundles]
    start = (
        "from pathlib import Path; from secondread.serve.run import serve; "
        f"serve([*map(Path, {paths!r})], port={port}, data_folder=Path({str(folder)!r}), workers=1)"
    )
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("SECONDREAD", "DJANGO", "DATABASE"))
    }
    environment = clean | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "SECONDREAD_LOG": "ERROR"}
    process = subprocess.Popen([sys.executable, "-c", start], env=environment, stdout=subprocess.DEVNULL)
    site = RunningSite(process, port, folder)
    try:
        site.await_ready()
        yield site
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def running_site(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path, wordy_bundle_path: Path
) -> Iterator[RunningSite]:
    with site_in(tmp_path_factory.mktemp("site"), bundle_path, wordy_bundle_path) as site:
        yield site


@pytest.fixture
def another_site(tmp_path: Path, bundle_path: Path) -> Iterator[RunningSite]:
    """One that a test may end."""
    with site_in(tmp_path / "data", bundle_path) as site:
        yield site
