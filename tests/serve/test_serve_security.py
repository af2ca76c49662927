"""Names that look alike, tokens and addresses of who only found an open browser, and what the log says of it all."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from secondread.serve.accounts import lockout
from secondread.serve.accounts.models import ApiToken, User
from secondread.serve.accounts.tokens import new_token
from secondread.serve.audit.models import AuditEvent

PASSWORD = "a long enough Pass 1"
HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture(autouse=True)
def _no_soft_limits(db: None) -> None:
    cache.clear()


def log_in(client: Client, name: str, password: str) -> Any:
    return client.post("/accounts/login/", {"login": name, "password": password})


def sign_up(name: str, client: Client | None = None) -> Any:
    return (client or Client()).post(
        "/accounts/signup/", {"username": name, "password1": PASSWORD, "password2": PASSWORD}
    )


def test_nobody_takes_a_name_that_is_taken_for_anothers(alice: User) -> None:
    """Operators let people in and give them bundles by name."""
    assert sign_up("Żółć").status_code == 302
    for twin in ("żółć", "ŻÓŁĆ", "Z\u0307ółć", "ALICE", "ａｌｉｃｅ"):  # SQLite takes the first two for others
        assert "already exists" in sign_up(twin).content.decode(), twin
    for pretender in ("\u0430lice", "ali\u03f2e"):  # letters of other alphabets, of the same shape
        assert "one alphabet" in sign_up(pretender).content.decode()
    for name in ("Алиса", "田中taro", "Ελένη", "عائشة"):
        assert sign_up(name).status_code == 302, name


def test_a_name_is_the_same_however_it_is_typed(db: None, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    sign_up("ﬁlippa")
    assert User.objects.get().username == "filippa"
    for typed in ("ﬁlippa", "Filippa", "ｆｉｌｉｐｐａ"):
        assert log_in(Client(), typed, PASSWORD).status_code == 302
    for at in range(lockout.CHECKS + 1):
        answer = log_in(Client(), ("filippa", "ｆilippa", "ﬁlippa")[at % 3], "wrong")
    assert "Too many failed login attempts" in answer.content.decode()  # all are counted as one


def test_a_second_click_on_sign_up_is_told_what_happened(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords take a while to hash: both requests found the name free."""
    sign_up("clicker")
    monkeypatch.setattr("secondread.serve.accounts.adapter.taken", lambda name: False)
    monkeypatch.setattr("allauth.account.internal.userkit.filter_users_by_username", lambda *_: User.objects.none())
    client = Client()
    answer = sign_up("clicker", client)
    assert answer["Location"] == "/accounts/login/"
    assert "took that name this moment" in client.get("/accounts/login/").content.decode()
    assert User.objects.count() == 1


def test_the_log_says_which_account_was_tried_and_never_what_was_typed(alice: User) -> None:
    TOTP.activate(alice, "JBSWY3DPEHPK3PXP")
    log_in(Client(), "ALICE", "wrong")
    log_in(Client(), "my password, in the wrong field", "wrong")
    client = Client()
    log_in(client, "alice", PASSWORD)
    client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    failed = AuditEvent.objects.filter(action__endswith="failed").values_list("action", "subject", "note")
    mine = f"user {alice.pk}"
    assert list(failed) == [("second factor failed", mine, ""), ("login failed", "", ""), ("login failed", mine, "")]


def test_a_token_is_made_by_who_knows_the_password(alice: User) -> None:
    """Not by who finds a browser logged in: a token outlives the session. What was typed is not typed again."""
    client = Client()
    log_in(client, "alice", PASSWORD)
    asked = client.post("/account/tokens", {"label": "notebook"})
    assert asked["Location"].startswith("/accounts/reauthenticate/")
    assert not ApiToken.objects.exists()
    assert "sr_" not in client.post(asked["Location"], {"password": "wrong"}).content.decode()
    page = client.post(asked["Location"], {"password": PASSWORD, "next": "/account/tokens"}).content.decode()
    assert re.search(r"sr_[\w-]{43}", page)
    assert ApiToken.objects.get().label == "notebook"


