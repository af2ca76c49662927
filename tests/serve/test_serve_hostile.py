"""Uploads that mean harm: refused with a reason, nothing kept, nothing broken."""

from __future__ import annotations

import errno
import io
import os
import random
import resource
import signal
import stat
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from serve_pictures import canary_dicom, dicom, disc, png, png_that_claims, saved, zipped

from secondread.serve.accounts.models import User
from secondread.serve.audit.models import AuditEvent
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.limits import Limits
from secondread.serve.reads import jail
from secondread.serve.reads.models import Read, StoredImage

GOOD = png(disc())


def nested() -> bytes:
    return zipped({"inner.zip": zipped({"x.png": GOOD})})


def with_link() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as packed:
        entry = zipfile.ZipInfo("link.png")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/passwd")
    return written.getvalue()


def nameless() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as packed:
        packed.writestr(zipfile.ZipInfo(""), GOOD)
    return written.getvalue()


def encrypted() -> bytes:
    content = bytearray(zipped({"x.png": GOOD}))
    content[6] |= 1
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    return bytes(content)


def lying_zip() -> bytes:
    """The directory says a megabyte less than unpacks."""
    content = bytearray(zipped({"x.png": b"\0" * (1 << 20)}))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = (100).to_bytes(4, "little")
    return bytes(content)


