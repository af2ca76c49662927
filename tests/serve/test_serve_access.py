"""Who may see what: every address of the URL conf against strangers, other users and operators."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from serve_pictures import disc, png

from secondread.serve.accounts.models import User
from secondread.serve.accounts.tokens import new_token
from secondread.serve.audit.models import AuditEvent
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import Feedback, Read
from secondread.serve.reads.reading import unpacked_heat

PASSWORD = "a long enough Pass 1"
OPEN = {"", "about/", "health/live", "health/ready", "api/limits", "api/openapi.json"}
"""For everybody."""
OWN = {
    "read/", "reads/", "reads/export.csv", "reads/export.jsonl", "reads/delete", "models/", "models/<digest:sha256>/",
    "account/", "account/choices", "account/tokens", "account/leave",
}  # fmt: skip
"""For whoever is logged in, about themselves."""
OWNED = {
    f"reads/<uuid:identifier>/{rest}"
    for rest in ("", "state", "delete", "again", "feedback", "pixels", "heatmap", "thumbnail.png", "reading.json",
                 "report.pdf", "report.dcm", "capture.dcm", "send")
} | {"account/tokens/<int:number>/revoke", "models/<digest:sha256>/download"}  # fmt: skip
"""For the owner of what is named in the address; for others it does not exist."""
OPERATED = {
    "operate/", "operate/users", "operate/users/<int:number>", "operate/bundles", "operate/bundles/<digest:sha256>",
    "operate/reads", "operate/watch", "operate/audit",
}  # fmt: skip
BY_TOKEN = {"api/bundles", "api/reads", "api/reads/<uuid:identifier>", "api/reads/<uuid:identifier>/heatmap"}
POSTED = {
    "reads/delete", "account/choices", "account/tokens", "account/leave", "account/tokens/<int:number>/revoke",
    "operate/users/<int:number>", "operate/bundles/<digest:sha256>",
    *(f"reads/<uuid:identifier>/{deed}" for deed in ("delete", "again", "feedback", "send")),
}  # fmt: skip


def addresses(resolver: Any = None, before: str = "") -> Iterator[str]:
    for pattern in (resolver or get_resolver()).url_patterns:
        here = before + str(pattern.pattern).replace("uuidstr:", "uuid:")
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, here)
        elif isinstance(pattern, URLPattern):
            yield here


ALL = sorted({address for address in addresses() if not address.startswith("accounts/")})
ACCOUNTS = sorted(address for address in addresses() if address.startswith("accounts/"))


def filled(address: str, read: Read, token: int, person: int) -> str:
    number = token if "tokens" in address else person
    return "/" + (
        address.replace("<uuid:identifier>", str(read.id))
        .replace("<digest:sha256>", read.bundle_id)
        .replace("<int:number>", str(number))
    )


def test_every_address_stands_in_the_matrix() -> None:
    known = OPEN | OWN | OWNED | OPERATED | BY_TOKEN
    assert set(ALL) - {"api/"} == known
    assert {"accounts/login/", "accounts/signup/", "accounts/logout/"} <= set(ACCOUNTS)


@pytest.fixture
def world(as_alice: Client, alice: User, bob: User, bundle: RegisteredBundle, submit: Callable[..., Read]) -> Any:
    read = submit(as_alice, bundle, png(disc(45)))
    Feedback.objects.create(read=read, agrees=True)
    return read, new_token(alice, "hers")[0].pk, alice.pk


def ask(client: Client, address: str, path: str) -> Any:
    return client.post(path) if address in POSTED else client.get(path)


@pytest.mark.parametrize("address", sorted(OWN | OWNED | OPERATED))
def test_strangers_are_asked_to_log_in(address: str, world: Any) -> None:
    answer = ask(Client(), address, filled(address, *world))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("address", sorted(OWNED))
@pytest.mark.parametrize("who", ["bob", "olga"])
def test_what_is_hers_does_not_exist_for_others(
    address: str, who: str, world: Any, as_bob: Client, as_operator: Client
) -> None:
    client = as_bob if who == "bob" else as_operator
    read = world[0]
    answer = ask(client, address, filled(address, *world))
    missing = ask(client, address, filled(address, *world).replace(str(read.id), str(uuid.uuid4())))
    assert answer.status_code == 404
    assert answer.content == missing.content
    assert Read.objects.filter(id=read.id).exists()


@pytest.mark.parametrize("address", sorted(OWN - {"account/leave"}))
def test_pages_of_others_show_nothing_of_hers(address: str, world: Any, as_bob: Client) -> None:
    read = world[0]
    path = filled(address, *world)
    answer = as_bob.post(path, {"read": [str(read.id)], "label": "x"}) if address in POSTED else as_bob.get(path)
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    assert str(read.id).encode() not in content
    assert read.image.content_id[:8].encode() not in content
    assert b"alice" not in content
    assert Read.objects.filter(id=read.id).exists()


@pytest.mark.parametrize("address", sorted(OPERATED))
def test_operators_pages_exist_for_operators_alone(
    address: str, world: Any, as_bob: Client, as_operator: Client
) -> None:
    path = filled(address, *world)
    assert ask(as_bob, address, path).status_code == 404
    body = {"deed": "unlock", "downloads": "nobody"}
    answer = as_operator.post(path, body) if address in POSTED else as_operator.get(path)
    assert answer.status_code in (200, 302)
    read = world[0]
    assert read.image.content_id.encode() not in answer.content
    assert b"probabilities" not in answer.content


@pytest.mark.parametrize("address", sorted(BY_TOKEN))
def test_the_api_knows_owners_by_their_token_only(address: str, world: Any, as_alice: Client, bob: User) -> None:
    path = filled(address, *world)
    assert as_alice.get(path).status_code == 401  # a cookie is no token
    assert Client().get(path, headers={"Authorization": "Bearer sr_wrong"}).status_code == 401
    his = {"Authorization": f"Bearer {new_token(bob, 'his')[1]}"}
    answer = Client().get(path, headers=his)
    if "<uuid" in address:
        assert answer.status_code == 404
        assert Client().delete(path, headers=his).status_code in (404, 405)
        assert Read.objects.filter(id=world[0].id).exists()
    else:
        assert answer.status_code == 200
        assert str(world[0].id).encode() not in answer.content


@pytest.mark.parametrize("address", sorted(OPEN))
def test_open_addresses_are_open(address: str, world: Any) -> None:
    answer = Client().get(f"/{address}")
    assert answer.status_code in (200, 503)  # not ready without workers
    assert b"alice" not in answer.content


@pytest.mark.parametrize("address", [a for a in ACCOUNTS if "<" not in a and "(" not in a])
def test_account_pages_neither_fail_nor_leak(address: str, world: Any, as_bob: Client) -> None:
    for client in (Client(), as_bob):
        answer = client.get(f"/{address}")
        assert answer.status_code < 500
        assert b"alice" not in answer.content


@pytest.mark.parametrize("address", sorted(POSTED))
def test_deeds_need_the_forms_token_and_a_post(address: str, world: Any, alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    path = filled(address, *world)
    assert client.post(path).status_code == 403
    assert client.get(path).status_code == 405
    assert Read.objects.filter(id=world[0].id).exists()


def test_uploading_needs_the_forms_token(alice: User, bundle: RegisteredBundle) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.post("/read/", {"bundle": bundle.sha256}).status_code == 403


def test_signs_that_no_database_holds_are_no_error_of_ours(
    world: Any, as_alice: Client, as_operator: Client, bundle: RegisteredBundle
) -> None:
    """PostgreSQL refuses them; whatever is asked for with them is not there."""
    read, place = world[0], f"/operate/bundles/{bundle.sha256}"
    for path in ("/models/%00/", "/models/%00/download", "/models/x/", f"/models/{bundle.sha256.upper()}/"):
        assert as_alice.get(path).status_code == 404
    assert as_operator.post("/operate/bundles/%00").status_code == 404
    assert as_alice.post(f"/reads/{read.id}/again", {"bundle": "\0"})["Location"] == f"/reads/{read.id}/"
    as_alice.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert as_alice.post("/account/tokens", {"label": "a\0b"}).status_code == 200
    for path in ("/operate/users?q=%00", "/operate/audit?action=%00&actor=%00"):
        assert as_operator.get(path).status_code == 200
    assert as_alice.get("/reads/?q=%00a&state=%00&bundle=%00&batch=%00&after=%00").status_code == 200
    as_operator.post(place, {"downloads": "chosen", "downloaders": "ali\0ce, nobody"})
    assert [person.username for person in bundle.downloaders.all()] == ["alice"]


def test_somebody_shut_out_is_out_at_once(world: Any, as_alice: Client, alice: User, as_operator: Client) -> None:
    header = {"Authorization": f"Bearer {new_token(alice, 'x')[1]}"}
    as_operator.post(f"/operate/users/{alice.pk}", {"deed": "shut out"})
    assert as_alice.get("/reads/").status_code == 302
    assert Client().get("/api/reads", headers=header).status_code == 401


def test_the_page_of_an_ensemble_says_that_its_own_answer_was_not_scored(
    world: Any, as_alice: Client, bundle: RegisteredBundle
) -> None:
    told = "the averaged answer of the 2 seeds in this bundle was not scored itself"
    assert told not in as_alice.get(f"/models/{bundle.sha256}/").content.decode()
    row = {"split": "test", "class": "macro", "metric": "auroc", "value": 0.9, "low": 0.8, "high": 1.0, "n": 9}
    bundle.card |= {"members": ["a/m/r0f0s0", "a/m/r0f0s1"], "metrics": [row | {"method": "mean of 2 trainings"}]}
    bundle.save()
    assert told in as_alice.get(f"/models/{bundle.sha256}/").content.decode()


def test_bundles_no_longer_offered_are_seen_by_whom_they_read_for(
    world: Any, as_alice: Client, as_bob: Client, bundle: RegisteredBundle
) -> None:
    RegisteredBundle.objects.update(active=False)
    assert as_alice.get(f"/models/{bundle.sha256}/").status_code == 200
    assert as_bob.get(f"/models/{bundle.sha256}/").status_code == 404


def test_a_refused_read_gives_no_numbers_and_no_map(world: Any, as_alice: Client) -> None:
    read = world[0]
    assert unpacked_heat(read) is not None
    Read.objects.filter(id=read.id).update(state="refused", reason="not like the images the model was trained on")
    page = as_alice.get(f"/reads/{read.id}/").content.decode()
    assert "No probabilities are shown" in page
    assert 'class="bars"' not in page
    assert as_alice.get(f"/reads/{read.id}/heatmap").status_code == 404
    assert as_alice.get(f"/reads/{read.id}/report.dcm").status_code == 404
    assert as_alice.get(f"/reads/{read.id}/report.pdf").status_code == 200


def test_the_operators_deeds_are_done_and_written_down(
    world: Any, alice: User, operator: User, as_operator: Client, bundle: RegisteredBundle
) -> None:
    for deed in ("make operator", "unmake operator", "shut out", "let in", "unlock"):
        as_operator.post(f"/operate/users/{alice.pk}", {"deed": deed})
    as_operator.post(f"/operate/users/{operator.pk}", {"deed": "shut out"})
    operator.refresh_from_db()
    assert operator.is_active
    as_operator.post(f"/operate/bundles/{bundle.sha256}", {"downloads": "chosen", "downloaders": "alice, nobody"})
    bundle.refresh_from_db()
    assert (bundle.active, bundle.downloads, list(bundle.downloaders.all())) == (False, "chosen", [alice])
    assert AuditEvent.objects.filter(action__startswith="operator:").count() == 6
    page = as_operator.get(f"/operate/audit?actor={operator.pk}&action=operator: bundle").content.decode()
    assert bundle.short in page


def test_a_deed_that_cannot_be_logged_is_not_done(
    as_operator: Client, alice: User, bundle: RegisteredBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise RuntimeError("the log cannot be written")

    monkeypatch.setattr("secondread.serve.operate.views.record", away)
    as_operator.raise_request_exception = False
    assert as_operator.post(f"/operate/users/{alice.pk}", {"deed": "shut out"}).status_code == 500
    assert as_operator.post(f"/operate/bundles/{bundle.sha256}").status_code == 500
    alice.refresh_from_db()
    bundle.refresh_from_db()
    assert (alice.is_active, bundle.active) == (True, True)
