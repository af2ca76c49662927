"""D1-D4 and what tests assert: one image in every format, an archive, the refusals, the access matrix, the canaries."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from bench.serving_attacks import ROOT, test_module
from bench.serving_load import Figures, figure
from bench.serving_site import Client, Pictures, Site, free_port, running

TESTS = (
    ("S2", "attack corpus", "serve/test_serve_hostile.py", "hostile_file or bodies or byte_too_many",
     "all refused with a reason"),
    ("S4", "every address x stranger, other user, operator", "serve/test_serve_access.py", "", "0 leaks"),
    ("S5", "PHI canaries in 30 elements and the file name", "serve/test_serve_hostile.py", "names_a_patient", "0 hits"),
    ("D1", "DICOM decoding against dcm2pnm", "images/test_decode_dicom.py", "dcmtk", "+-1 grey level"),
    ("D2", "dciodvfy over what is written", "serve/test_serve_dicom.py", "valid", "0 errors"),
    ("D4", "heatmaps against pytorch-grad-cam", "explain/test_explain_maps.py", "oracle", "correlation >= 0.999"),
    ("CSP", "Chromium on every page", "serve/test_serve_browser.py", "", "0 violations, 0 requests to other hosts"),
    ("DEPLOY", "check --deploy", "serve/test_serve_settings.py", "deployment", "0 warnings"),
)  # fmt: skip
TESTED = tuple(dict.fromkeys(name for name, *_ in TESTS))


def by_tests(wanted: set[str]) -> Iterator[Figures]:
    """What the tests assert, run now and counted."""
    for told in TESTS:
        if told[0] in wanted:
            yield [_by_test(*told)]


def _by_test(name: str, what: str, file: str, chosen: str, goal: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{file}", "-k", chosen]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    counted = re.search(r"^.*(passed|failed).* in .*$", told.stdout, re.MULTILINE)
    skipped = counted is not None and "skipped" in counted.group()
    holds = None if skipped and not told.returncode else not told.returncode
    return figure(name, what, counted.group() if counted else told.stdout[-300:], goal, holds)


def every_format(site: Site, token: str) -> Figures:
    """D3: the probabilities of one image sent in every lossless format and transfer syntax."""
    pictures, client = test_module("serve/pictures.py"), Client(site.port, token)
    chances: dict[str, list[float]] = {}
    for name, content in _forms(pictures).items():
        answer = client.send(content)
        if answer.status != 200:
            return [
                figure("D3", "one image in every format", {name: answer.body.decode()[:200]}, "all are read", False)
            ]
        chances[name] = list(answer.json()["reads"][0]["probabilities"].values())
    apart = float(np.ptp(np.asarray(list(chances.values())), axis=0).max())
    told = {"formats": list(chances), "largest_difference": apart}
    return [figure("D3", "one image in every lossless format", told, "<= 1e-3", apart <= 1e-3)]


def _forms(pictures: Any) -> dict[str, bytes]:
    grey = pictures.disc(96)
    wide = grey.astype(np.uint16) * 257
    made = {kind: pictures.saved(grey, kind) for kind in ("PNG", "TIFF", "BMP")}
    made["WebP"] = pictures.saved(grey, "WEBP", lossless=True)
    made["PNG 16 bit"] = pictures.png(wide)
    for bits, pixels in ((8, grey), (16, wide)):
        for inverted in (False, True):
            name = f"DICOM MONOCHROME{1 if inverted else 2} {bits} bit"
            made[name] = pictures.dicom(pixels, inverted=inverted)
            if not inverted:
                made |= {f"{name} {kind}": content for kind, content in _syntaxes(made[name])}
    made["zip"] = pictures.zipped({"a.png": pictures.png(grey, compress_level=1)})
    return made


def _syntaxes(plain: bytes) -> list[tuple[str, bytes]]:
    """The same DICOM file in the lossless transfer syntaxes, by pydicom's encoders and by dcmtk's."""
    golden = test_module("images/golden/golden_dicom.py")
    ours = (RLELossless, JPEGLSLossless, JPEG2000Lossless)
    made = [(syntax.name, golden.compressed(plain, syntax)) for syntax in ours]
    if shutil.which("dcmcjpeg"):
        with tempfile.TemporaryDirectory() as folder:
            for name, option in (("JPEG Lossless SV1", "+e1"), ("JPEG Lossless", "+el")):
                made.append((name, golden.by_dcmtk(plain, Path(folder), "dcmcjpeg", option)))
    return made


ORTHANC = {
    "Name": "bench", "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomServerEnabled": False,
    "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"], "HttpBindAddresses": ["127.0.0.1"],
    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
}  # fmt: skip


def round_trip(bundle: Path, folder: Path) -> Figures:
    """D2: report and capture sent by STOW-RS to a real Orthanc, fetched back and compared element by element."""
    goal = "stored, found and identical"
    if not shutil.which("Orthanc"):
        return [figure("D2", "through Orthanc", "skipped: Orthanc is not installed", goal, None)]
    folder.mkdir(parents=True)
    port = free_port()
    settings = ORTHANC | {
        "HttpPort": port,
        "StorageDirectory": str(folder / "store"),
        "IndexDirectory": str(folder / "index"),
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with open(folder / "log", "wb") as log:
        orthanc = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        archive = Client(port)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if archive.ask("GET", "/system").status == 200:
                    break
            except OSError:
                time.sleep(0.1)
        with running(bundle, folder / "site", SECONDREAD_PACS_URL=f"http://127.0.0.1:{port}/dicom-web") as site:
            token = site.token()
            assert Client(site.port, token).send(Pictures(256).next()).status == 200
            sent = json.loads(site.inside(SENT.replace("PLACE", repr(str(folder)))))
            instances = archive.ask("GET", "/instances").json()
            same = 0
            for one in instances:
                back = pydicom.dcmread(io.BytesIO(archive.ask("GET", f"/instances/{one}/file").body))
                same += back == pydicom.dcmread(folder / f"{back.SOPInstanceUID}.dcm")
    finally:
        orthanc.terminate()
        orthanc.wait(30)
    told = {"sent": sent, "stored": len(instances), "identical": same}
    return [figure("D2", "through Orthanc", told, goal, sent == [302] and same == len(instances) == 2)]


SENT = """
import json
from pathlib import Path
from django.conf import settings
from django.test import Client
from secondread.serve.accounts.models import User
from secondread.serve.dicom.objects import objects_of, to_bytes
from secondread.serve.reads.models import Read
from secondread.serve.reads.pixels import StoredPixels
from secondread.serve.reads.places import image_path
settings.ALLOWED_HOSTS.append("testserver")
client, statuses = Client(), []
client.force_login(User.objects.get())
for read in Read.objects.all():
    with StoredPixels(image_path(read.image_id)) as stored:
        made = objects_of(read, stored)
    for dataset in (made.report, made.capture):
        (Path(PLACE) / f"{dataset.SOPInstanceUID}.dcm").write_bytes(to_bytes(dataset))
    answer = client.post(f"/reads/{read.id}/send", follow=True)
    assert "are in the archive" in answer.content.decode(), answer.content.decode()[:3000]
    statuses.append(answer.redirect_chain[0][1])
print(json.dumps(statuses))
"""
