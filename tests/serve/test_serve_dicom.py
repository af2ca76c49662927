"""Reports and captures: valid by dciodvfy, readable by dcmtk, about the right image, sent and looked for."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from django.test import Client
from serve_pictures import dicom, disc, png, zipped

from secondread.serve.audit.models import AuditEvent
from secondread.serve.dicom.structured import finding_code
from secondread.serve.reads.models import Read
from secondread.serve.reports.pdf import WIDTH

NEEDS = pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (dicom3tools) is not installed")


def both(client: Client, read: Read) -> dict[str, bytes]:
    return {name: client.get(f"/reads/{read.id}/{name}.dcm").content for name in ("report", "capture")}


def faults(content: bytes, folder: Path) -> list[str]:
    path = folder / "object.dcm"
    path.write_bytes(content)
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in told.stderr.splitlines() if line.startswith("Error")]


SOURCES = {
    "png": png(disc()),
    "cr of a chest": dicom(disc()),
    "sixteen bits, inverted": dicom(disc().astype(np.uint16) * 200, inverted=True),
    "of a hand": dicom(disc(50), BodyPartExamined="HAND", Laterality="L", ViewPosition=""),
    "without orientation": dicom(disc(51), PatientOrientation=""),
    "oblique": dicom(disc(52), BodyPartExamined="BREAST", Laterality="L", PatientOrientation=["A", "FR"]),
    "of a class that is retired": dicom(disc(53), SOPClassUID="1.2.840.10008.5.1.4.1.1.6", Modality="US"),
}


@NEEDS
@pytest.mark.parametrize("source", sorted(SOURCES))
def test_what_we_write_is_valid(source: str, as_alice: Client, bundle: Any, submit: Any, tmp_path: Path) -> None:
    for content in both(as_alice, submit(as_alice, bundle, SOURCES[source])).values():
        assert faults(content, tmp_path) == []


@NEEDS
def test_several_findings_and_doubt_are_valid_too(
    as_alice: Client, bundles: list[Any], submit: Any, tmp_path: Path
) -> None:
    read = submit(as_alice, bundles[1], png(disc()))
    assert read.result is not None
    sure = read.result | {
        "decision": ["covid-19"],
        "probabilities": {"normal": 0.5, "covid-19": 0.9, "pneumonia": 0.01},
    }
    Read.objects.filter(id=read.id).update(state="uncertain", decision="covid-19", result=sure)
    content = both(as_alice, read)["report"]
    assert faults(content, tmp_path) == []
    told = str(pydicom.dcmread(io.BytesIO(content)))
    assert all(word in told for word in ("Indeterminate", "Present", "Absent", "COVID-19", "90.0"))


@NEEDS
def test_names_in_other_letters_are_written(as_alice: Client, bundles: list[Any], submit: Any, tmp_path: Path) -> None:
    read = submit(as_alice, bundles[1], png(disc()))
    chances = {"covid-19": 0.9, "肺炎": 0.2, "Lungenentzündung": 0.1, "cyst\\mass": 0.1, "a\tb": 0.1}
    told = read.result | {"probabilities": chances}
    Read.objects.filter(id=read.id).update(decision="covid-19", result=told)
    content = both(as_alice, read)["report"]
    assert faults(content, tmp_path) == []
    shown = str(pydicom.dcmread(io.BytesIO(content)))
    assert "'肺炎'" in shown
    assert "'Lungenentzündung'" in shown
    assert "'cyst/mass'" in shown


def test_the_report_says_what_read_what(as_alice: Client, bundle: Any, submit: Any) -> None:
    read = submit(as_alice, bundle, dicom(disc()))
    report = pydicom.dcmread(io.BytesIO(both(as_alice, read)["report"]))
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    told = report.to_json()
    assert f"sha256={bundle.sha256}" in told
    assert "not a medical device" in report.SeriesDescription
    tags = read.image.facts["tags"]
    assert report.StudyInstanceUID == tags["StudyInstanceUID"]
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == tags["SOPInstanceUID"]
    assert both(as_alice, read) == both(as_alice, read)


def test_objects_say_of_which_clock_their_times_are(as_alice: Client, bundle: Any, submit: Any) -> None:
    read = submit(as_alice, bundle)
    for content in both(as_alice, read).values():
        made = pydicom.dcmread(io.BytesIO(content))
        for day, time in ((made.ContentDate, made.ContentTime), (made.InstanceCreationDate, made.InstanceCreationTime)):
            moment = datetime.strptime(f"{day}{time}{made.TimezoneOffsetFromUTC}", "%Y%m%d%H%M%S%z")
            assert moment == read.finished.replace(microsecond=0)


def test_a_report_about_a_picture_refers_to_the_capture(as_alice: Client, bundle: Any, submit: Any) -> None:
    made = both(as_alice, submit(as_alice, bundle))
    report, capture = (pydicom.dcmread(io.BytesIO(made[name])) for name in ("report", "capture"))
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == capture.SOPInstanceUID
    assert (report.PatientID, report.StudyInstanceUID) == (capture.PatientID, capture.StudyInstanceUID)


@pytest.mark.parametrize(
    ("told", "written"), [(["A", "FR"], ["A", "FR"]), (["L", "F"], ["L", "F"]), ("", ""), (["LR", "AA"], "")]
)
def test_sides_are_those_of_the_image_or_unknown(
    told: Any, written: Any, as_alice: Client, bundle: Any, submit: Any
) -> None:
    """Viewers draw letters for left and right from them."""
    made = both(as_alice, submit(as_alice, bundle, dicom(disc(), PatientOrientation=told)))
    assert pydicom.dcmread(io.BytesIO(made["capture"])).PatientOrientation == written
    assert pydicom.dcmread(io.BytesIO(made["report"])).Modality == "SR"


@pytest.mark.parametrize(
    ("keeps", "number"), [(False, None), (True, "P-7"), (True, ""), (True, "7\0 8"), (True, "A\\B")]
)
def test_a_study_is_of_one_patient(
    keeps: bool, number: str | None, as_alice: Client, bundle: Any, submit: Any, settings: Any
) -> None:
    """An archive takes a study under another number for another study."""
    settings.KEEP_UIDS = keeps
    found = set()
    for at in range(2):
        image = dicom(disc(60 + at), SOPInstanceUID=f"1.2.3.4.5.{at}", PatientID=number or "")
        for content in both(as_alice, submit(as_alice, bundle, image)).values():
            made = pydicom.dcmread(io.BytesIO(content))
            written = made.PatientID
            found.add((made.StudyInstanceUID, written if isinstance(written, str) else "\\".join(written)))
    ((_, patient),) = found
    assert patient.startswith("SR-") if number is None else patient == number.replace("\0", "")


@pytest.mark.parametrize("packed", [False, True])
def test_an_image_sent_again_after_uids_are_kept_reaches_its_study(
    packed: bool, as_alice: Client, bundle: Any, submit: Any, settings: Any
) -> None:
    """The first thing to try once the setting is made, and the archive has the pseudonymous report already."""
    image = dicom(disc(58), PatientID="P-7")
    first = submit(as_alice, bundle, image)
    before = pydicom.dcmread(io.BytesIO(both(as_alice, first)["report"]))
    settings.KEEP_UIDS = True
    again = submit(as_alice, bundle, zipped({"x.dcm": image}) if packed else image)
    after = pydicom.dcmread(io.BytesIO(both(as_alice, again)["report"]))
    assert again.id == first.id
    assert (after.StudyInstanceUID, after.PatientID) == ("1.2.3.4", "P-7") != (before.StudyInstanceUID, "P-7")
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert both(as_alice, again) == both(as_alice, submit(as_alice, bundle, image))


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="dcm2pnm (dcmtk) is not installed")
def test_dcmtk_sees_the_pixels_we_wrote(as_alice: Client, bundle: Any, submit: Any, tmp_path: Path) -> None:
    content = both(as_alice, submit(as_alice, bundle))["capture"]
    (tmp_path / "a.dcm").write_bytes(content)
    subprocess.run(["dcm2pnm", "--write-raw-pnm", tmp_path / "a.dcm", tmp_path / "a.ppm"], check=True)
    from PIL import Image

    with Image.open(tmp_path / "a.ppm") as seen:
        assert np.array_equal(np.asarray(seen), pydicom.dcmread(io.BytesIO(content)).pixel_array)


def test_a_long_headline_stays_on_the_page(as_alice: Client, bundles: list[Any], submit: Any) -> None:
    read = submit(as_alice, bundles[1], png(disc()))
    names = ["normal", "Cardiomegaly", "Consolidation", "Infiltration", "Pleural Thickening", "Pneumothorax"]
    told = read.result | {"decision": names, "probabilities": dict.fromkeys(names, 0.9)}
    Read.objects.filter(id=read.id).update(state="read", decision=" | ".join(names), result=told)
    content = as_alice.get(f"/reads/{read.id}/report.pdf").content
    drawn = zlib.decompressobj().decompress(content.partition(b"stream\n")[2]).decode("cp1252")
    lines = re.findall(r"BT /F2 19 Tf .* rg ([\d.]+) [\d.]+ Td \((.*)\) Tj ET", drawn)
    assert " ".join(words for _, words in lines).startswith("6 findings: normal, Cardiomegaly")
    assert all(float(left) + 0.55 * 19 * len(words) < WIDTH for left, words in lines)


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext (poppler) is not installed")
def test_a_report_in_any_letters_can_be_copied(
    as_alice: Client, bundles: list[Any], submit: Any, tmp_path: Path
) -> None:
    read = submit(as_alice, bundles[1], png(disc()))
    names = ["Zapalenie płuc", "肺炎の疑い", "effusion (left)", "長い名前" * 10]
    told = read.result | {"decision": names[:2], "probabilities": dict.fromkeys(names, 0.9), "heat": None}
    Read.objects.filter(id=read.id).update(state="read", decision=" | ".join(names[:2]), result=told, heat=None)
    model = read.bundle
    model.card |= {"thresholds": dict.fromkeys(names, 0.3), "uncertain": {}, "classes": names}
    model.save()
    (tmp_path / "a.pdf").write_bytes(as_alice.get(f"/reads/{read.id}/report.pdf").content)
    subprocess.run(["pdftotext", "-layout", tmp_path / "a.pdf", tmp_path / "a.txt"], check=True)
    seen = " ".join((tmp_path / "a.txt").read_text(encoding="utf8").split())
    assert "2 findings: Zapalenie płuc and 肺炎の疑い" in seen
    assert "effusion (left)" in seen
    assert f"Read {read.id}" in seen
    assert "長い名前" * 10 not in seen
    assert "長い名前" * 2 in seen
    assert "?" not in seen


def test_the_foot_of_the_page_stays_free_and_whole(as_alice: Client, bundles: list[Any], submit: Any) -> None:
    read = submit(as_alice, bundles[1], png(disc()))
    names = [f"Finding {at} with quite a long name" for at in range(30)]
    told = read.result | {"decision": names, "probabilities": dict.fromkeys(names, 0.9), "heat": None}
    Read.objects.filter(id=read.id).update(state="read", result=told, heat=None)
    model = read.bundle
    banner = " ".join(["every number of this study is too good"] * 6) + " ENDED"
    model.card |= {"texts": dict.fromkeys(names, "Told at length. " * 90), "banners": [banner]}
    model.card |= {"thresholds": dict.fromkeys(names, 0.3), "uncertain": {}, "classes": names}
    model.save()
    content = as_alice.get(f"/reads/{read.id}/report.pdf").content
    drawn = zlib.decompressobj().decompress(content.partition(b"stream\n")[2]).decode("cp1252")
    texts = [(float(size), float(y), words) for size, y, words in
             re.findall(r"BT /F. ([\d.]+) Tf .* rg [\d.-]+ ([\d.-]+) Td \((.*)\) Tj ET", drawn)]  # fmt: skip
    foot = max(y for size, y, words in texts if words.startswith("Model "))
    assert min(y for size, y, _ in texts if size > 7.5) > foot + 7.5
    assert any(words.endswith("ENDED") for _, y, words in texts if y < foot)
    assert any("more of 30 classes" in words for _, _, words in texts)


def test_classes_without_a_code_carry_their_name() -> None:
    assert finding_code("Covid-19").value == "840539006"
    own = finding_code("A very long class nobody coded")
    assert own.scheme_designator == "99SECONDREAD"
    assert (own.meaning, len(own.value) <= 16) == ("A very long class nobody coded", True)
    assert finding_code("lung opacity").value == "LUNG_OPACITY"
    names = ("pleural thickening left", "pleural thickening right", "良性", "恶性", "grade +", "grade -")
    codes = {finding_code(name).value for name in names}
    assert len(codes) == len(names)
    assert all(len(code) <= 16 for code in codes)


class Archive(BaseHTTPRequestHandler):
    """Answers STOW-RS and QIDO-RS; stores, or only says so."""

    honest = True
    stored: list[bytes] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.honest:
            self.stored.append(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_GET(self) -> None:
        uid = self.path.partition("SOPInstanceUID=")[2].partition("&")[0].encode()
        known = any(uid in body for body in self.stored)
        self.send_response(200 if known else 204)
        self.send_header("Content-Type", "application/dicom+json")
        self.end_headers()
        if known:
            self.wfile.write(b'[{"00080018": {"vr": "UI", "Value": ["%b"]}}]' % uid)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def archive(settings: Any) -> Iterator[type[Archive]]:
    server = HTTPServer(("127.0.0.1", 0), Archive)
    Archive.stored, Archive.honest = [], True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings.PACS_URL = f"http://127.0.0.1:{server.server_port}/dicom-web"
    yield Archive
    server.shutdown()
    thread.join()
    server.server_close()


def test_reports_reach_the_archive_and_are_looked_for(
    archive: type[Archive], as_alice: Client, bundle: Any, submit: Any
) -> None:
    read = submit(as_alice, bundle)
    assert "Send to the archive" in as_alice.get(f"/reads/{read.id}/").content.decode()
    answer = as_alice.post(f"/reads/{read.id}/send", follow=True)
    assert "are in the archive" in answer.content.decode()
    assert len(archive.stored) >= 1
    archive.stored, archive.honest = [], False
    answer = as_alice.post(f"/reads/{read.id}/send", follow=True)
    assert "does not find it" in answer.content.decode()
    assert set(AuditEvent.objects.filter(action__startswith="send").values_list("action", flat=True)) == {
        "send", "send failed",
    }  # fmt: skip


def test_an_archive_that_is_away_is_said_so(settings: Any, as_alice: Client, bundle: Any, submit: Any) -> None:
    read = submit(as_alice, bundle)
    assert as_alice.post(f"/reads/{read.id}/send").status_code == 404
    for settings.PACS_URL in ("http://127.0.0.1:9/none", "http://", "http://archive:port/dicom-web"):
        answer = as_alice.post(f"/reads/{read.id}/send", follow=True)
        assert "did not take the report" in answer.content.decode()
