"""The JSON API: what it promises in its description, and that it keeps it whatever is sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
from django.conf import settings as site
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client, RequestFactory
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serve_pictures import dicom, disc, png, zipped

from secondread.serve.accounts.models import User
from secondread.serve.api.faults import Fault
from secondread.serve.api.submitting import submit_images
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.limits import Limits
from secondread.serve.reads.models import Read, StoredImage
from secondread.serve.reads.streaming import streamed_body
from secondread.serve.wsgi import application


@pytest.fixture
def api(token: dict[str, str]) -> Client:
    return Client(headers=token)


def sent(api: Client, content: bytes, **form: Any) -> Any:
    return api.post("/api/reads", {"image": SimpleUploadedFile("scan.png", content), **form})


def test_submit_poll_map_list_delete(api: Client, bundle: RegisteredBundle, work: Any) -> None:
    answer = sent(api, png(disc()), bundle=bundle.sha256)
    assert answer.status_code == 202
    (read,) = answer.json()["reads"]
    assert (read["status"], read["file"], read["probabilities"]) == ("queued", "scan.png", None)
    work()
    told = api.get(f"/api/reads/{read['id']}").json()
    assert told["status"] == "read"
    assert set(told["probabilities"]) == set(bundle.card["classes"])
    assert told["intended_use"] == "For research and education, not a medical device."
    heat = api.get(f"/api/reads/{read['id']}/heatmap?class_name={bundle.card['classes'][0]}").json()
    assert np.asarray(heat["values"]).shape == (heat["height"], heat["width"]) == (8, 8)
    assert api.get("/api/reads?status=read").json()["reads"][0]["id"] == read["id"]
    assert api.delete(f"/api/reads/{read['id']}").status_code == 204
    assert api.get(f"/api/reads/{read['id']}").status_code == 404
    assert not StoredImage.objects.exists()


def test_the_same_image_again_is_the_same_read_and_done_at_once(api: Client, bundle: Any, work: Any) -> None:
    first = sent(api, png(disc())).json()["reads"][0]
    work()
    again = sent(api, png(disc()))
    assert again.status_code == 200
    assert again.json()["reads"][0]["id"] == first["id"]


def test_all_readings_are_waited_for_whichever_ended_before(
    api: Client, bundle: Any, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(api, png(disc(40)))
    work()
    waited = []

    def until_it_ends(read: Read, seconds: float) -> None:
        waited.append(read.pending)
        work()

    monkeypatch.setattr("secondread.serve.api.submitting.await_end", until_it_ends)
    files = {"new.png": png(disc(41)), "newer.png": png(disc(42)), "known.png": png(disc(40))}
    answer = api.post("/api/reads?wait=5", zipped(files), "application/zip")
    assert (answer.status_code, waited) == (200, [True])
    assert len(answer.json()["reads"]) == 3


def test_an_archive_is_answered_file_by_file(api: Client, bundle: Any) -> None:
    told = sent(api, zipped({"a.png": png(disc(40)), "b.dcm": dicom(disc(41)), "c.txt": b"no"})).json()
    assert [read["file"] for read in told["reads"]] == ["a.png", "b.dcm"]
    assert told["not_taken"] == [{"file": "c.txt", "code": "not_an_image", "reason": told["not_taken"][0]["reason"]}]


def test_copies_are_answered_under_their_own_names(api: Client, bundle: Any) -> None:
    told = sent(api, zipped({"a.png": png(disc()), "b.png": png(disc())})).json()
    assert [read["file"] for read in told["reads"]] == ["a.png", "b.png"]
    assert len({read["id"] for read in told["reads"]}) == 1


def test_an_archive_with_one_name_twice_is_refused(api: Client, bundle: Any) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as packed:
        packed.writestr("x.png", png(disc()))
        with pytest.warns(UserWarning, match="Duplicate name"):
            packed.writestr("x.png", png(disc(50)))
    answer = sent(api, written.getvalue())
    assert (answer.status_code, answer.json()["code"]) == (422, "unsafe_archive")


def test_a_file_can_be_the_body(api: Client, bundle: RegisteredBundle) -> None:
    content, address = dicom(disc()), f"/api/reads?bundle={bundle.sha256}&name=../a%0A/scan.dcm"
    (bare,) = api.post(address, content, "application/dicom").json()["reads"]
    assert bare["file"] == "scan.dcm"
    (in_form,) = sent(api, content).json()["reads"]
    assert in_form["id"] == bare["id"]  # the same bytes are the same image, however they came
    told = api.post("/api/reads", zipped({"a.png": png(disc(40)), "b.txt": b"no"}), "application/zip").json()
    assert [read["file"] for read in told["reads"]] == ["a.png"]
    (unnamed,) = api.post("/api/reads?name=..", png(disc(41)), "image/png").json()["reads"]
    assert unnamed["file"] == "image"
    assert not list(site.FOLDER.incoming.iterdir())


def test_a_body_that_is_too_long_is_not_taken(api: Client, bundle: Any, settings: Any) -> None:
    settings.LIMITS = Limits(file_bytes=100)
    answer = api.post("/api/reads", png(disc()), "image/png")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not list(site.FOLDER.incoming.iterdir())
    assert not Read.objects.exists()


def test_more_files_than_allowed_are_refused(api: Client, as_alice: Client, bundle: Any, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
    for client, address in ((api, "/api/reads"), (as_alice, "/read/")):
        files = [SimpleUploadedFile(f"{at}.png", png(disc())) for at in range(3)]
        answer = client.post(address, {"image": files}, HTTP_ACCEPT="application/json")
        assert (answer.status_code, answer.json()["code"]) == (413, "too_many_files")
    assert not list(site.FOLDER.incoming.iterdir())
    assert not Read.objects.exists()


class Gone(io.BytesIO):
    """A client that vanished."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("connection reset")


