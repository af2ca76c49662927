"""Safe by default, refused when senseless, clean by Django's own checks; the secret, the folder, the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.http.request import split_domain_port, validate_host
from django.test import Client

from secondread.core.errors import WrongRequest
from secondread.serve.accounts.lockout import spend_check
from secondread.serve.accounts.models import User
from secondread.serve.charset import refuse_narrow_letters
from secondread.serve.folder import DataFolder
from secondread.serve.newer import refuse_newer_database
from secondread.serve.run import _settle


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    told = {key: value for key, value in os.environ.items() if not key.startswith(("SECONDREAD", "DJANGO", "DATABASE"))}
    return subprocess.run(
        [sys.executable, "-m", "secondread.serve.manage", *arguments],
        env=told | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_djangos_deployment_checks_find_nothing(tmp_path: Path) -> None:
    behind_tls = {"SECONDREAD_HTTPS": "true", "SECONDREAD_HOSTS": "reads.example", "SECONDREAD_FOLDER": str(tmp_path)}
    told = manage("check", "--deploy", "--fail-level", "WARNING", **behind_tls)
    assert (told.returncode, "no issues" in told.stdout) == (0, True), told.stdout + told.stderr


def test_no_migration_is_missing(tmp_path: Path) -> None:
    told = manage("makemigrations", "--check", "--dry-run", SECONDREAD_FOLDER=str(tmp_path))
    assert told.returncode == 0, told.stdout


def test_preparing_enters_bundles_or_says_what_is_wrong_with_them(tmp_path: Path, bundle_path: Path) -> None:
    for _ in range(2):
        told = manage("prepare", str(bundle_path), SECONDREAD_FOLDER=str(tmp_path))
        assert (told.returncode, "tiny/plain/tiny_cnn" in told.stdout) == (0, True), told.stderr
    told = manage("prepare", str(tmp_path), SECONDREAD_FOLDER=str(tmp_path))
    assert told.returncode == 1
    assert told.stderr.startswith("CommandError: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("SECONDREAD_HTTPS", "perhaps"), ("SECONDREAD_SIGNUP", "ajar"), ("SECONDREAD_LIMIT_FILES", "0"),
     ("SECONDREAD_LIMIT_FILE_BYTES", "many"), ("SECONDREAD_PROXIES", "x"), ("SECONDREAD_PROXIES", "-1"),
     ("SECONDREAD_IDLE_MINUTES", "0"),
     ("SECONDREAD_LOG", "loud"), ("SECONDREAD_PACS_URL", "orthanc"), ("DATABASE_URL", "nonsense"),
     ("DATABASE_URL", "foo://user:word@host/name")],
)  # fmt: skip
def test_senseless_settings_stop_the_start(name: str, value: str, tmp_path: Path) -> None:
    told = manage("check", SECONDREAD_FOLDER=str(tmp_path), **{name: value})
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith("secondread: ")
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("words", [["watch"], ["proof", "--remove", "x"], ["operator", "olga"]])
@pytest.mark.parametrize("database", ["", "postgres://a:b@127.0.0.1:1/x"])
def test_a_database_that_is_away_or_not_ready_is_told_in_a_line(
    words: list[str], database: str, tmp_path: Path
) -> None:
    told = manage(*words, SECONDREAD_FOLDER=str(tmp_path), **({"DATABASE_URL": database} if database else {}))
    assert told.returncode == 1
    assert told.stderr.startswith("secondread: the database is away or was not made ready (")
    assert told.stderr.rstrip().endswith("manage prepare BUNDLE… does that")
    assert len(told.stderr.splitlines()) == 1


def test_a_site_that_sends_mail_knows_its_own_name(tmp_path: Path) -> None:
    """Else whoever asks for a new password in another's name chooses where the link in the mail leads."""
    mail = {"SECONDREAD_FOLDER": str(tmp_path), "EMAIL_URL": "smtp://mail.example.org"}
    told = manage("check", SECONDREAD_HOSTS="*", **mail)
    assert told.returncode != 0
    assert "SECONDREAD_HOSTS has to name" in told.stderr
    assert manage("check", SECONDREAD_HOSTS="reads.example.org", **mail).returncode == 0


def test_a_database_driver_that_is_not_installed_is_named(tmp_path: Path, bundle_path: Path) -> None:
    command = ["secondread", "serve", str(bundle_path), "--folder", str(tmp_path), "--port", "0"]
    code = f"import sys; sys.modules['MySQLdb'] = None; from secondread.cli import main; sys.argv = {command!r}; main()"
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"DATABASE_URL": "mysql://a:b@127.0.0.1/c"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 4, told.stderr
    assert "secondread[mysql]" in told.stderr


