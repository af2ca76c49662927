"""P1-P6: what the web adds to the model, what it carries, how it behaves when far too much comes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.serving_site import Client, Pictures, Site, resident
from secondread.models.bundle import Bundle

Figures = list[dict[str, Any]]
Vector = NDArray[np.float64]
_BUNDLE: Bundle | None = None


def figure(name: str, what: str, value: Any, goal: str, holds: bool | None) -> dict[str, Any]:
    return {"figure": name, "what": what, "value": value, "goal": goal, "holds": holds}


def quantile(seconds: list[float], share: float) -> float:
    return float(np.quantile(seconds, share)) if seconds else float("nan")


def latency(site: Site, token: str, rounds: int) -> Figures:
    """P1, P2: one client; a bare run of the same bundle in turns with each request, so that both meet the same load."""
    bundle = Bundle.open(site.bundle, threads=1)
    pictures, client = Pictures(seed=1), Client(site.port, token)
    raw, whole, maps = [], [], []
    for at in range(rounds + 3):
        content = pictures.next()
        pixels = bundle.prepare(bundle.decode(content))[None]
        started = time.perf_counter()
        bundle.run(pixels)
        bare = time.perf_counter() - started
        answer = client.send(content)
        assert answer.status == 200, answer.body
        read = answer.json()["reads"][0]
        heat = client.ask("GET", f"/api/reads/{read['id']}/heatmap").seconds if read["heatmap"] else 0.0
        if at >= 3:
            raw.append(bare)
            whole.append(answer.seconds)
            maps.append(heat)
    t_raw, p50, p95 = quantile(raw, 0.5), quantile(whole, 0.5), quantile(whole, 0.95)
    told = {"T_raw_ms": 1e3 * t_raw, "p50_ms": 1e3 * p50, "p95_ms": 1e3 * p95, "n": rounds}
    told = {name: round(value, 1) for name, value in told.items()}
    return [
        figure("P1", "1024x1024 PNG, one client", told, "p50 <= 1.15 T + 40 ms, p95 <= 1.3 T + 80 ms",
               p50 <= 1.15 * t_raw + 0.04 and p95 <= 1.3 * t_raw + 0.08),
        figure("P2", "heatmap besides", {"p50_ms": round(1e3 * quantile(maps, 0.5), 1)}, "<= 30 ms",
               quantile(maps, 0.5) <= 0.03),
    ]  # fmt: skip


def raw_seconds(path: Path, rounds: int = 15) -> float:
    """The median of bare runs of the bundle with one thread."""
    bundle, taken = Bundle.open(path, threads=1), []
    pixels = bundle.prepare(bundle.decode(Pictures(seed=1).next()))[None]
    for _ in range(rounds + 3):
        started = time.perf_counter()
        bundle.run(pixels)
        taken.append(time.perf_counter() - started)
    return quantile(taken[3:], 0.5)


def throughput(site: Site, token: str, images: int, turns: int) -> tuple[Figures, float]:
    """P3, P4: all cores busy, a bare loop over the same files and the site in turns; gives the site's rate too.

    Who hands out the images sits on the same cores here and nowhere else; so rates are given as they were seen, and
    compared per processor time that was left to those who read, on both sides.
    """
    pictures, cores = Pictures(seed=2), site.workers
    seen: dict[str, list[float]] = {"bare": [], "served": []}
    left: dict[str, list[float]] = {"bare": [], "served": []}
    with ProcessPoolExecutor(cores, initializer=_open, initargs=(site.bundle,)) as pool:
        works: dict[str, Callable[[list[bytes]], list[int]]] = {
            "bare": lambda contents: [200 for _ in pool.map(_read, contents)],
            "served": lambda contents: _all_sent(site, token, contents, clients=2 * cores + 2),
        }
        for work in works.values():
            work(pictures.many(4 * cores))  # warm
        before = site.processor()
        for _ in range(turns):
            contents = pictures.many(images)
            for side, work in works.items():
                started, own = time.perf_counter(), time.process_time()
                statuses = work(contents)
                seconds = time.perf_counter() - started
                seen[side].append(statuses.count(200) / seconds)
                left[side].append(1 - (time.process_time() - own) / (seconds * cores))
    spent = {kind: taken - before.get(kind, 0.0) for kind, taken in site.processor().items()}
    fair = {side: np.asarray(seen[side]) / np.asarray(left[side]) for side in seen}
    ratio, rate = float(np.median(fair["served"] / fair["bare"])), float(np.median(seen["served"]))
    told = {f"{side}_per_s": float(np.median(rates)) for side, rates in seen.items()}
    told |= {f"{side}_senders": 1 - float(np.median(shares)) for side, shares in left.items()}
    low, high = _interval_of_the_median(fair["served"] / fair["bare"])
    told |= {"ratio": ratio, "low": low, "high": high}
    told |= {f"{kind}_ms": 1e3 * taken / (turns * images) for kind, taken in spent.items()}
    told = {name: round(value, 3) for name, value in told.items()}
    return [
        figure("P3", "saturated, all cores, but for the senders", told, ">= 0.85 of a bare loop", ratio >= 0.85),
        figure("P4", "per core", {"per_s": round(rate / cores, 1)}, ">= 6 per s fp32 ResNet-50", rate / cores >= 6),
    ], rate


def _interval_of_the_median(values: Vector) -> tuple[float, float]:
    """95 % by resampling the turns: neighbours on the same machine make single ones wander."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def half_load(site: Site, token: str, rate: float, seconds: float) -> Figures:
    """P5: requests arriving at half of what the site carries, by chance."""
    t_raw = raw_seconds(site.bundle)
    seen = _arrivals(site, token, rate / 2, seconds, poisson=True)
    p95 = quantile([one for status, one in seen if status in (200, 202)], 0.95)
    told = {"T_raw_ms": round(1e3 * t_raw, 1), "p95_ms": round(1e3 * p95, 1), "n": len(seen),
            "not_200": sum(status not in (200, 202) for status, _ in seen)}  # fmt: skip
    return [figure("P5", "half load", told, "p95 <= 2.5 T + 100 ms", p95 <= 2.5 * t_raw + 0.1)]


