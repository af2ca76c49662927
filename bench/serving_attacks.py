"""S1-S6 and D2: hostile files by the thousand, the API against its description, guesses, and a real archive."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.serving_load import Figures, figure, quantile
from bench.serving_site import Client, Pictures, Site, free_port, running

ROOT = Path(__file__).parents[1]
HANG = 5.0


def fuzz(site: Site, token: str, count: int) -> Figures:
    """S1: mutants of DICOM, PNG, JPEG and zip files through the HTTP endpoint, eight at a time."""
    seeds, lock = _seeds(), threading.Lock()
    drawn, statuses, slow = random.Random(0), {}, []
    before = {pid for pid, kind in site.processes().items() if kind in ("web", "worker")}
    seconds: list[float] = []

    def work() -> None:
        client = Client(site.port, token, timeout=60.0)
        while True:
            with lock:
                if sum(statuses.values()) >= count:
                    return
                content, seed = mutant(drawn, seeds), drawn.random()
            started = time.perf_counter()
            try:
                status = client.send(content, wait=0).status
            except OSError:
                status = 0
            spent = time.perf_counter() - started
            with lock:
                statuses[status] = statuses.get(status, 0) + 1
                seconds.append(spent)
                if spent > HANG:
                    slow.append((round(spent, 1), seed))
            if status == 503:
                time.sleep(0.05)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    died = len(before - set(site.processes()))
    left = len(list((site.folder / "incoming").iterdir()))
    told = {"statuses": dict(sorted(statuses.items())), "slower_than_5_s": len(slow), "processes_died": died,
            "files_left": left, "p99_ms": round(1e3 * quantile(seconds, 0.99))}  # fmt: skip
    holds = set(statuses) <= {200, 202, 422, 503} and not slow and not died and not left
    return [figure("S1", f"{count} fuzzed uploads", told, "0 x 500, 0 hangs > 5 s, 0 deaths, 0 files left", holds)]


def mutant(drawn: random.Random, seeds: list[bytes]) -> bytes:
    """One to six bytes overwritten, runs deleted or the end cut off, most of it where headers are."""
    content = bytearray(drawn.choice(seeds))
    for _ in range(drawn.randint(1, 6)):
        at = drawn.randrange(min(len(content), 1400) if drawn.random() < 0.7 else len(content))
        deed = drawn.random()
        if deed < 0.70:
            content[at] = drawn.randrange(256)
        elif deed < 0.85:
            del content[at : at + drawn.randint(1, 39)]
        else:
            del content[at:]
        content = content or bytearray(b"x")
    return bytes(content)


def _seeds() -> list[bytes]:
    import importlib.util

    spec = importlib.util.spec_from_file_location("serve_pictures", ROOT / "tests" / "serve" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    disc = pictures.disc(48)
    wide = disc.astype("uint16") * 200
    raster = [pictures.saved(disc, kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP")]
    dicoms = [
        pictures.dicom(disc),
        pictures.dicom(wide, inverted=True),
        pictures.dicom(wide, WindowCenter=1, WindowWidth=9),
    ]
    return [*dicoms, *dicoms, *raster, pictures.zipped({"a.png": raster[0], "b.dcm": dicoms[0]})]


def memory(site: Site, token: str) -> Figures:
    """S2 (the refusals themselves are tests): the most memory any process of the site takes over hostile giants."""
    from PIL import Image

    pictures = Pictures(64)
    giants = []
    for side in (4000, 6000):
        import io

        written = io.BytesIO()
        Image.effect_noise((side, side), 60).convert("L").save(written, "JPEG", quality=30)
        giants.append(written.getvalue())
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for pid, kind in site.processes().items():
                try:
                    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if kind == "jail":
                    peak[0] = max(peak[0], resident)

    watching = threading.Thread(target=watch)
    watching.start()
    client = Client(site.port, token)
    statuses = [client.send(content).status for content in (*giants, pictures.next())]
    done.set()
    watching.join()
    told = {"peak_MB": peak[0] >> 20, "statuses": statuses}
    return [
        figure("S2", "memory of decoding 16 and 36 million pixels", told, "<= 400 MB a request", peak[0] <= 400 << 20)
    ]


def contract(site: Site, token: str, examples: int) -> Figures:
    """S3: schemathesis against the running site."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{site.port}/api/openapi.json")
    failures, operations = [], 0
    for found in schema.get_all_operations():
        operation = found.ok()
        operations += 1

        @given(case=operation.as_strategy())
        @settings(max_examples=examples, deadline=None, derandomize=True, phases=[Phase.generate], database=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        def holds(case: Any) -> None:
            unfit = [positive_data_acceptance] if case.method == "POST" else []  # random bytes are no image
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=unfit)

        try:
            holds()
        except BaseExceptionGroup as group:
            failures.append(f"{operation.label}: {str(group)[:200]}")
    told = {"operations": operations, "examples_each": examples, "failures": failures}
    return [figure("S3", "schemathesis", told, "0 failures", not failures)]


