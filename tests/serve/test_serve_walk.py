"""From upload to result, history, exports and deletion, as a browser does it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from serve_pictures import dicom, disc, png, saved, zipped

from secondread.models.bundle import Bundle
from secondread.serve.accounts.models import User
from secondread.serve.audit.models import AuditEvent
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import Feedback, Read, StoredImage
from secondread.serve.reads.places import image_path

Submit = Callable[..., Read]


def test_a_reading_is_what_the_bundle_gives(
    as_alice: Client, bundle: RegisteredBundle, submit: Submit, bundle_path: Any
) -> None:
    content = png(disc())
    read = submit(as_alice, bundle, content)
    told = Bundle.open(bundle_path, threads=1).read(content)
    assert read.result is not None
    assert read.state == told.status
    assert read.result["probabilities"] == pytest.approx(told.probabilities, abs=1e-6)
    assert read.image.content_id == told.content_id
    assert read.bundle_id == bundle.sha256


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "BMP", "JPEG"])
def test_every_kind_is_read_as_the_bundle_reads_it(
    as_alice: Client, bundle: RegisteredBundle, submit: Submit, bundle_path: Any, kind: str
) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(disc(600), kind, **options)
    told = Bundle.open(bundle_path, threads=1).read(content)
    read = submit(as_alice, bundle, content)
    assert read.result is not None
    assert read.result["probabilities"] == pytest.approx(told.probabilities, abs=1e-6)


def test_the_same_image_in_every_lossless_format_gives_the_same_probabilities(
    as_alice: Client, bundle: RegisteredBundle, submit: Submit
) -> None:
    pixels = disc(96)
    wide = pixels.astype(np.uint16) * 257
    forms = [png(pixels), saved(pixels, "TIFF"), dicom(pixels), dicom(pixels, inverted=True), dicom(wide), png(wide)]
    found = [submit(as_alice, bundle, form).result for form in forms]
    chances = np.asarray([list((result or {})["probabilities"].values()) for result in found])
    assert np.ptp(chances, axis=0).max() <= 1e-3


def test_the_page_says_the_verdict_first(as_alice: Client, bundle: RegisteredBundle, submit: Submit) -> None:
    read = submit(as_alice, bundle)
    page = as_alice.get(f"/reads/{read.id}/").content.decode()
    assert read.decision.capitalize() in page
    assert "which reaches the threshold of 50" in page
    assert page.index('class="verdict') < page.index('class="viewer"')
    assert "not a medical device" in page
    assert bundle.short in page
    assert f"About {read.decision}." in page


def test_several_files_and_an_archive_become_one_batch(as_alice: Client, bundle: RegisteredBundle, work: Any) -> None:
    files = {"one.png": png(disc(40)), "two.png": png(disc(41)), "notes.txt": b"no image"}
    answer = as_alice.post(
        "/read/",
        {"bundle": bundle.sha256, "image": [SimpleUploadedFile("all.zip", zipped(files)),
                                            SimpleUploadedFile("three.png", png(disc(42)))]},
        HTTP_ACCEPT="application/json",
    )  # fmt: skip
    told = answer.json()
    assert [read["label"] for read in told["reads"]] == ["one.png", "two.png", "three.png"]
    assert [(one["label"], one["code"]) for one in told["refused"]] == [("notes.txt", "not_an_image")]
    assert work() == 3
    page = as_alice.get(told["url"]).content.decode()
    assert "Sent together" in page
    assert page.count('class="tile read"') == 3


def test_what_is_sent_again_is_shown_with_what_comes_with_it(as_alice: Client, bundle: RegisteredBundle) -> None:
    pictures = {f"{at}.png": png(disc(40 + at)) for at in range(3)}
    for count in (2, 2, 3):
        some = SimpleUploadedFile("all.zip", zipped(dict(list(pictures.items())[:count])))
        answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": some})
        assert as_alice.get(answer["Location"]).content.decode().count('class="tile ') == count
    assert Read.objects.count() == 3


def test_without_script_the_form_leads_to_the_result(as_alice: Client, bundle: RegisteredBundle, work: Any) -> None:
    image = SimpleUploadedFile("x.png", png(disc()))
    answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image, "keep_names": "on"})
    read = Read.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/reads/{read.id}/")
    assert read.image.name == "x.png"
    assert "Reading…" in as_alice.get(f"/reads/{read.id}/").content.decode()
    assert as_alice.get(f"/reads/{read.id}/state").json() == {"state": "queued", "pending": True}
    work()
    assert as_alice.get(f"/reads/{read.id}/state").json() == {"state": "read", "pending": False}


def test_bad_uploads_are_answered_in_words(as_alice: Client, bundle: RegisteredBundle) -> None:
    def send(**form: Any) -> Any:
        return as_alice.post("/read/", form, HTTP_ACCEPT="application/json")

    assert send(bundle=bundle.sha256).json()["code"] == "no_file"
    assert send(bundle="x", image=SimpleUploadedFile("x.png", png(disc()))).json()["code"] == "no_bundle"
    told = send(bundle=bundle.sha256, image=SimpleUploadedFile("x.png", b"hello"))
    assert told.status_code == 422
    assert told.json()["refused"][0]["code"] == "not_an_image"
    assert not StoredImage.objects.exists()


def test_the_same_image_is_stored_and_read_once(as_alice: Client, bundle: RegisteredBundle, submit: Submit) -> None:
    first, second = submit(as_alice, bundle), submit(as_alice, bundle)
    assert first.id == second.id
    assert StoredImage.objects.count() == 1


def test_an_image_whose_file_was_lost_is_stored_anew(
    as_alice: Client, alice: User, bundle: RegisteredBundle, submit: Submit
) -> None:
    read = submit(as_alice, bundle)
    alice.refresh_from_db()
    held = alice.stored_bytes
    image_path(read.image_id).unlink()
    assert as_alice.get(f"/reads/{read.id}/pixels").status_code == 404
    assert submit(as_alice, bundle).id == read.id
    assert as_alice.get(f"/reads/{read.id}/pixels").status_code == 200
    alice.refresh_from_db()
    assert alice.stored_bytes == held
    assert len(list(settings.FOLDER.images.rglob("*.npz"))) == 1


def test_another_bundle_reads_the_stored_image(
    as_alice: Client, bundles: list[RegisteredBundle], submit: Submit, work: Any, other_bundle_path: Any
) -> None:
    content = png(disc(80))
    read = submit(as_alice, bundles[0], content)
    as_alice.post(f"/reads/{read.id}/again", {"bundle": bundles[1].sha256})
    work()
    other = Read.objects.get(bundle=bundles[1])
    told = Bundle.open(other_bundle_path, threads=1).read(content)
    assert other.result is not None
    assert other.result["probabilities"] == pytest.approx(told.probabilities, abs=1e-6)
    assert other.image_id == read.image_id
    page = as_alice.get(f"/reads/{read.id}/").content.decode()
    assert f"/reads/{other.id}/" in page


def test_the_viewer_gets_full_depth(as_alice: Client, bundle: RegisteredBundle, submit: Submit) -> None:
    wide = (disc(50).astype(np.uint16) << 4) + 3
    read = submit(as_alice, bundle, dicom(wide, BitsStored=12, HighBit=11))
    answer = as_alice.get(f"/reads/{read.id}/pixels")
    assert json.loads(answer["X-Shape"]) == [50, 50]
    assert answer["X-Kind"] == "uint16"
    assert np.array_equal(np.frombuffer(answer.content, "<u2").reshape(50, 50), wide)
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    heat = as_alice.get(f"/reads/{read.id}/heatmap")
    assert json.loads(heat["X-Shape"]) == [2, 8, 8]
    assert max(heat.content) == 255
    assert as_alice.get(f"/reads/{read.id}/thumbnail.png").content.startswith(b"\x89PNG")


def test_history_searches_filters_and_turns_pages(
    as_alice: Client, bundle: RegisteredBundle, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondread.serve.reads import history

    monkeypatch.setattr(history, "PAGE", 2)
    reads = [submit(as_alice, bundle, png(disc(30 + at))) for at in range(5)]
    seen, address = [], "/reads/"
    while address:
        page = as_alice.get(address).content.decode()
        seen += [read.id for read in reads if f'href="/reads/{read.id}/"' in page]
        older = page.partition('rel="next" href="')[2].partition('"')[0]
        address = older.replace("&amp;", "&")
    assert sorted(map(str, seen)) == sorted(str(read.id) for read in reads)
    wanted = reads[2].image.content_id[:10]
    found = as_alice.get(f"/reads/?q={wanted}").content.decode()
    assert f"/reads/{reads[2].id}/" in found
    assert f"/reads/{reads[1].id}/" not in found
    assert "Nothing matches" in as_alice.get("/reads/?state=failed").content.decode()
    assert "Nothing matches" in as_alice.get("/reads/?until=2001-01-01").content.decode()
    ends = ("?until=9999-12-31", f"?after=9999-12-31T23:59:59-23:00~{reads[0].id}")
    for odd in (
        "?after=x",
        "?after=2026-01-01~zz",
        "?since=99",
        "?batch=1",
        "?state=zz",
        "?q=%00a",
        "?bundle=%27",
        *ends,
    ):
        assert as_alice.get(f"/reads/{odd}").status_code == 200


@pytest.mark.parametrize("page", ["", "export.csv"])
def test_the_days_of_a_search_are_those_that_the_browser_shows(
    page: str, as_alice: Client, bundle: RegisteredBundle, submit: Submit
) -> None:
    read = submit(as_alice, bundle)
    Read.objects.update(created="2026-11-29T23:00:00Z")  # eight in the morning of the 30th in Tokyo

    def found(query: str) -> bool:
        answer = as_alice.get(f"/reads/{page}?{query}")
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return str(read.id) in content.decode()

    assert found("since=2026-11-30&until=2026-11-30&zone=Asia/Tokyo")
    assert not found("until=2026-11-29&zone=Asia/Tokyo")
    assert found("since=2026-11-29&until=2026-11-29")
    assert not found("since=2026-11-30&zone=America/New_York")
    for odd in ("zone=Asia", "zone=../etc/passwd", "zone=%00", "zone=Nowhere/None", f"zone={'x' * 9999}"):
        assert found(f"since=2026-11-29&until=2026-11-29&{odd}")
    for day in ("0001-01-01", "9999-12-30"):
        assert as_alice.get(f"/reads/{page}?since={day}&until={day}&zone=Asia/Tokyo").status_code == 200


def test_exports_hold_what_the_page_shows(as_alice: Client, bundle: RegisteredBundle, submit: Submit) -> None:
    read = submit(as_alice, bundle)
    told = json.loads(as_alice.get(f"/reads/{read.id}/reading.json").content)
    assert (told["status"], told["bundle"]) == (read.state, bundle.sha256)
    table = b"".join(as_alice.get("/reads/export.csv").streaming_content).decode()  # type: ignore[attr-defined]
    (row,) = csv.DictReader(io.StringIO(table))
    assert row["content_id"] == read.image.content_id
    lines = b"".join(as_alice.get("/reads/export.jsonl").streaming_content)  # type: ignore[attr-defined]
    assert json.loads(lines)["probabilities"] == told["probabilities"]
    report = as_alice.get(f"/reads/{read.id}/report.pdf")
    assert report.content.startswith(b"%PDF-1.4")
    assert report["Content-Disposition"].startswith("attachment")


def test_a_cell_is_never_a_formula(as_alice: Client, alice: User, bundle: RegisteredBundle, submit: Submit) -> None:
    User.objects.filter(pk=alice.pk).update(keep_names=True)
    submit(as_alice, bundle, name="=HYPERLINK(1).png")
    table = b"".join(as_alice.get("/reads/export.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert "'=HYPERLINK" in table


def test_feedback_is_kept_changed_and_withdrawn(as_alice: Client, bundle: RegisteredBundle, submit: Submit) -> None:
    read = submit(as_alice, bundle)
    as_alice.post(f"/reads/{read.id}/feedback", {"opinion": "disagree", "truth": "normal"})
    assert (Feedback.objects.get().agrees, Feedback.objects.get().truth) == (False, "normal")
    as_alice.post(f"/reads/{read.id}/feedback", {"opinion": "agree", "truth": "a class of another model"})
    assert Feedback.objects.get().truth == "normal"
    as_alice.post(f"/reads/{read.id}/feedback", {"opinion": "none"})
    assert not Feedback.objects.exists()


def test_deleting_leaves_nothing_but_the_audit_event(
    as_alice: Client, alice: User, bundle: RegisteredBundle, submit: Submit
) -> None:
    reads = [submit(as_alice, bundle, png(disc(30 + at))) for at in range(3)]
    paths = [image_path(read.image_id) for read in reads]
    assert all(path.stat().st_mode & 0o077 == 0 for path in paths)
    as_alice.post(f"/reads/{reads[0].id}/delete")
    as_alice.post("/reads/delete", {"read": [str(read.id) for read in reads[1:]] + ["x"]})
    assert not any(path.exists() for path in paths)
    assert not Read.objects.exists()
    assert not StoredImage.objects.exists()
    alice.refresh_from_db()
    assert alice.stored_bytes == 0
    assert AuditEvent.objects.filter(action="delete").count() == 3


def test_an_image_stays_while_another_read_needs_it(
    as_alice: Client, bundles: list[RegisteredBundle], submit: Submit, work: Any
) -> None:
    read = submit(as_alice, bundles[0])
    as_alice.post(f"/reads/{read.id}/again", {"bundle": bundles[1].sha256})
    told = as_alice.post(f"/reads/{read.id}/delete", follow=True).content.decode()
    assert "its image stays" in told
    assert image_path(read.image_id).exists()
    assert work() == 1
    told = as_alice.post(f"/reads/{Read.objects.get().id}/delete", follow=True).content.decode()
    assert "with its image" in told
    assert not image_path(read.image_id).exists()


def test_what_happened_is_in_the_audit_log(as_alice: Client, bundle: RegisteredBundle, submit: Submit) -> None:
    read = submit(as_alice, bundle)
    as_alice.get(f"/reads/{read.id}/")
    as_alice.get(f"/reads/{read.id}/report.pdf")
    done = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"login", "upload", "view", "export"} <= done


def test_model_pages_and_download(
    as_alice: Client, as_bob: Client, alice: User, bundle: RegisteredBundle, tmp_path: Any
) -> None:
    assert bundle.name in as_alice.get("/models/").content.decode()
    page = as_alice.get(f"/models/{bundle.sha256}/").content.decode()
    assert "0.400 to 0.600" in page
    assert as_alice.get(f"/models/{bundle.sha256}/download").status_code == 404
    bundle.downloads = "chosen"
    bundle.save()
    bundle.downloaders.add(alice)
    assert as_bob.get(f"/models/{bundle.sha256}/download").status_code == 404
    packed = tmp_path / "bundle.zip"
    packed.write_bytes(b"".join(as_alice.get(f"/models/{bundle.sha256}/download")))
    assert Bundle.open(packed, threads=1).sha256 == bundle.sha256


def test_a_name_in_an_archive_is_kept_without_its_folders(
    as_alice: Client, alice: User, bundle: RegisteredBundle
) -> None:
    """Some systems write backslashes between them, and patients' names on them."""
    User.objects.filter(pk=alice.pk).update(keep_names=True)
    packed = zipped({"Doe^Jane\\1\\scan\n\u202e1.png": png(disc(44)), "Roe/2.png": png(disc(45))})
    body = {"bundle": bundle.sha256, "image": SimpleUploadedFile("x.zip", packed)}
    answer = as_alice.post("/read/", body, HTTP_ACCEPT="application/json")
    assert [read["label"] for read in answer.json()["reads"]] == ["scan1.png", "2.png"]
    assert set(StoredImage.objects.values_list("name", flat=True)) == {"scan1.png", "2.png"}
