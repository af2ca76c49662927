"""Signing up, logging in and out, second factor, lock-out, tokens, leaving."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client

from secondread.serve.accounts import lockout
from secondread.serve.accounts.models import ApiToken, LoginAttempts, User
from secondread.serve.audit.models import AuditEvent

PASSWORD = "a long enough Pass 1"


@pytest.fixture(autouse=True)
def _no_soft_limits(db: None) -> None:
    cache.clear()


def log_in(client: Client, name: str, password: str) -> Any:
    return client.post("/accounts/login/", {"login": name, "password": password})


def test_sign_up_log_out_log_in_change_password(db: None) -> None:
    client = Client()
    form = {"username": "carla", "password1": PASSWORD, "password2": PASSWORD}
    assert client.post("/accounts/signup/", form)["Location"] == "/read/"
    assert User.objects.get().accepted
    key = client.session.session_key
    assert client.get("/read/").status_code == 200
    assert client.post("/accounts/logout/")["Clear-Site-Data"] == '"cache"'  # pixels that the browser has kept
    assert "Clear-Site-Data" not in client.get("/accounts/login/")
    assert client.get("/read/").status_code == 302
    assert log_in(client, "carla", PASSWORD)["Location"] == "/read/"
    assert client.session.session_key != key
    other = Client()
    log_in(other, "carla", PASSWORD)
    new = {"oldpassword": PASSWORD, "password1": "another Pass 22", "password2": "another Pass 22"}
    assert client.post("/accounts/password/change/", new).status_code == 302
    assert client.get("/read/").status_code == 200
    assert other.get("/read/").status_code == 302
    assert log_in(Client(), "carla", PASSWORD).status_code == 200
    actions = AuditEvent.objects.values_list("action", flat=True)
    assert {"sign-up", "login", "logout", "login failed", "password changed"} <= set(actions)


def test_who_was_logged_out_meanwhile_is_told_so_by_the_upload_page(db: None) -> None:
    answer = Client().post("/read/", HTTP_ACCEPT="application/json")
    assert (answer.status_code, answer.json()["code"]) == (401, "logged_out")
    assert Client().post("/read/").status_code == 302


def test_weak_passwords_are_refused(db: None) -> None:
    for weak in ("password12", "1234567890", "short"):
        Client().post("/accounts/signup/", {"username": "carla", "password1": weak, "password2": weak})
    assert not User.objects.exists()


def test_sign_up_can_be_closed(db: None, settings: Any) -> None:
    settings.SIGNUP_OPEN = False
    client = Client()
    client.post("/accounts/signup/", {"username": "carla", "password1": PASSWORD, "password2": PASSWORD})
    assert not User.objects.exists()
    assert "Sign-up is closed" in client.get("/accounts/signup/").content.decode()


def test_unknown_and_known_names_get_the_same_answer(alice: User) -> None:
    told = [log_in(Client(), name, "wrong").content.decode() for name in ("alice", "nobody")]
    plain = [re.sub(r'value="[^"]*"', "", text) for text in told]
    assert plain[0] == plain[1]


def test_a_second_factor_is_asked_for_and_kept_sealed(
    as_alice: Client, alice: User, django_capture_on_commit_callbacks: Any, settings: Any
) -> None:
    settings.MFA_TOTP_TOLERANCE = 4  # a slow machine may need longer than one code lasts
    as_alice.post("/accounts/reauthenticate/", {"password": PASSWORD})
    as_alice.get("/accounts/2fa/totp/activate/")
    secret = as_alice.session["mfa.totp.secret"]
    code = format_hotp_value(hotp_value(secret, list(yield_hotp_counters_from_time())[-1]))
    with django_capture_on_commit_callbacks(execute=True):
        assert as_alice.post("/accounts/2fa/totp/activate/", {"code": code}).status_code == 302
    stored = Authenticator.objects.get(user=alice, type="totp")
    assert secret not in str(stored.data)
    client = Client()
    assert log_in(client, "alice", PASSWORD)["Location"].startswith("/accounts/2fa/authenticate/")
    assert client.get("/read/").status_code == 302
    assert client.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert AuditEvent.objects.filter(action="second factor added").exists()
    assert client.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 302
    assert client.get("/read/").status_code == 200
    second = Client()
    log_in(second, "alice", PASSWORD)
    assert second.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 200  # it was used up


def test_recovery_codes_can_be_read_from_the_page(as_alice: Client, alice: User) -> None:
    """Who loses the telephone has nothing but them."""
    TOTP.activate(alice, "JBSWY3DPEHPK3PXP")
    codes = RecoveryCodes.activate(alice).get_unused_codes()
    as_alice.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = as_alice.get("/accounts/2fa/recovery-codes/").content.decode()
    area = re.search(r"<textarea[^>]*>([^<]*)</textarea>", page)
    assert area is not None
    assert area.group(1).split() == codes
    client = Client()
    log_in(client, "alice", PASSWORD)
    assert client.post("/accounts/2fa/authenticate/", {"code": area.group(1).split()[0]})["Location"] == "/read/"


def test_an_account_takes_so_many_codes_an_hour_from_all_addresses(alice: User, as_operator: Client) -> None:
    secret = "JBSWY3DPEHPK3PXP"
    TOTP.activate(alice, secret)
    client, code = Client(), format_hotp_value(hotp_value(secret, list(yield_hotp_counters_from_time())[-1]))
    log_in(client, "alice", PASSWORD)

    def told(guess: str, at: int) -> Any:
        return client.post("/accounts/2fa/authenticate/", {"code": guess}, REMOTE_ADDR=f"10.0.0.{at}")

    for at in range(lockout.CHECKS):
        assert "Incorrect code" in told("no code", at).content.decode()
    assert "Too many failed login attempts" in told(code, 99).content.decode()
    as_operator.post(f"/operate/users/{alice.pk}", {"deed": "unlock"})
    assert told("no code", 99).status_code == 200
    assert "Incorrect code" in told("no code", 99).content.decode()


def test_an_account_takes_so_many_passwords_an_hour_and_no_more(
    alice: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    checked = []
    monkeypatch.setattr(User, "check_password", lambda self, raw: checked.append(raw) or False)
    for at in range(lockout.CHECKS + 10):
        answer = log_in(Client(), "alice" if at % 2 else "ALICE ", f"guess {at}")
    assert len(checked) <= lockout.CHECKS
    assert "Too many failed login attempts" in answer.content.decode()
    LoginAttempts.objects.update(since="2020-01-01T00:00:00Z")
    assert lockout.spend_check("alice")


def test_many_visitors_do_not_make_the_limits_forget(db: None) -> None:
    cache.set_many({f"limit-{at}": [1.0] for at in range(400)})
    assert len(cache.get_many([f"limit-{at}" for at in range(400)])) == 400


def test_the_right_password_clears_the_count(alice: User, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    for _ in range(lockout.CHECKS - 1):
        log_in(Client(), "alice", "wrong")
    assert log_in(Client(), "alice", PASSWORD).status_code == 302
    assert LoginAttempts.objects.get().spent == 0


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_do_not_overtake_the_count(unguarded: None) -> None:
    """Sixty threads, each with its own connection, as processes have."""
    allowed = []

    def guess() -> None:
        try:
            allowed.append(lockout.spend_check("alice"))
        finally:
            connection.close()

    threads = [threading.Thread(target=guess) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == lockout.CHECKS


def test_names_that_were_tried_are_not_collected(alice: User) -> None:
    log_in(Client(), "somebody.private", "wrong")
    assert not LoginAttempts.objects.filter(key__contains="somebody").exists()


def test_tokens_are_shown_once_and_kept_as_digests(as_alice: Client, alice: User) -> None:
    as_alice.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = as_alice.post("/account/tokens", {"label": "notebook"}).content.decode()
    secret = re.findall(r"sr_[\w-]{43}", page)[0]
    assert secret not in as_alice.get("/account/").content.decode()
    token = ApiToken.objects.get()
    assert secret not in (token.digest, token.label)
    header = {"Authorization": f"Bearer {secret}"}
    assert Client().get("/api/reads", headers=header).status_code == 200
    as_alice.post(f"/account/tokens/{token.pk}/revoke")
    assert Client().get("/api/reads", headers=header).status_code == 401
    for _ in range(25):
        as_alice.post("/account/tokens", {"label": "more"})
    assert ApiToken.objects.count() == 20


def test_leaving_takes_everything_along(as_alice: Client, alice: User, bundle: Any, submit: Any) -> None:
    from secondread.serve.reads.models import Read, StoredImage
    from secondread.serve.reads.places import image_path

    read = submit(as_alice, bundle)
    as_alice.post("/account/leave", {"password": "wrong"})
    assert User.objects.filter(pk=alice.pk).exists()
    as_alice.post("/account/leave", {"password": PASSWORD})
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not Read.objects.exists()
    assert not StoredImage.objects.exists()
    assert not image_path(read.image_id).exists()
    assert AuditEvent.objects.filter(action="account deleted", actor=alice.pk).exists()


def test_the_log_says_an_account_is_deleted_only_when_it_is(
    as_alice: Client, alice: User, bundle: Any, submit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondread.serve.reads.places import image_path

    def away(self: User) -> None:
        raise RuntimeError("something stands in the way")

    read = submit(as_alice, bundle)
    as_alice.raise_request_exception = False
    monkeypatch.setattr(User, "delete", away)
    assert as_alice.post("/account/leave", {"password": PASSWORD}).status_code == 500
    assert not AuditEvent.objects.filter(action="account deleted").exists()
    assert image_path(read.image_id).exists()


def test_without_mail_nobody_is_sent_to_the_mail(client: Client, db: None) -> None:
    assert "operator of this site can set a new one" in client.get("/accounts/login/").content.decode()
    assert not mail.outbox


def test_a_site_without_mail_promises_none(db: None) -> None:
    client = Client()
    assert "Forgot your password?" not in client.get("/accounts/login/").content.decode()
    told = client.get("/accounts/password/reset/").content.decode()
    assert "sends no e-mail" in told
    assert "<form" not in told.partition("<main")[2]
    assert client.get("/accounts/signup/").content.decode().count("(optional)") == 1
