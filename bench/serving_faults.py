"""R1-R6: killed processes and databases, a database that is away, a full disk, damaged bundles, a rolling restart."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from bench.serving_load import Figures, figure
from bench.serving_servers import Server
from bench.serving_site import Client, Pictures, Site, running


class Senders:
    """Clients that send different images without pause and remember what was accepted."""

    def __init__(self, site: Site, token: str, count: int = 3, side: int = 256) -> None:
        self.site, self.token, self.side = site, token, side
        self.accepted: dict[str, bytes] = {}
        self.statuses: dict[int, int] = {}
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(at,)) for at in range(count)]
        for thread in self.threads:
            thread.start()

    def _work(self, seed: int) -> None:
        pictures, client = Pictures(self.side, seed=100 + seed), Client(self.site.port, self.token, timeout=30.0)
        while not self.stopping.is_set():
            content = pictures.next()
            try:
                answer = client.send(content, wait=0)
            except OSError:
                self.statuses[0] = self.statuses.get(0, 0) + 1
                time.sleep(0.05)
                continue
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            if answer.status in (200, 202):
                self.accepted[answer.json()["reads"][0]["id"]] = content
            else:
                time.sleep(0.05)
            time.sleep(0.02)

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def kills(bundle: Path, folder: Path, count: int, server: Server | None) -> Figures:
    """R1: kill -9 of web processes, workers, decoders and the bench's own database at random moments, under load."""
    drawn = random.Random(0)
    # a read that was never poison is not given up for the number of times its workers were shot
    settings = {"SECONDREAD_LIMIT_ATTEMPTS": "1000", "SECONDREAD_LIMIT_WAITING": "100000"}
    with running(bundle, folder, database=server.url if server else "", **settings) as site:
        senders = Senders(site, site.token())
        done: dict[str, int] = {}
        while sum(done.values()) < count:
            time.sleep(drawn.uniform(0.05, 0.6))
            kind = drawn.choice(["web", "web", "worker", "worker", "jail"] + (["database"] if server else []))
            if kind == "database" and server is not None:
                server.kill()
                time.sleep(drawn.uniform(0.0, 1.0))
                server.start()
                done[kind] = done.get(kind, 0) + 1
            elif site.kill(kind, drawn.randrange(100)):
                done[kind] = done.get(kind, 0) + 1
        senders.stop()
        ended = time.monotonic()
        told = _settled(site, senders, ended)
    name = server.kind if server else "sqlite"
    told |= {"kills": done, "accepted": len(senders.accepted)}
    bad = told["lost"] + told["not_done"] + told["doubled"] + told["orphans"]
    return [figure("R1", f"{sum(done.values())} kills, {name}", told, "0 lost, 0 doubled, 0 stuck > 60 s, 0 orphan files",  # noqa: E501
                   bad == 0 and told["longest_stuck_s"] <= 60)]  # fmt: skip


CENSUS = """
import json
from collections import Counter
from django.conf import settings
from secondread.serve.reads.models import Read, StoredImage
from secondread.serve.reads.places import image_path
from secondread.serve.reads.sweeping import sweep
sweep(age=0.0)
reads = dict(Read.objects.values_list("id", "state"))
stuck, first = 0.0, None  # how long a read was left lying while ones that came after it were finished
for finished in Read.objects.exclude(finished=None).order_by("-created").values_list("finished", flat=True):
    stuck = max(stuck, (finished - first).total_seconds()) if first else stuck
    first = min(first or finished, finished)
images = list(StoredImage.objects.values_list("id", "content_id", "owner_id"))
files = {path.name for path in settings.FOLDER.images.rglob("*.npz")}
named = {image_path(one).name for one, _, _ in images}
print(json.dumps({
    "states": Counter(reads.values()), "longest_stuck_s": round(stuck, 1),
    "reads": {str(one): state for one, state in reads.items()},
    "doubled": len(images) - len({(content, owner) for _, content, owner in images}),
    "orphans": len(files - named) + len(list(settings.FOLDER.incoming.iterdir())), "fileless": len(named - files)}))
"""


def _settled(site: Site, senders: Senders, ended: float) -> dict[str, Any]:
    """Wait until nothing waits any more, then count what became of what was accepted."""
    client = Client(site.port, senders.token)
    while time.monotonic() - ended < 300:  # as long as working off what waits may take
        try:
            left = [client.ask("GET", f"/api/reads?status={state}") for state in ("queued", "running")]
            if all(answer.status == 200 and not answer.json()["reads"] for answer in left):
                break
        except OSError:
            pass
        time.sleep(0.5)
    seconds = time.monotonic() - ended
    census = json.loads(site.inside(CENSUS))
    reads = census.pop("reads")
    lost = [one for one in senders.accepted if one not in reads]
    not_done = [one for one in senders.accepted if reads.get(one) not in ("read", "uncertain", "refused")]
    return census | {"lost": len(lost) + census["fileless"], "not_done": len(not_done), "settled_s": round(seconds, 1),
                     "answers": dict(sorted(senders.statuses.items()))}  # fmt: skip