CORPUS: dict[str, tuple[bytes, str]] = {
    "text": (b"hello there", "not_an_image"),
    "nothing": (b"", "empty"),
    "html": (b"<html><script>alert(1)</script>", "not_an_image"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "not_an_image"),
    "elf": (b"\x7fELF" + b"\0" * 200, "not_an_image"),
    "flood of pixels": (png_that_claims(30_000, 30_000), "too_large"),
    "more pixels than allowed": (png_that_claims(8_000, 8_000), "too_large"),
    "zero pixels": (png_that_claims(0, 10), "damaged truncated"),
    "cut short": (GOOD[: len(GOOD) // 2], "truncated"),
    "one value": (png(np.full((40, 40), 7, np.uint8)), "constant"),
    "gif": (saved(disc(), "GIF"), "not_an_image"),
    "pdf": (saved(disc(), "PDF"), "not_an_image"),
    "program before DICOM": (b"MZ" + b"\0" * 126 + dicom(disc())[128:], "preamble"),
    "shell before DICOM": (b"#!/bin/sh\nrm -rf /\n" + b"\0" * 109 + dicom(disc())[128:], "preamble"),
    "two frames": (dicom(disc(), NumberOfFrames=2), "multi_frame"),
    "frames without end": (dicom(disc(), NumberOfFrames=2_000_000_000), "multi_frame"),
    "rows too many": (dicom(disc(), Rows=60_000, Columns=60_000), "too_large"),
    "pixels missing": (dicom(disc(), Rows=64, Columns=65), "truncated"),
    "archive in archive": (nested(), "nested_archive"),
    "archive of nothing": (zipped({}), "empty_archive"),
    "archive that climbs out": (zipped({"../../x.png": GOOD}), "unsafe_archive"),
    "archive with an absolute path": (zipped({"/etc/x.png": GOOD}), "unsafe_archive"),
    "archive with a nameless file": (nameless(), "unsafe_archive"),
    "archive with a link": (with_link(), "unsafe_archive"),
    "archive with a password": (encrypted(), "encrypted_archive"),
    "archive that lies": (lying_zip(), "damaged_archive"),
    "archive of many": (zipped({f"{at}.png": b"x" for at in range(1000)}), "too_many_files"),
    "archive that swells": (zipped({"x.png": b"\0" * (30 << 20)}), "archive_too_large"),
    "archive cut short": (zipped({"x.png": GOOD})[:-30], "damaged_archive"),
}


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_every_hostile_file_is_refused_with_its_reason(name: str, as_alice: Client, bundle: RegisteredBundle) -> None:
    content, codes = CORPUS[name]
    image = SimpleUploadedFile("x.png", content)
    answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
    assert answer.status_code == 422
    (refused,) = answer.json()["refused"]
    assert refused["code"] in codes.split()
    assert refused["reason"]
    assert nothing_is_left()


def nothing_is_left() -> bool:
    files = [*settings.FOLDER.incoming.iterdir(), *settings.FOLDER.images.rglob("*.npz")]
    return not files and not StoredImage.objects.exists() and not Read.objects.exists()


def test_mutated_files_never_break_the_site(as_alice: Client, bundle: RegisteredBundle) -> None:
    """A small draw of what the bench does fifty thousand times."""
    drawn = random.Random(1)
    seeds = [dicom(disc(32)), png(disc(32)), saved(disc(32), "JPEG"), saved(disc(32), "TIFF"), zipped({"a.png": GOOD})]
    for at in range(40):
        content = bytearray(seeds[at % len(seeds)])
        for _ in range(drawn.randint(1, 6)):
            place = drawn.randrange(len(content))
            if drawn.random() < 0.15:
                del content[place:]
                content = content or bytearray(b"\0")
            else:
                content[place] = drawn.randrange(256)
        image = SimpleUploadedFile("x", bytes(content))
        answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
        assert answer.status_code in (200, 422)
    assert not list(settings.FOLDER.incoming.iterdir())


def test_a_decoder_that_takes_too_much_is_ended(settings: Any, as_alice: Client, bundle: RegisteredBundle) -> None:
    settings.LIMITS = Limits(decode_memory=1 << 20)
    image = SimpleUploadedFile("x.png", png(np.random.default_rng(0).integers(0, 255, (3000, 3000)).astype(np.uint8)))
    answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
    assert answer.json()["refused"][0]["code"] in ("too_large", "too_costly", "damaged")
    settings.LIMITS = Limits()
    assert jail.JAIL.keeper is not None
    answer = as_alice.post(
        "/read/", {"bundle": bundle.sha256, "image": SimpleUploadedFile("x.png", GOOD)}, HTTP_ACCEPT="application/json"
    )
    assert answer.status_code == 200


def test_the_keeper_is_started_again_when_it_died(as_alice: Client, bundle: RegisteredBundle, submit: Any) -> None:
    submit(as_alice, bundle)
    assert jail.JAIL.keeper is not None
    jail.JAIL.keeper.kill()
    jail.JAIL.keeper.wait()
    submit(as_alice, bundle, png(disc(31)))


def test_a_file_is_not_blamed_for_the_death_of_the_keeper(as_alice: Client, bundle: Any, submit: Any) -> None:
    submit(as_alice, bundle)
    keeper, folder = jail.JAIL.keeper, jail.JAIL.folder
    assert keeper is not None
    assert folder is not None
    for child in Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGSTOP)  # so that nobody answers

    def end() -> None:
        while Path("/proc/net/unix").read_text().count(f"{folder.name}/jail") < 2:
            pass  # until the task has been handed over
        keeper.kill()

    ending = threading.Thread(target=end)
    ending.start()
    read = submit(as_alice, bundle, png(disc(33)))
    ending.join()
    assert read.done


@pytest.mark.parametrize("size", [(1 << 20) + 1, 3 << 20])
def test_one_byte_too_many_ends_the_transfer(size: int, settings: Any, as_alice: Client, bundle: Any) -> None:
    settings.LIMITS = Limits(file_bytes=1 << 20, request_bytes=4 << 20)
    image = SimpleUploadedFile("x.png", b"x" * size)
    with warnings.catch_warnings():
        answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert nothing_is_left()


def test_bodies_that_say_too_much_or_nothing_are_not_read(settings: Any, as_alice: Client, bundle: Any) -> None:
    settings.LIMITS = Limits(request_bytes=1 << 20)
    body = b"x" * 100
    kind = "multipart/form-data; boundary=x"
    assert as_alice.post("/read/", body, kind, CONTENT_LENGTH=str(4 << 30)).status_code == 413
    assert as_alice.post("/accounts/login/", body, kind, CONTENT_LENGTH=str(2 << 20)).status_code == 413
    assert as_alice.post("/read/", body, kind, HTTP_TRANSFER_ENCODING="chunked").status_code == 411
    assert as_alice.post("/read/", body, kind, HTTP_CONTENT_ENCODING="gzip").status_code == 415
    assert as_alice.post("/read/", body, kind, CONTENT_LENGTH="many").status_code == 400


def test_the_share_of_the_disk_is_kept(settings: Any, as_alice: Client, alice: User, bundle: Any, submit: Any) -> None:
    submit(as_alice, bundle)
    alice.refresh_from_db()
    settings.LIMITS = Limits(quota_bytes=alice.stored_bytes + 10)
    image = SimpleUploadedFile("y.png", png(disc(70)))
    answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
    assert (answer.status_code, answer.json()["code"]) == (413, "quota")
    assert StoredImage.objects.count() == len(list(settings.FOLDER.images.rglob("*.npz"))) == 1


def test_a_full_disk_takes_nothing_in(monkeypatch: pytest.MonkeyPatch, as_alice: Client, bundle: Any) -> None:
    monkeypatch.setattr("secondread.serve.reads.door.free_bytes", lambda: 1000)
    image = SimpleUploadedFile("y.png", GOOD)
    answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    assert nothing_is_left()


def test_a_disk_that_is_found_full_when_written_out_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, as_alice: Client, alice: User, bundle: Any
) -> None:
    """Quotas and network disks say so at the end; such a disk cannot be made here."""

    def full(_: int) -> None:
        raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr("secondread.serve.reads.places.os.fsync", full)
    image = SimpleUploadedFile("y.png", GOOD)
    answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    alice.refresh_from_db()
    assert alice.stored_bytes == 0
    assert nothing_is_left()