def test_an_address_for_mail_is_set_by_who_knows_the_password(alice: User) -> None:
    """It is a way to a new password."""
    client = Client()
    log_in(client, "alice", PASSWORD)
    answer = client.post("/accounts/email/", {"action_add": "", "email": "mallory@example.org"})
    assert answer["Location"].startswith("/accounts/reauthenticate/")
    assert not EmailAddress.objects.exists()
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.post("/accounts/email/", {"action_add": "", "email": "alice@example.org"})
    assert EmailAddress.objects.get().email == "alice@example.org"
    assert AuditEvent.objects.filter(action="e-mail changed", actor=alice.pk).exists()


def test_tokens_end_with_the_password_they_were_made_under(as_alice: Client, alice: User, bob: User) -> None:
    """Who changes a password that others know would else leave them the tokens they made."""
    mine, his = ({"Authorization": f"Bearer {new_token(owner, 'x')[1]}"} for owner in (alice, bob))
    new = {"oldpassword": PASSWORD, "password1": "another Pass 22", "password2": "another Pass 22"}
    page = as_alice.post("/accounts/password/change/", new, follow=True).content.decode()
    assert "1 of your tokens for programs ended" in page
    assert [Client().get("/api/reads", headers=header).status_code for header in (mine, his)] == [401, 200]
    assert AuditEvent.objects.get(action="token revoked").note == "1 with the old password"


def test_a_token_ends_after_a_year(as_alice: Client, alice: User) -> None:
    token, secret = new_token(alice, "old one")
    header, page = {"Authorization": f"Bearer {secret}"}, as_alice.get("/account/").content.decode()
    assert f"until {token.ends:%Y-%m-%d}" in page
    for days, status in ((364, 200), (365, 401)):
        ApiToken.objects.update(created=timezone.now() - timedelta(days=days))
        assert Client().get("/api/reads", headers=header).status_code == status
    assert "ended" in as_alice.get("/account/").content.decode()


def test_too_many_requests_are_answered_as_everything_else_is(db: None, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"signup": "1/h/ip"}
    sign_up("first")
    page = sign_up("second")
    assert (page.status_code, page["Retry-After"]) == (429, "60")
    assert "Too many" in page.content.decode()
    assert "app.css" in page.content.decode()
    told = Client().post("/accounts/signup/", {"username": "third"}, HTTP_ACCEPT="application/json")
    assert told.json()["code"] == "429"


@pytest.mark.parametrize(
    ("address", "status"),
    [("/", 200), ("/accounts/login/", 200), ("/health/live", 200), ("/static/secondread/app.css", 200), ("/reads", 301),
     ("/static/nothing", 404), ("/nothing", 404), ("/account/leave", 405), ("/api/reads", 401), ("/api/nothing", 404)],
)  # fmt: skip
def test_every_answer_carries_the_headers(address: str, status: int, db: None) -> None:
    """Files, redirects and errors too: a reviewer's scanner asks for all of them."""
    answer = Client(raise_request_exception=False).get(address)
    assert answer.status_code == status
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    told = {name: answer.get(name) for name in HEADERS}
    assert told == HEADERS
    assert "camera=()" in answer["Permissions-Policy"]
    assert ("no-store" in answer["Cache-Control"]) == ("app.css" not in address)
    answer.close()


def test_a_host_that_is_not_ours_is_refused_with_the_headers(db: None) -> None:
    answer = Client().get("/accounts/password/reset/", HTTP_HOST="evil.example")
    assert answer.status_code == 400
    assert answer["X-Frame-Options"] == "DENY"
    assert "evil" not in answer.content.decode()


def test_whose_session_ended_before_the_button_is_told_that_nothing_was_done(alice: User) -> None:
    """Logging in leads back to the address of the deed, which is no page."""
    client = Client()
    led = client.post("/account/choices")["Location"]
    back = client.post(led, {"login": "alice", "password": PASSWORD, "next": "/account/choices"})["Location"]
    page = client.get(back)
    assert (page.status_code, page["Allow"]) == (405, "POST")
    assert "Nothing was done" in page.content.decode()


