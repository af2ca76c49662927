"""The web application against its figures: latency, load, faults, attacks (P1-P7, R1-R6, S1-S6, D1-D4).

    python -m bench.serving [--scale 0.01] [--only P1,P6,R1] [--model resnet50] [--bundle DIR] [--json FILE]

Prints one line per figure with its goal and whether it holds; a line that was not measured says why. At scale 1
everything is done in full (300 kills per database, 50,000 fuzzed uploads, five minutes of overload, 100,000 reads,
10,000 guesses): more than an hour. Rates and latencies are compared with bare ONNX Runtime runs of the same bundle in
the same minutes, so that a busy machine slows both. Database servers that are killed are the bench's own, in temporary
folders.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import serving_attacks as attacks
from bench import serving_checks as checks
from bench import serving_faults as faults
from bench import serving_load as load
from bench.serving_history import history
from bench.serving_load import Figures
from bench.serving_servers import database
from bench.serving_site import Site, running


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--scale", type=float, default=0.01, help="share of the full counts and times")
    told.add_argument("--only", default="", help="figures, separated by commas")
    told.add_argument("--model", default="resnet50", help="network of P1-P6, with drawn weights")
    told.add_argument("--bundle", type=Path, help="use this bundle in P1-P6 instead of a drawn network")
    told.add_argument("--databases", default="sqlite,postgres,mariadb")
    told.add_argument("--json", type=Path)
    given = told.parse_args()
    wanted = {name for name in given.only.upper().split(",") if name}
    figures: Figures = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that sites and servers are ended too
    with tempfile.TemporaryDirectory(prefix="secondread-bench-") as scratch:
        bench = Bench(given.scale, given.databases.split(","), given.model, given.bundle, Path(scratch))
        bench.scratch.chmod(0o755)  # PostgreSQL runs as another user
        for names, measure in GROUPS:
            if wanted and not wanted & set(names):
                continue
            for found in measure(bench, wanted or set(names)):
                figures += found
                show(found)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))
    sys.exit(any(row["holds"] is False for row in figures))


def show(figures: Figures) -> None:
    for row in figures:
        mark = {True: "holds", False: "MISSED", None: "-"}[row["holds"]]
        print(f"{row['figure']:5} {mark:6} {row['what']}: {json.dumps(row['value'])}  [{row['goal']}]", flush=True)


@dataclass
class Bench:
    """What was asked for, and the bundles it is done with."""

    scale: float
    databases: list[str]
    model: str
    given: Path | None
    scratch: Path

    def count(self, full: int, least: int) -> int:
        return max(least, int(full * self.scale))

    def seconds(self, full: float, least: float) -> float:
        return max(least, full * self.scale)

    @cached_property
    def real(self) -> Path:
        return self.given or self._drawn(self.model)

    @cached_property
    def light(self) -> Path:
        """For what does not depend on the model."""
        return self._drawn("plain_cnn")

    def site(self, name: str, bundle: Path | None = None, **settings: str) -> AbstractContextManager[Site]:
        return running(bundle or self.light, self.scratch / name, **settings)

    def _drawn(self, model: str) -> Path:
        """A network with drawn weights as a bundle: speed does not depend on what it learned."""
        from bench.inference import bundle_of, lived_in

        folder = self.scratch / f"bundle-{model}"
        bundle_of(lived_in(model), folder, 1)
        return folder


def loads(bench: Bench, wanted: set[str]) -> Iterator[Figures]:
    """P1-P6 and the start, with the real network."""
    with bench.site("load", bench.real) as site:
        yield [load.figure("START", "from the command to the first page", round(site.seconds_to_start, 2), "< 5 s",
                           site.seconds_to_start < 5)]  # fmt: skip
        token = site.token()
        if wanted & {"P1", "P2"}:
            yield load.latency(site, token, bench.count(300, 20))
        if not wanted & {"P3", "P4", "P5", "P6"}:
            return
        throughput, rate = load.throughput(site, token, 100, turns=bench.count(36, 4))
        yield throughput
        if "P5" in wanted:
            yield load.half_load(site, token, rate, bench.seconds(120, 8))
        if "P6" in wanted:
            yield load.overload(site, token, rate, bench.seconds(300, 10))


def histories(bench: Bench, _: set[str]) -> Iterator[Figures]:
    for kind in bench.databases:
        with database(kind, bench.scratch) as server, bench.site("p7", database=server.url if server else "") as site:
            yield history(site, bench.count(100_000, 2000))


def kills(bench: Bench, _: set[str]) -> Iterator[Figures]:
    for kind in bench.databases:
        with database(kind, bench.scratch) as server:
            yield faults.kills(bench.light, bench.scratch / "kills", bench.count(300, 6), server)


def databases_away(bench: Bench, _: set[str]) -> Iterator[Figures]:
    for kind in bench.databases:
        with database(kind, bench.scratch) as server:
            if server is not None:
                yield faults.database_away(bench.light, bench.scratch / "away", server, bench.seconds(30, 4))


def one_site(bench: Bench, wanted: set[str]) -> Iterator[Figures]:
    """What can share a site; the rolling restart last, for it exchanges every process."""
    with bench.site("light") as site:
        token = site.token()
        deeds: dict[str, Callable[[], Figures]] = {
            "R4": lambda: faults.damaged_bundles(site, bench.count(50, 10), bench.scratch / "damaged"),
            "R5": lambda: faults.parallel_uploads(site, token),
            "S1": lambda: attacks.fuzz(site, token, bench.count(50_000, 300)),
            "S2": lambda: attacks.memory(site, token),
            "S3": lambda: attacks.contract(site, token, bench.count(500, 15)),
            "D3": lambda: checks.every_format(site, token),
            "R6": lambda: faults.rolling_restart(site, token, bench.count(10, 2)),
        }
        for name, deed in deeds.items():
            if name in wanted:
                yield deed()


def full_disk(bench: Bench, _: set[str]) -> Iterator[Figures]:
    yield faults.full_disk(bench.light)


def guesses(bench: Bench, _: set[str]) -> Iterator[Figures]:
    yield attacks.brute_force(bench.light, bench.scratch / "guesses", bench.count(10_000, 60))


def archive(bench: Bench, _: set[str]) -> Iterator[Figures]:
    yield checks.round_trip(bench.light, bench.scratch / "orthanc")


def tests(_: Bench, wanted: set[str]) -> Iterator[Figures]:
    yield from checks.by_tests(wanted)


GROUPS: tuple[tuple[tuple[str, ...], Callable[[Bench, set[str]], Iterator[Figures]]], ...] = (
    (("START", "P1", "P2", "P3", "P4", "P5", "P6"), loads),
    (("P7",), histories),
    (("R1",), kills),
    (("R2",), databases_away),
    (("R3",), full_disk),
    (("R4", "R5", "R6", "S1", "S2", "S3", "D3"), one_site),
    (("S6",), guesses),
    (("D2",), archive),
    (checks.TESTED, tests),
)

if __name__ == "__main__":
    main()