@pytest.mark.parametrize("way", ["form", "program's form", "body"])
def test_a_disk_that_is_full_while_a_file_arrives_is_said_so(
    way: str, as_alice: Client, token: dict[str, str], bundle: Any
) -> None:
    content, (soft, hard) = bytes(9 << 20), resource.getrlimit(resource.RLIMIT_FSIZE)
    image = SimpleUploadedFile("y.png", content)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, hard))  # no file of this process becomes larger
    try:
        if way == "form":
            answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
        elif way == "body":
            answer = Client().post("/api/reads", content, content_type="image/png", headers=token)
        else:
            answer = Client().post("/api/reads", {"image": image}, headers=token)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    assert nothing_is_left()


def test_when_too_many_come_they_are_told_when_to_come_back(settings: Any, as_alice: Client, bundle: Any) -> None:
    settings.LIMITS = Limits(waiting=1)
    for name, code in (("a", 200), ("b", 503)):
        image = SimpleUploadedFile("x.png", png(disc(30 + ord(name) % 7)))
        answer = as_alice.post("/read/", {"bundle": bundle.sha256, "image": image}, HTTP_ACCEPT="application/json")
        assert answer.status_code == code
    assert answer["Retry-After"] == "3"


def test_nothing_that_names_a_patient_gets_in(
    as_alice: Client, bundle: RegisteredBundle, submit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Unique words in every element that can name somebody, in the file's name and in its metadata."""
    from django.apps import apps

    content, words = canary_dicom(disc())
    words.append("CanaryFileName")
    with caplog.at_level("DEBUG"):
        read = submit(as_alice, bundle, content, name="CanaryFileName.dcm")
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("Comment", "CanaryPng")
        submit(as_alice, bundle, png(disc(50), pnginfo=info), name="CanaryFileName.png")
    words.append("CanaryPng")
    pages = [as_alice.get(address).content for address in
             ("/reads/", f"/reads/{read.id}/", f"/reads/{read.id}/reading.json", f"/reads/{read.id}/report.dcm",
              f"/reads/{read.id}/capture.dcm", f"/reads/{read.id}/report.pdf")]  # fmt: skip
    rows = [str(list(model.objects.values())) for model in apps.get_models() if hasattr(model, "objects")]
    files = [path.read_bytes() for path in settings.FOLDER.root.rglob("*.npz")]
    for word in words:
        assert not any(word.encode() in page for page in pages), word
        assert not any(word in row for row in rows), word
        assert not any(word.encode() in file for file in files), word
        assert word not in caplog.text, word
    assert AuditEvent.objects.filter(action="upload").count() == 2


def test_uids_are_replaced_alike_and_kept_where_the_site_says_so(
    settings: Any, as_alice: Client, bundle: Any, submit: Any
) -> None:
    first = submit(as_alice, bundle, dicom(disc(40)))
    second = submit(as_alice, bundle, dicom(disc(41), SOPInstanceUID="1.2.3.4.5.7"))
    one, two = first.image.facts["tags"], second.image.facts["tags"]
    assert one["StudyInstanceUID"] == two["StudyInstanceUID"]
    assert one["StudyInstanceUID"].startswith("2.25.")
    assert one["SOPInstanceUID"] != two["SOPInstanceUID"]
    assert (one["Modality"], one["ViewPosition"], one["PatientOrientation"]) == ("CR", "PA", "L\\F")
    assert "patient’s number" not in as_alice.get("/about/").content.decode()
    settings.KEEP_UIDS = True
    assert "patient’s number" in as_alice.get("/about/").content.decode()
    third = submit(as_alice, bundle, dicom(disc(42), PatientID="P-7"))
    assert third.image.facts["tags"]["StudyInstanceUID"] == "1.2.3.4"
    assert third.image.facts["tags"]["PatientID"] == "P-7"


def test_file_names_are_shown_as_text_and_nothing_else(as_alice: Client, alice: User, bundle: Any, submit: Any) -> None:
    User.objects.filter(pk=alice.pk).update(keep_names=True)
    read = submit(as_alice, bundle, name="<img src=x onerror=alert(1)>.png")
    page = as_alice.get(f"/reads/{read.id}/").content.decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;.png" in page