@pytest.mark.parametrize(
    "address", ["/health/live", "/about/", "/nothing", "/api/limits", "/static/secondread/app.css"]
)
def test_a_question_for_the_head_is_answered_without_a_body(address: str, db: None) -> None:
    """The web server warns about each that has one, and monitors ask every few seconds."""
    answer = WSGIHandler()(RequestFactory().head(address).environ, lambda *_: None)
    assert b"".join(answer) == b""
    answer.close()


def test_who_asks_for_nothing_is_logged_out_after_an_hour(alice: User) -> None:
    client = Client()
    log_in(client, "alice", PASSWORD)

    def later(minutes: float) -> int:
        """The answer after so many minutes, for which the session has come closer to its end."""
        moved = Session.objects.get(pk=client.session.session_key)
        inside = client.session
        if "asked" in inside:
            inside["asked"] -= 60 * minutes
        Session.objects.filter(pk=moved.pk).update(
            expire_date=moved.expire_date - timedelta(minutes=minutes), session_data=inside.encode(dict(inside))
        )
        return client.get("/account/").status_code

    assert [later(40), later(40), later(40)] == [200, 200, 200]  # who works stays
    assert later(61) == 302


def test_a_session_ends_with_the_browser_unless_somebody_asks_to_be_remembered(alice: User) -> None:
    answers = [
        sign_up("carla"),
        log_in(Client(), "alice", PASSWORD),
        Client().post("/accounts/login/", {"login": "alice", "password": PASSWORD, "remember": "on"}),
    ]
    ages = [answer.cookies["secondread_session"]["max-age"] for answer in answers]
    assert ages == ["", "", 14 * 24 * 3600]


def test_pages_write_a_session_once_in_a_while(as_alice: Client) -> None:
    as_alice.get("/account/")
    for address in ("/account/", "/reads/"):
        with CaptureQueriesContext(connection) as asked:
            as_alice.get(address)
        assert not [query["sql"] for query in asked.captured_queries if "UPDATE" in query["sql"]]


def test_a_mail_server_that_is_away_is_no_error_of_ours(alice: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    settings.HAS_EMAIL = True
    EmailAddress.objects.create(user=alice, email="alice@example.org", primary=True)
    for address in ("alice@example.org", "nobody@example.org"):  # the same for both
        answer = Client().post("/accounts/password/reset/", {"email": address})
        assert (answer.status_code, answer["Retry-After"]) == (503, "60")
        assert "could not be sent" in answer.content.decode()


def test_a_forgotten_password_is_set_anew_and_ends_what_the_old_one_opened(alice: User, settings: Any) -> None:
    """The second factor is asked for all the same, and the link works once."""
    settings.HAS_EMAIL = True
    EmailAddress.objects.create(user=alice, email="alice@example.org", primary=True)
    TOTP.activate(alice, "JBSWY3DPEHPK3PXP")
    header, elsewhere, client = {"Authorization": f"Bearer {new_token(alice, 'x')[1]}"}, Client(), Client()
    elsewhere.force_login(alice)
    told = [client.post("/accounts/password/reset/", {"email": f"{name}@example.org"}) for name in ("alice", "bob")]
    assert told[0]["Location"] == told[1]["Location"]
    link = re.findall(r"http://testserver(/accounts/password/reset/key/\S+)", mail.outbox[0].body)[0]
    form = client.get(link)["Location"]
    new = {"password1": "another Pass 22", "password2": "another Pass 22"}
    assert client.post(form, new).status_code == 302
    assert elsewhere.get("/account/").status_code == 302
    assert Client().get("/api/reads", headers=header).status_code == 401
    assert log_in(Client(), "alice", PASSWORD).status_code == 200
    assert log_in(Client(), "alice", new["password1"])["Location"].startswith("/accounts/2fa/authenticate/")
    again = Client()
    assert "Bad Token" in again.get(link, follow=True).content.decode()
    assert {"password changed", "token revoked"} <= set(AuditEvent.objects.values_list("action", flat=True))
