"""S1-S3, S6: hostile files by the thousand, giants, the API against its description, guesses."""

from __future__ import annotations

import importlib.util
import io
import os
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from bench.serving_load import Figures, figure, quantile
from bench.serving_site import Client, Pictures, Site, running

ROOT = Path(__file__).parents[1]
HANG = 5.0


def fuzz(site: Site, token: str, count: int) -> Figures:
    """S1: mutants of DICOM, PNG, JPEG and zip files through the HTTP endpoint, eight at a time."""
    seeds, lock = _seeds(), threading.Lock()
    drawn, sent = random.Random(0), [0]
    statuses: dict[int, int] = {}
    before = {pid for pid, kind in site.processes().items() if kind in ("web", "worker")}
    seconds: list[float] = []

    def work() -> None:
        client = Client(site.port, token, timeout=60.0)
        while True:
            with lock:
                if sent[0] >= count:
                    return
                sent[0] += 1
                content = mutant(drawn, seeds)
            for status, spent in _answers(client, content):
                with lock:
                    statuses[status] = statuses.get(status, 0) + 1
                    seconds.append(spent)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slow = sum(spent > HANG for spent in seconds)
    died = len(before - set(site.processes()))
    left = len(list((site.folder / "incoming").iterdir()))
    told = {"statuses": dict(sorted(statuses.items())), "slower_than_5_s": slow, "processes_died": died,
            "files_left": left, "p99_ms": round(1e3 * quantile(seconds, 0.99))}  # fmt: skip
    holds = set(statuses) <= {200, 202, 422, 503} and not slow and not died and not left
    return [figure("S1", f"{count} fuzzed uploads", told, "0 x 500, 0 hangs > 5 s, 0 deaths, 0 files left", holds)]


def _answers(client: Client, content: bytes) -> Iterator[tuple[int, float]]:
    """Status (0: none) and seconds of each attempt: who is turned away unread comes again, as the answer says."""
    status = 503
    while status == 503:
        started = time.perf_counter()
        try:
            status = client.send(content, wait=0, form=len(content) % 2 == 0).status
        except OSError:
            status = 0
        yield status, time.perf_counter() - started
        if status == 503:
            time.sleep(0.2)


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


def test_module(path: str) -> Any:
    """A module of the tests that makes images; test folders are no packages."""
    spec = importlib.util.spec_from_file_location(f"bench_{Path(path).stem}", ROOT / "tests" / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _seeds() -> list[bytes]:
    pictures = test_module("serve/pictures.py")
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
    pictures = Pictures(64)
    giants = []
    for side in (4000, 6000):
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