def by_tests() -> Figures:
    """S2, S4, S5, D2, D3: what the tests assert, run now and counted."""
    groups = (
        (
            "S2",
            "attack corpus refused with a reason",
            "test_serve_hostile.py",
            "hostile_file or bodies or byte_too_many",
        ),
        ("S4", "every address x stranger, other user, operator", "test_serve_access.py", ""),
        ("S5", "PHI canaries", "test_serve_hostile.py", "names_a_patient"),
        ("D2", "dciodvfy over what we write", "test_serve_dicom.py", "valid"),
        ("D3", "one image in every lossless format", "test_serve_walk.py", "every_lossless_format"),
    )
    figures = []
    for name, what, file, chosen in groups:
        told = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "serve" / file), "-k", chosen],  # noqa: E501
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        counted = re.search(r"^.*(passed|failed).* in .*$", told.stdout, re.MULTILINE)
        figures.append(
            figure(name, what, counted.group() if counted else told.stdout[-300:], "all", not told.returncode)
        )
    return figures


GUESSED = """
from secondread.serve.accounts.lockout import key_of
from secondread.serve.accounts.models import LoginAttempts, User
print(LoginAttempts.objects.get(key=key_of("victim")).spent)
"""


def brute_force(bundle: Path, folder: Path, guesses: int) -> Figures:
    """S6: guesses at one account from many addresses, eight at a time, against several processes."""
    with running(bundle, folder, SECONDREAD_PROXIES="1") as site:
        site.inside(
            "from secondread.serve.accounts.models import User\n"
            "User.objects.create_user('victim', password='right horse 77')"
        )
        lock, done, inside = threading.Lock(), [0], []

        def guess() -> None:
            client = Client(site.port)
            page = client.ask("GET", "/accounts/login/")
            cookie = page.headers["Set-Cookie"].partition(";")[0]
            token = re.findall(rb'csrfmiddlewaretoken" value="(\w+)"', page.body)[0].decode()
            while True:
                with lock:
                    if done[0] >= guesses:
                        return
                    done[0] += 1
                    at = done[0]
                body = f"login=victim&password=guess{at}&csrfmiddlewaretoken={token}".encode()
                answer = client.ask(
                    "POST", "/accounts/login/", body, Content_Type="application/x-www-form-urlencoded", Cookie=cookie,
                    X_Forwarded_For=f"10.{at >> 16 & 255}.{at >> 8 & 255}.{at & 255}",
                )  # fmt: skip
                if answer.status == 302:
                    inside.append(at)

        threads = [threading.Thread(target=guess) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        checked = int(site.inside(GUESSED))
    told = {"guesses": guesses, "passwords_checked": checked, "logged_in": len(inside)}
    return [figure("S6", "brute force", told, "<= 20 checks per account and hour", checked <= 20 and not inside)]


ORTHANC = {
    "Name": "bench", "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomServerEnabled": False,
    "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"], "HttpBindAddresses": ["127.0.0.1"],
    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
}  # fmt: skip


def round_trip(bundle: Path, folder: Path) -> Figures:
    """D2: report and capture sent by STOW-RS to a real Orthanc, fetched back and compared element by element."""
    import io
    import shutil

    import pydicom

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