@pytest.mark.parametrize("body", [io.BytesIO(b"half"), Gone()])
def test_a_body_that_is_cut_short_leaves_no_file(token: dict[str, str], body: io.BytesIO, bundle: Any) -> None:
    told = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "image/png", "CONTENT_LENGTH": "8", "wsgi.input": body}
    request = RequestFactory().request(**told)
    with pytest.raises(EOFError):
        streamed_body(request, "x.png")
    with pytest.raises(Fault, match="ended before"):
        submit_images(request, User.objects.get(username="alice"), 0.0, "", "")
    assert not list(site.FOLDER.incoming.iterdir())


def test_faults_have_one_form(api: Client, bundle: Any) -> None:
    for answer, code in (
        (sent(api, b"hello"), "not_an_image"),
        (sent(api, png(disc()), bundle="0" * 64), "no_bundle"),
        (api.post("/api/reads"), "no_file"),
        (api.post("/api/reads", b"x", "multipart/form-data"), "not_multipart"),
        (api.post("/api/reads", b"x", "application/json"), "unsupported_type"),
        (api.post("/api/reads", b"", "image/png"), "no_file"),
        (api.post("/api/reads", b"hello", "image/png"), "not_an_image"),
        (api.post("/api/reads?bundle=0", png(disc()), "image/png"), "no_bundle"),
        (api.get("/api/reads?status=odd"), "invalid"),
        (api.get("/api/reads?bundle=odd"), "invalid"),
        (api.get("/api/reads?after=odd"), "invalid"),
        (api.get("/api/reads?after=2026-02-31T00:00:00%2B00:00~00000000-0000-4000-8000-000000000000"), "no_place"),
        (Client().get("/api/reads"), "unauthorized"),
        (api.get("/api/reads/00000000-0000-4000-8000-000000000000"), "not_found"),
        (api.get("/api/nothing"), "404"),
    ):
        assert set(answer.json()) == {"code", "detail"}
        assert answer.json()["code"] == code


def test_a_place_that_no_page_can_have_ended_at_is_not_there(api: Client, bundle: Any) -> None:
    """It has the form of one, as the schema tells it, so that it is not called invalid."""
    never = "2026-02-31T00:00:00+00:00~00000000-0000-4000-8000-000000000000"
    assert api.get("/api/reads", {"after": never}).status_code == 404


def test_paging_goes_through_everything_once(api: Client, bundle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from secondread.serve.reads import history

    monkeypatch.setattr(history, "PAGE", 2)
    for at in range(5):
        sent(api, png(disc(30 + at)))
    seen, after = [], ""
    while True:
        page = api.get("/api/reads", {"after": after}).json()
        seen += [read["id"] for read in page["reads"]]
        after = page["after"]
        if not after:
            break
    assert len(seen) == len(set(seen)) == Read.objects.count() == 5


def test_limits_are_those_of_the_site(client: Client, db: None, settings: Any) -> None:
    settings.LIMITS = Limits(files=7)
    told = client.get("/api/limits").json()
    assert told["files"] == 7
    assert set(told) == set(Limits().to_json())


def test_the_description_names_every_operation_and_its_faults(client: Client, db: None) -> None:
    told = client.get("/api/openapi.json").json()
    operations = [body for path in told["paths"].values() for body in path.values()]
    assert len(operations) == 7
    assert all(body.get("security") for body in operations if body["operationId"].rsplit("_", 1)[-1] != "limits")
    assert "multipart/form-data" in told["paths"]["/api/reads"]["post"]["requestBody"]["content"]
    for method, path in (("post", "/api/reads"), ("get", "/api/reads/{identifier}")):
        assert {"401", "503"} <= set(told["paths"][path][method]["responses"])


@pytest.fixture
def _one_connection() -> Iterator[None]:
    """Requests from outside Django's own client would close the connection that the test's transaction runs in."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("_one_connection")
def test_whatever_is_sent_the_description_holds(token: dict[str, str], bundle: Any, settings: Any) -> None:
    settings.LIMITS = Limits(waiting=100_000)
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", application)
    tried = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @hypothesis_settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate], database=None,
                             suppress_health_check=list(HealthCheck))  # fmt: skip
        def holds(case: Any) -> None:
            # random bytes fit the description of a file and are still no image, nor is every date in the calendar
            unfit = [positive_data_acceptance] if case.path == "/api/reads" else []
            case.call_and_validate(headers=token, excluded_checks=unfit)

        holds()
        tried.append(operation.label)
    assert len(tried) == 7


def test_a_wrong_method_is_answered_in_the_one_form(client: Client, db: None, token: dict[str, str]) -> None:
    answer = client.put("/api/reads", headers=token)
    assert (answer.status_code, answer["Content-Type"], answer["Allow"]) == (405, "application/json", "GET, POST")
    assert answer.json() == {"code": "405", "detail": "This address takes GET, POST, not PUT."}


def test_openapi_needs_no_other_host(client: Client, db: None) -> None:
    assert b"cdn" not in client.get("/api/openapi.json").content
    assert client.get("/api/docs").status_code == 404
    assert site.LIMITS.files
