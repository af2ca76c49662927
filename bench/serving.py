"""The web application against its figures: latency, load, faults, attacks (P1-P7, R1-R6, S1-S6, D2-D3).

    python -m bench.serving [--scale 0.01] [--only P1,P6,R1] [--model resnet50] [--bundle DIR] [--json FILE]

Prints one line per figure with its goal and whether it holds. At scale 1 it does everything in full (300 kills, 50,000
fuzzed uploads, five minutes of overload, 100,000 reads, 10,000 guesses): more than an hour. Rates and latencies are
compared with a bare ONNX Runtime run of the same bundle in the same minutes, so that a busy machine slows both. Database
servers that are killed are the bench's own, in temporary folders.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import serving_attacks as attacks
from bench import serving_faults as faults
from bench import serving_load as load
from bench.serving_servers import Server
from bench.serving_site import Site, running

Figures = list[dict[str, Any]]
SERVERS = ("postgres", "mariadb")


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--scale", type=float, default=0.01)
    told.add_argument("--only", default="", help="figures, separated by commas")
    told.add_argument("--model", default="resnet50")
    told.add_argument("--bundle", type=Path, help="use this bundle instead of a drawn network")
    told.add_argument("--databases", default="sqlite,postgres,mariadb")
    told.add_argument("--json", type=Path)
    given = told.parse_args()
    wanted = {name for name in given.only.upper().split(",") if name}
    figures: Figures = []
    with tempfile.TemporaryDirectory(prefix="secondread-bench-") as scratch:
        for one in everything(given, Path(scratch), lambda *names: not wanted or bool(wanted & set(names))):
            figures += one
            for row in one:
                mark = {True: "holds", False: "MISSED", None: "-"}[row["holds"]]
                print(
                    f"{row['figure']:3} {mark:6} {row['what']}: {json.dumps(row['value'])}  [{row['goal']}]", flush=True
                )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    sys.exit(any(row["holds"] is False for row in figures))


def everything(given: argparse.Namespace, scratch: Path, wanted: Callable[..., bool]) -> Iterator[Figures]:
    """Every group of figures that is wanted, in order."""
    scale, databases = given.scale, given.databases.split(",")
    bundle, light = given.bundle or drawn_bundle(given.model, scratch), drawn_bundle("plain_cnn", scratch)
    with running(bundle, scratch / "load") as site:
        yield [load.figure("START", "from the command to the first page", round(site.seconds_to_start, 2), "< 5 s",
                           site.seconds_to_start < 5)]  # fmt: skip
        yield from loads(site, scale, wanted)
    if wanted("P7"):
        for kind in databases:
            with database(kind, scratch) as server, running(light, scratch / "p7", database=server_url(server)) as site:
                yield load.history(site, max(2000, int(100_000 * scale)))
    with running(light, scratch / "light") as site:
        yield from with_a_light_model(site, scale, wanted, scratch)
    if wanted("R1"):
        for kind in databases:
            with database(kind, scratch) as server:
                yield faults.kills(light, scratch / "kills", max(6, int(300 * scale)), server)
    for kind in databases:
        if kind != "sqlite" and wanted("R2"):
            with database(kind, scratch) as server:
                assert server is not None
                yield faults.database_away(light, scratch / "away", server, max(4.0, 30.0 * scale))
    if wanted("R3"):
        yield faults.full_disk(light)
    if wanted("S6"):
        yield attacks.brute_force(light, scratch / "guesses", max(60, int(10_000 * scale)))
    if wanted("D2"):
        yield attacks.round_trip(light, scratch / "orthanc")
    if wanted("S2", "S4", "S5", "D2", "D3"):
        yield attacks.by_tests()


def loads(site: Site, scale: float, wanted: Callable[..., bool]) -> Iterator[Figures]:
    """P1-P6, on the real network."""
    token = site.token()
    if not wanted("P1", "P2", "P3", "P4", "P5", "P6"):
        return
    first = load.latency(site, token, max(20, int(300 * scale)))
    yield first
    if wanted("P3", "P4", "P5", "P6"):
        second, rate = load.throughput(site, token, max(24, int(400 * scale)))
        yield second
        if wanted("P5"):
            yield load.half_load(site, token, rate, first[0]["value"]["T_raw_ms"] / 1e3, max(8.0, 120.0 * scale))
        if wanted("P6"):
            yield load.overload(site, token, rate, max(10.0, 300.0 * scale))


def with_a_light_model(site: Site, scale: float, wanted: Callable[..., bool], scratch: Path) -> Iterator[Figures]:
    """What does not depend on the model."""
    token = site.token()
    if wanted("R4"):
        yield faults.damaged_bundles(site, max(10, int(50 * scale)), scratch / "damaged")
    if wanted("R5"):
        yield faults.parallel_uploads(site, token)
    if wanted("R6"):
        yield faults.rolling_restart(site, token, max(2, int(10 * scale)))
    if wanted("S1"):
        yield attacks.fuzz(site, token, max(300, int(50_000 * scale)))
    if wanted("S2"):
        yield attacks.memory(site, token)
    if wanted("S3"):
        yield attacks.contract(site, token, max(15, int(500 * scale)))


class database:
    """A server of the bench's own for as long as the block lasts; None for SQLite."""

    def __init__(self, kind: str, scratch: Path) -> None:
        self.server = None if kind == "sqlite" else Server(kind, scratch / kind)
        if self.server is not None and (reason := Server.missing(kind)):
            raise SystemExit(f"{reason}; leave it out with --databases")
        scratch.chmod(0o755)  # PostgreSQL runs as another user

    def __enter__(self) -> Server | None:
        if self.server is not None:
            shutil.rmtree(self.server.folder, ignore_errors=True)
            self.server.create()
        return self.server

    def __exit__(self, *_: object) -> None:
        if self.server is not None:
            self.server.stop()


def server_url(server: Server | None) -> str:
    return server.url if server is not None else ""


def drawn_bundle(model: str, scratch: Path) -> Path:
    """A network with drawn weights as a bundle: speed does not depend on what it learned."""
    from bench.inference import bundle_of, lived_in

    folder = scratch / f"bundle-{model}"
    if not folder.exists():
        bundle_of(lived_in(model), folder, 1)
    return folder


if __name__ == "__main__":
    main()
