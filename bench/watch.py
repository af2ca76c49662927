"""Does the watch over a model in use keep its word? Simulated sites, looked at each day for a year.

`python bench/watch.py [--sites 400]` prints how many sites that read images like those of the test part ever have an
alarm (false), and after how many images sites whose images are refused more often have theirs; beside it the same with
an interval made for one look, as one would have without confidence sequences. Each site draws its own promise: how many
of its bundle's test images were refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from secondread.metrics.shares import wilson
from secondread.models.bundle.promise import Share

DAYS = 365
TEST_IMAGES, SHARE = 300, 0.02
WINDOWS = (7, 30, 90, 365)
OTHERS = (0.05, 0.1, 0.2, 0.5)
FALSE_AT_MOST = 0.05

Counts = NDArray[np.int64]


def one_look(some: int, images: int) -> float:
    return wilson(some, images)[0]


def at_any_time(some: int, images: int) -> float:
    return Share.so_far(some, images).low


@cache
def alarms_from(images: int, ceiling: float, lower: Callable[[int, int], float]) -> int:
    """The least number refused of `images` whose interval lies above `ceiling`; one more than `images` where none."""
    low, high = 0, images + 1
    while low < high:
        middle = (low + high) // 2
        if lower(middle, images) > ceiling:
            high = middle
        else:
            low = middle + 1
    return low


def first_alarm(refused: Counts, daily: int, ceiling: float, lower: Callable[[int, int], float]) -> int | None:
    """The day of the first alarm in any of the windows that an operator can choose, all looked at each evening."""
    until = np.concatenate([[0], refused.cumsum()])
    for day in range(1, len(refused) + 1):
        for window in WINDOWS:
            since = max(0, day - window - 1)
            if until[day] - until[since] >= alarms_from(daily * (day - since), ceiling, lower):
                return day
    return None


def simulate(sites: int, daily: int, share: float, lower: Callable[[int, int], float]) -> list[int | None]:
    rng = np.random.default_rng(0)
    days = []
    for _ in range(sites):
        promised = Share.counted(int(rng.binomial(TEST_IMAGES, SHARE)), TEST_IMAGES)
        days.append(first_alarm(rng.binomial(daily, share, DAYS), daily, round(promised.high, 6), lower))
    return days


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, default=400)
    sites = parser.parse_args().sites
    held = True
    print(f"a year, {sites} sites each; promise: {SHARE:.0%} of {TEST_IMAGES} test images refused in truth")
    print(
        "images a day | truly refused | sites with an alarm: watch, interval for one look | median images to it: watch"
    )
    for daily in (10, 100):
        for share in (SHARE, *OTHERS):
            ours, naive = (simulate(sites, daily, share, lower) for lower in (at_any_time, one_look))
            rang, rang_naive = (np.mean([day is not None for day in days]) for days in (ours, naive))
            found = [day * daily for day in ours if day is not None]
            false = share == SHARE
            held &= not false or rang <= FALSE_AT_MOST
            told = "false" if false else f"{np.median(found):.0f}" if found else "–"
            print(f"{daily:12} | {share:13.0%} | {rang:6.1%}, {rang_naive:6.1%} | {told}", flush=True)
    print(f"false alarms in at most {FALSE_AT_MOST:.0%} of the sites of a year: {'HOLDS' if held else 'MISSED'}")
    return not held


if __name__ == "__main__":
    sys.exit(main())