def overload(site: Site, token: str, rate: float, seconds: float) -> Figures:
    """P6: four times what the site carries; what it answers, how fast it says no, whether it stays alive and comes back."""  # noqa: E501
    _arrivals(site, token, rate, min(10.0, seconds / 4), poisson=False)  # warm in every process
    assert site.process is not None
    before, pid = site.resident(), site.process.pid
    with ProcessPoolExecutor(1) as other:  # away from the senders, whose threads would make it wait
        other.submit(_watch, site.port, pid, 0.1).result()
        watching: list[Future[tuple[list[float], int]]] = []
        seen = _arrivals(
            site,
            token,
            4 * rate,
            seconds,
            False,
            lambda: watching.append(other.submit(_watch, site.port, pid, seconds)),
        )
        recovered = _recovered(site, token, time.perf_counter())
        alive, peak = watching[0].result()
    statuses = [status for status, _ in seen]
    refused = [one for status, one in seen if status == 503]
    odd = sorted({status for status in statuses if status not in (200, 202, 503)})
    grown = peak / before - 1
    told = {
        "requests": len(seen), "200": statuses.count(200), "202": statuses.count(202), "503": len(refused), "other": odd,  # noqa: E501
        "503_p95_ms": round(1e3 * quantile(refused, 0.95), 1), "live_p99_ms": round(1e3 * quantile(alive, 0.99), 1),
        "rss_growth": round(grown, 3), "recovers_s": round(recovered, 2),
    }  # fmt: skip
    holds = not odd and quantile(alive, 0.99) <= 0.1 and grown <= 0.1 and recovered <= 5
    holds = holds and (not refused or quantile(refused, 0.95) <= 0.2)
    goal = "only 503 in <= 200 ms, live p99 <= 100 ms, memory +-10 %, recovers <= 5 s"
    return [figure("P6", f"4x overload for {seconds:.0f} s", told, goal, holds)]


def _watch(port: int, pid: int, seconds: float) -> tuple[list[float], int]:
    """Seconds of each look at /health/live, ten times a second, 60 where it did not answer; the most memory."""
    client, alive, peak, end = Client(port), [], 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        try:
            answer = client.ask("GET", "/health/live")
            alive.append(answer.seconds if answer.status == 200 else 60.0)
        except OSError:
            alive.append(60.0)
        peak = max(peak, resident(pid))
        time.sleep(0.1)
    return alive, peak


def _recovered(site: Site, token: str, ended: float) -> float:
    """Seconds until an image is read again."""
    pictures, client = Pictures(seed=9), Client(site.port, token)
    while time.perf_counter() - ended < 60:
        if client.send(pictures.next()).status == 200:
            return time.perf_counter() - ended
        time.sleep(0.1)
    return float("nan")


def _open(path: Path) -> None:
    global _BUNDLE
    _BUNDLE = Bundle.open(path, threads=1)


def _read(content: bytes) -> str:
    assert _BUNDLE is not None
    return _BUNDLE.read(content, heatmaps=True).status


def _all_sent(site: Site, token: str, contents: list[bytes], clients: int) -> list[int]:
    """Send every file, `clients` at a time, waiting where told to."""
    todo: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for content in contents:
        todo.put(content)
    statuses: list[int] = []

    def work() -> None:
        client = Client(site.port, token)
        while True:
            try:
                content = todo.get_nowait()
            except queue.Empty:
                return
            while (status := client.send(content).status) == 503:
                time.sleep(0.02)
            statuses.append(status)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def _arrivals(
    site: Site, token: str, rate: float, seconds: float, poisson: bool, begun: Callable[[], object] = lambda: None
) -> list[tuple[int, float]]:
    """Requests begun at a given rate whatever becomes of the earlier ones; (status, seconds) of each, 0: no answer.

    `begun` is called when the files are drawn and the first is about to be sent.
    """
    drawn = np.random.default_rng(0)
    gaps = drawn.exponential(1 / rate, 1_000_000) if poisson else np.full(1_000_000, 1 / rate)
    moments = np.cumsum(gaps)
    moments = moments[moments < seconds]
    ready = Pictures(seed=3 + int(time.time()) % 1000).many(min(len(moments), 400))
    seen: list[tuple[int, float]] = []
    todo: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def work() -> None:
        client = Client(site.port, token, timeout=90.0)
        while (at := todo.get()) is not None:
            content = ready[at % len(ready)] + at.to_bytes(4, "little")  # bytes after the end of a PNG: another file
            started = time.perf_counter()
            try:
                status = client.send(content).status
            except OSError:
                status = 0
            seen.append((status, time.perf_counter() - started))

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    begun()
    started = time.perf_counter()
    for at, moment in enumerate(moments):
        time.sleep(max(0.0, started + moment - time.perf_counter()))
        todo.put(at)
    for _ in threads:
        todo.put(None)
    for thread in threads:
        thread.join()
    return seen
