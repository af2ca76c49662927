"""A site that asks for a second factor lets nobody who owes one see anything but the page where it is set up."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.test import Client

from secondread.serve.accounts.models import User

PLACES = ("/read/", "/reads/", "/models/", "/account/", "/operate/", "/operate/audit", "/reads/export.csv")
SETTING_UP = "/accounts/2fa/totp/activate/"


@pytest.mark.parametrize(("asked", "user_owes", "operator_owes"), [
    ("offered", False, False), ("operators", False, True), ("everybody", True, True),
])  # fmt: skip
def test_who_owes_one_is_sent_to_set_it_up(
    asked: str, user_owes: bool, operator_owes: bool, as_alice: Client, as_operator: Client, settings: Any
) -> None:
    settings.SECOND_FACTOR = asked
    for client, owes in ((as_alice, user_owes), (as_operator, operator_owes)):
        sent = [client.get(place).headers.get("Location") == SETTING_UP for place in PLACES]
        assert sent == [owes] * len(PLACES)


def test_nothing_is_done_for_who_owes_one(as_alice: Client, alice: User, settings: Any) -> None:
    settings.SECOND_FACTOR = "everybody"
    assert as_alice.post("/account/leave", {"username": "alice"})["Location"] == SETTING_UP
    assert User.objects.filter(pk=alice.pk).exists()


def test_the_page_says_why_and_leaving_is_free(as_alice: Client, settings: Any) -> None:
    settings.SECOND_FACTOR = "everybody"
    as_alice.get("/read/")
    page = as_alice.get("/accounts/reauthenticate/", follow=True)
    assert "asks you for a second factor" in page.content.decode()
    assert as_alice.get("/about/").status_code == 200
    assert as_alice.post("/accounts/logout/").status_code == 302
    assert "_auth_user_id" not in as_alice.session


def test_who_has_one_goes_on_and_who_gives_it_up_owes_it_again(
    as_operator: Client, operator: User, settings: Any
) -> None:
    settings.SECOND_FACTOR = "operators"
    made = TOTP.activate(operator, "JBSWY3DPEHPK3PXP")
    assert as_operator.get("/operate/").status_code == 200
    made.instance.delete()
    assert as_operator.get("/operate/")["Location"] == SETTING_UP


def test_programs_with_a_token_go_on(token: dict[str, str], settings: Any) -> None:
    settings.SECOND_FACTOR = "everybody"
    assert Client().get("/api/reads", headers=token).status_code == 200


def test_visitors_are_asked_to_log_in_as_ever(db: None, settings: Any) -> None:
    settings.SECOND_FACTOR = "everybody"
    assert Client().get("/read/")["Location"].startswith("/accounts/login/")
    assert Client().get("/").status_code == 200