def test_the_site_answers_to_the_address_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, name in (("fd00::5", "[fd00::5]:8000"), ("10.0.0.7", "10.0.0.7:8000"), ("::", "any.example:8000")):
        monkeypatch.setattr("os.environ", {})
        _settle(host, None)
        known = os.environ["SECONDREAD_HOSTS"].split(",")
        assert validate_host(split_domain_port(name)[0], known), (name, known)


def test_hosts_may_be_separated_by_commas_and_spaces(tmp_path: Path) -> None:
    told = manage("diffsettings", SECONDREAD_FOLDER=str(tmp_path), SECONDREAD_HOSTS="a.example, b.example")
    assert "ALLOWED_HOSTS = ['a.example', 'b.example']" in told.stdout


def test_the_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    secret = folder.secret()
    assert len(secret) >= 50
    assert DataFolder(tmp_path / "data").secret() == secret
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert folder.images.stat().st_mode & 0o777 == 0o700
    (tmp_path / "data" / "secret.key").write_text("")
    with pytest.raises(ValueError, match="remove it"):
        folder.secret()


def test_every_page_is_strict_private_and_its_own(as_alice: Client, bundle: Any, submit: Any) -> None:
    read = submit(as_alice, bundle)
    for address in ("/read/", "/reads/", f"/reads/{read.id}/", "/models/", "/account/", "/accounts/login/", "/none"):
        answer = as_alice.get(address)
        policy = answer["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer["Cache-Control"] in ("no-store", "max-age=0, no-cache, no-store, must-revalidate, private")
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["X-Content-Type-Options"] == "nosniff"
        page = answer.content.decode()
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert "<script>" not in page
        assert "://" not in page.replace("http://www.w3.org/2000/svg", "").replace("http://testserver/", "")


def test_scripts_and_sheet_are_light_and_ask_nobody_else() -> None:
    from secondread.serve import pages

    folder = Path(str(pages.__file__)).parent / "static" / "secondread"
    scripts = sum(path.stat().st_size for path in folder.glob("*.js"))
    assert scripts < 40_000
    for path in folder.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text
        assert "eval(" not in text
        assert "innerHTML" not in text


def test_cookies_are_out_of_reach_of_scripts(db: None) -> None:
    client = Client()
    client.get("/accounts/login/")
    for cookie in client.cookies.values():
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"


def test_an_operator_is_made_by_the_command(db: None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    answers = iter(["a long enough Pass 1"] * 2 + ["one", "two"] + ["short"] * 2)
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    call_command("operator", "olga")
    user = User.objects.get(username="olga")
    assert user.is_staff
    assert user.check_password("a long enough Pass 1")
    call_command("operator", "olga", "--remove")
    assert not User.objects.get(username="olga").is_staff
    for _ in range(2):
        with pytest.raises(CommandError):
            call_command("operator", "olga", "--password")


def test_the_command_makes_nobody_by_mistake(db: None, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["one", "two"] + ["another long Pass 22"] * 2)
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    with pytest.raises(CommandError, match="nothing was changed"):
        call_command("operator", "olga")
    with pytest.raises(CommandError, match="no user name"):
        call_command("operator", "olga smith")
    with pytest.raises(CommandError, match="no user 'alcie'"):
        call_command("operator", "alcie", "--password")
    while spend_check("alice"):  # she forgot it, and tried
        pass
    call_command("operator", "Alice", "--password")  # whoever logs in may write the name so
    assert spend_check("alice")
    (user,) = User.objects.all()
    assert (user.username, user.is_staff) == ("alice", False)
    assert user.check_password("another long Pass 22")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases find her by ŻÓŁĆ, too")
def test_the_command_makes_no_twin_of_a_user(db: None) -> None:
    User.objects.create_user("żółć")
    with pytest.raises(CommandError, match="size of letters"):
        call_command("operator", "ŻÓŁĆ")
    assert User.objects.count() == 1


@pytest.mark.skipif(connection.vendor != "mysql", reason="other databases compare all letters")
def test_a_database_without_all_letters_is_refused(transactional_db: None) -> None:
    name = connection.settings_dict["NAME"]
    refuse_narrow_letters()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} CHARACTER SET latin1")
        with pytest.raises(WrongRequest, match="character set latin1"):
            refuse_narrow_letters()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} CHARACTER SET utf8mb4")


@pytest.mark.django_db
def test_a_database_of_a_newer_version_is_refused() -> None:
    refuse_newer_database()
    recorder = MigrationRecorder(connection)
    recorder.record_applied("another_app", "0099_unknown")  # of an application that is not ours to judge
    refuse_newer_database()
    recorder.record_applied("reads", "0099_later")
    with pytest.raises(WrongRequest, match=r"newer version of secondread \(reads.0099_later\)"):
        refuse_newer_database()