def database_away(bundle: Path, folder: Path, server: Server, seconds: float) -> Figures:
    """R2: the database is gone for a while; what the site says meanwhile, and how soon all is well again."""
    with running(bundle, folder, database=server.url) as site:
        token = site.token()
        client = Client(site.port, token, timeout=10.0)
        pids = set(site.processes())
        assert client.send(Pictures(128).next()).status == 200
        server.kill()
        slowest, wrong, end = 0.0, [], time.monotonic() + seconds
        while time.monotonic() < end:
            for path, status in (("/api/reads", 503), ("/health/ready", 503), ("/health/live", 200)):
                answer = client.ask("GET", path)
                slowest = max(slowest, answer.seconds)
                if answer.status != status and not (path == "/health/ready" and time.monotonic() < end - seconds + 3):
                    wrong.append((path, answer.status))
                answer.json()
            time.sleep(0.2)
        server.start()
        back = time.monotonic()
        pictures = Pictures(128, seed=5)
        while client.send(pictures.next()).status != 200 and time.monotonic() - back < 60:
            time.sleep(0.1)
        recovered = time.monotonic() - back
        kept = pids <= set(site.processes())
    told = {
        "slowest_ms": round(1e3 * slowest),
        "wrong": wrong[:5],
        "recovers_s": round(recovered, 1),
        "same_processes": kept,
    }
    return [figure("R2", f"{server.kind} away {seconds:.0f} s", told, "503 in <= 2 s, ready 503, live 200, back <= 10 s",  # noqa: E501
                   slowest <= 2 and not wrong and recovered <= 10 and kept)]  # fmt: skip


def full_disk(bundle: Path) -> Figures:
    """R3: a disk of 24 MB fills up, and is emptied again."""
    goal = "507 or 503, no partial file, no row without a file, service returns with space"
    place = Path(tempfile.mkdtemp(prefix="secondread-disk-"))
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=False, capture_output=True
    ).returncode:
        place.rmdir()
        return [figure("R3", "full disk", "skipped: a tmpfs cannot be mounted here", goal, None)]
    site = Site(bundle, place / "data")
    try:
        (place / "data").mkdir()
        site.start()
        token = site.token()
        client, pictures = Client(site.port, token), Pictures(1024, seed=7)
        accepted, statuses = [], {}
        for _ in range(60):
            answer = client.send(pictures.next())
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            accepted += [read["id"] for read in answer.json().get("reads", [])]
        deleted = [client.ask("DELETE", f"/api/reads/{one}").status for one in accepted[:6]]
        again = client.send(pictures.next()).status
        census = json.loads(site.inside(CENSUS))
    finally:
        site.stop()
        subprocess.run(["umount", place], check=False)
        shutil.rmtree(place, ignore_errors=True)
    told = {"statuses": statuses, "deleted": deleted.count(204), "after": again, "orphans": census["orphans"],
            "fileless": census["fileless"]}  # fmt: skip
    holds = set(statuses) <= {200, 202, 503, 507} and 507 in statuses and again == 200
    return [figure("R3", "full disk", told, goal, holds and not census["orphans"] and not census["fileless"])]


DAMAGE = """
import random, shutil
from pathlib import Path
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.bundles.shelf import Shelf
drawn, row = random.Random(0), RegisteredBundle.objects.get()
origin = Path(row.path)
RegisteredBundle.objects.update(path=FOLDER)
found, kinds = 0, ("flip", "flip", "cut", "swap", "missing")
for at in range(COUNT):
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(origin, FOLDER)
    path = sorted(Path(FOLDER).glob("*.*"))[at % 4]
    content = bytearray(path.read_bytes())
    kind = kinds[at % 5]
    if kind == "flip":
        content[drawn.randrange(len(content))] ^= 1 << drawn.randrange(8)
    elif kind == "cut":
        del content[drawn.randrange(len(content)):]
    elif kind == "swap":
        content = content[::-1]
    path.unlink()
    if kind != "missing":
        path.write_bytes(content)
    shelf = Shelf(1)
    found += bool(shelf.state()[row.sha256]) and not shelf.ready()
RegisteredBundle.objects.update(path=str(origin))
print(found)
"""


def damaged_bundles(site: Site, count: int, folder: Path) -> Figures:
    """R4: single bits flipped, files cut, exchanged, missing, each found by what every worker does before it reads."""
    told = site.inside(DAMAGE.replace("COUNT", str(count)).replace("FOLDER", repr(str(folder))))
    return [
        figure(
            "R4", "damaged bundles", {"found": int(told), "of": count}, "all found, never served", int(told) == count
        )
    ]


def parallel_uploads(site: Site, token: str) -> Figures:
    """R5: 64 uploads of one image and 64 of different ones, all at once."""
    pictures = Pictures(128, seed=int(uuid.uuid4().int % 1000) + 1000)
    same = pictures.next()
    contents = [same] * 64 + pictures.many(64)
    statuses: list[int] = []
    identifiers: set[str] = set()

    def send(content: bytes) -> None:
        client = Client(site.port, token)
        while True:
            answer = client.send(content, wait=0)
            if answer.status != 503:
                break
            time.sleep(0.05)
        statuses.append(answer.status)
        identifiers.update(read["id"] for read in answer.json().get("reads", []))

    threads = [threading.Thread(target=send, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bad = [status for status in statuses if status not in (200, 202)]
    told = {"answers": len(statuses), "bad": bad, "objects": len(identifiers)}
    return [figure("R5", "64 + 64 at once", told, "nobody sees a locked database; 65 objects",
                   not bad and len(identifiers) == 65)]  # fmt: skip


def rolling_restart(site: Site, token: str, rounds: int) -> Figures:
    """R6: web processes exchanged (HUP) and workers ended gracefully under load: no request fails."""
    senders = Senders(site, token, count=3, side=128)
    for _ in range(rounds):
        time.sleep(2.0)
        processes = site.processes()
        web = [pid for pid, kind in processes.items() if kind == "web"]
        os.kill(min(web), signal.SIGHUP)
        for pid, kind in processes.items():
            if kind == "worker":
                os.kill(pid, signal.SIGTERM)
    time.sleep(3.0)
    senders.stop()
    failed = {status: count for status, count in senders.statuses.items() if status not in (200, 202)}
    return [figure("R6", f"{rounds} rolling restarts", {"answers": senders.statuses}, "0 failed requests", not failed)]
