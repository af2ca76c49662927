"""Do the statistics keep their word? Simulated prediction tables with known truth.

`python bench/coverage.py [--simulations 2000]` prints how often 95 % intervals hold the truth, how often paired tests
claim a difference that is not there, how often two seeds of one recipe are called "no difference shown", and how often
a true gap of three standard errors is found.

The tables: patients in a fixed class mix (as a stratified split leaves them; `random mix` draws it too), 30 positive
patients or more; clustered ones have one to three images each whose scores share a patient's part. The score of a
present case is shifted by d; both classes are normal, so every true value is known in closed form.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from secondread.metrics.cases import Cases, cases
from secondread.metrics.claims import verdict
from secondread.metrics.comparisons import mcnemar, paired_permutation, value_of
from secondread.metrics.defended import compare, right, scores_with_intervals
from secondread.metrics.multiplicity import max_t
from secondread.metrics.resampling import replicates, resampling
from secondread.metrics.treatment import nadeau_bengio, treatment_effect, wilcoxon_blocks

Array = NDArray[np.float64]
CUT = 0.9
BOOTSTRAP = 1000
PARTS = ["intervals", "pairs", "families", "folds", "gaps"]


@dataclass(frozen=True)
class Design:
    """How a table is drawn. shared: part of a score's variance that a patient's images (models) have in common."""

    patients: int = 300
    prevalence: float = 0.1
    clustered: bool = False
    random_mix: bool = False
    d: float = 1.2
    within_patient: float = 0.5
    between_models: float = 0.7

    @property
    def name(self) -> str:
        unit = "clustered" if self.clustered else "independent"
        positives = round(self.patients * self.prevalence)
        return f"{unit}, {positives} of {self.patients} patients positive" + (", random mix" if self.random_mix else "")


@dataclass
class Hits:
    """Name → how often it happened, over how many."""

    happened: dict[str, int] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, happened: bool) -> None:
        self.happened[name] = self.happened.get(name, 0) + bool(happened)
        self.of[name] = self.of.get(name, 0) + 1

    def add(self, other: Hits) -> None:
        for name, number in other.of.items():
            self.of[name] = self.of.get(name, 0) + number
            self.happened[name] = self.happened.get(name, 0) + other.happened[name]

    def rates(self) -> Iterator[tuple[str, float, int]]:
        for name, number in self.of.items():
            yield name, self.happened[name] / number, number


def table(design: Design, rng: np.random.Generator, shifts: tuple[float, ...]) -> tuple[NDArray[np.int64], list[Cases]]:
    """The patient of every row, and one set of cases per model; shifts: d of each model."""
    p = design.patients
    sick = rng.random(p) < design.prevalence if design.random_mix else np.arange(p) < round(design.prevalence * p)
    images = rng.integers(1, 4, p) if design.clustered else np.ones(p, dtype=int)
    of_row = np.repeat(np.arange(p), images)
    truth = sick[of_row]

    def noise() -> Array:
        common, own = rng.normal(size=p)[of_row], rng.normal(size=len(of_row))
        return np.sqrt(design.within_patient) * common + np.sqrt(1 - design.within_patient) * own

    shared = noise()
    made = []
    for shift in shifts:
        both = np.sqrt(design.between_models) * shared + np.sqrt(1 - design.between_models) * noise()
        positive = norm.cdf(shift * truth + both - CUT)
        made.append(
            cases(np.stack([~truth, truth], 1).astype(float), np.stack([1 - positive, positive], 1), task="binary",
                  classes=("absent", "present"))
        )  # fmt: skip
    return of_row, made


def true_values(design: Design) -> dict[tuple[str, str], float]:
    found, spared = norm.sf(CUT - design.d), norm.cdf(CUT)
    tp, fp, fn = design.prevalence * found, (1 - design.prevalence) * (1 - spared), design.prevalence * (1 - found)
    return {
        ("auroc", "present"): float(norm.cdf(design.d / np.sqrt(2))),
        ("f1", "present"): 2 * tp / (2 * tp + fp + fn),
        ("accuracy", "overall"): design.prevalence * found + (1 - design.prevalence) * spared,
    }


def coverage(design: Design, seed: int) -> Hits:
    """One table: does each 95 % interval hold the truth?"""
    rng, hits = np.random.default_rng(seed), Hits()
    of_row, (model,) = table(design, rng, (design.d,))
    drawn = resampling(of_row, model.y_true, replicates=BOOTSTRAP, seed=seed, stratify=not design.random_mix)
    truth = true_values(design)
    for one in scores_with_intervals(model, drawn, ["auroc", "f1", "accuracy"]):
        if (one.metric, one.row) in truth:
            value = truth[one.metric, one.row]
            hits.note(f"{one.metric:8s} {one.method:30s} {design.name}", one.low <= value <= one.high)
    return hits


def paired(design: Design, seed: int) -> Hits:
    """One table of two equally good models: which paired tests claim a difference at 5 %?"""
    rng, hits = np.random.default_rng(seed), Hits()
    of_row, (first, second) = table(design, rng, (design.d, design.d))
    drawn = resampling(of_row, first.y_true, replicates=BOOTSTRAP, seed=seed)
    for metric, row in (("auroc", "present"), ("f1", "present"), ("accuracy", "overall"), ("brier", "overall")):
        found = compare(first, second, metric, row, drawn)
        hits.note(f"{metric:8s} {found.difference.method:30s} {design.name}", found.difference.p < 0.05)
        said = verdict(found.difference, found.difference.p, fewest=found.fewest)
        hits.note(f"same recipe called 'no difference shown': {metric:8s} {design.name}", said == "no difference shown")
    for metric, row in (("auroc", "present"), ("f1", "present")):
        p = paired_permutation(first, second, metric, row, of_row, permutations=BOOTSTRAP, seed=seed)
        hits.note(f"{metric:8s} {'paired permutation':30s} {design.name}", p < 0.05)
    return hits


def family(design: Design, seed: int) -> Hits:
    """Four arms as good as the baseline: does any simultaneous interval leave 0 out?"""
    rng, hits = np.random.default_rng(seed), Hits()
    of_row, models = table(design, rng, (design.d,) * 5)
    drawn = resampling(of_row, models[0].y_true, replicates=BOOTSTRAP, seed=seed)
    made = [replicates(model, drawn, ["auroc", "f1"], "present") for model in models]
    for metric, row in (("auroc", "present"), ("f1", "present")):
        values = np.array([each.of(metric, row) for each in made])
        points = np.array([value_of(model, (metric, row)) for model in models])
        sick = int(design.patients * design.prevalence)
        found = max_t(points[1:] - points[0], values[1:] - values[0], sick)
        hits.note(f"{metric:8s} {'max-T over four arms (family)':30s} {design.name}", bool((found.p < 0.05).any()))
    return hits


def power(design: Design, shift: float, seed: int) -> Hits:
    """One table with a true gap of three standard errors in AUROC: is it found?"""
    rng, hits = np.random.default_rng(seed), Hits()
    of_row, (better, worse) = table(design, rng, (design.d + shift, design.d))
    drawn = resampling(of_row, better.y_true, replicates=BOOTSTRAP, seed=seed)
    found = compare(better, worse, "auroc", "present", drawn)
    hits.note(f"gap of 3 se in AUROC found: {found.difference.method} {design.name}",
              verdict(found.difference, found.difference.p, fewest=found.fewest) == "better")  # fmt: skip
    return hits


def shift_of_three_errors(design: Design, tables: int = 400) -> float:
    """The shift whose true AUROC gap is three standard deviations of the observed gap (simulated, fixed seeds)."""
    shift, key = 0.5, ("auroc", "present")
    for _ in range(6):
        gaps = []
        for seed in range(tables):
            _, (better, worse) = table(design, np.random.default_rng([7, seed]), (design.d + shift, design.d))
            gaps.append(value_of(better, key) - value_of(worse, key))
        wanted = norm.cdf(design.d / np.sqrt(2)) + 3 * np.std(gaps)
        shift = float(np.sqrt(2) * norm.ppf(min(wanted, 0.9999)) - design.d)
    return shift


def large_mcnemar(seed: int) -> Hits:
    """600 independent cases, enough discordant ones for the asymptotic test."""
    hits = Hits()
    _, (first, second) = table(Design(patients=600, prevalence=0.3), np.random.default_rng(seed), (1.2, 1.2))
    found = mcnemar(right(first), right(second))
    hits.note(f"accuracy {found.method:30s} independent, 600 patients", found.p < 0.05)
    return hits


def folds(seed: int) -> Hits:
    """Ten random splits of 200 cases: nearest-centroid classifiers on two equally good halves of the features."""
    rng, hits = np.random.default_rng(seed), Hits()
    n, per_model = 200, 10
    truth = np.arange(n) % 2 == 1
    x = rng.normal(size=(n, 2 * per_model)) + 0.25 * truth[:, None]
    differences = []
    for _ in range(10):
        order = rng.permutation(n)
        train, test = order[: n * 4 // 5], order[n * 4 // 5 :]
        right_answers = []
        for half in (x[:, :per_model], x[:, per_model:]):
            present, absent = (half[train][truth[train] == side].mean(axis=0) for side in (True, False))
            score = (half[test] - (present + absent) / 2) @ (present - absent)
            right_answers.append(((score > 0) == truth[test]).mean())
        differences.append(right_answers[0] - right_answers[1])
    hits.note("accuracy Nadeau-Bengio t, 10 resamplings", nadeau_bengio(differences, n * 4 // 5, n // 5).p < 0.05)
    return hits


def blocks(seed: int) -> Hits:
    """An arm without effect over four architectures × three seeds, scores with both kinds of common part."""
    rng, hits = np.random.default_rng(seed), Hits()
    architectures, seeds = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    common = 0.02 * rng.normal(size=4)[architectures] + 0.005 * rng.normal(size=3)[seeds]
    scores = common + 0.01 * rng.normal(size=(2, 12)) + 0.9
    names, numbers = [f"net {a}" for a in architectures], seeds.tolist()
    hits.note("Wilcoxon over 12 blocks", wilcoxon_blocks(scores[1] - scores[0]).p < 0.05)
    effect = treatment_effect(scores.ravel(), np.repeat([0, 1], 12), names * 2, numbers * 2)
    hits.note("mixed model over 4 architectures × 3 seeds", effect.p < 0.05)
    return hits


def repeat(work: Callable[[int], Hits], simulations: int, processes: int) -> Hits:
    total = Hits()
    if processes == 1:
        for seed in range(simulations):
            total.add(work(seed))
        return total
    with ProcessPoolExecutor(processes) as pool:
        for hits in pool.map(work, range(simulations), chunksize=20):
            total.add(hits)
    return total


def show(hits: Hits, wanted: Callable[[str], tuple[float, float]]) -> int:
    """Print the rates beside what is wanted; how many miss it."""
    missed = 0
    for name, rate, number in hits.rates():
        low, high = wanted(name)
        held = low <= rate <= high
        missed += not held
        said = f"  {100 * rate:6.2f} %  wanted {100 * low:.0f} to {100 * high:.0f}  {name}  ({number} tables)"
        print(said + ("" if held else "  MISSED"), flush=True)
    return missed


def wanted_of_tests(name: str) -> tuple[float, float]:
    if name.startswith("same recipe"):
        return 0.93, 1.0
    asymptotic = ("DeLong", "McNemar  ", "Nadeau", "mixed model")
    return (0.03 if any(part in name for part in asymptotic) else 0.0), 0.07


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    start, missed = time.perf_counter(), 0

    def run(works: list[Callable[[int], Hits]], wanted: Callable[[str], tuple[float, float]]) -> int:
        return sum(show(repeat(work, given.simulations, given.processes), wanted) for work in works)

    designs = [
        Design(clustered=c, patients=p, prevalence=v) for p, v in ((300, 0.1), (400, 0.3)) for c in (False, True)
    ]
    if "intervals" in given.parts:
        print("95 % intervals that hold the truth")
        mixed = [Design(random_mix=True), Design(random_mix=True, clustered=True)]
        missed += run([partial(coverage, design) for design in [*designs, *mixed]], lambda _: (0.93, 0.97))
    tests = {
        "pairs": [partial(paired, design) for design in designs[:2]],
        "families": [partial(family, design) for design in designs[:2]],
        "folds": [large_mcnemar, folds, blocks],
    }
    for part in [part for part in tests if part in given.parts]:
        print(f"false claims between equals at 5 %: {part}")
        missed += run(list(tests[part]), wanted_of_tests)
    if "gaps" in given.parts:
        print("true gaps found")
        gaps = [partial(power, design, shift_of_three_errors(design)) for design in designs[:2]]
        missed += run(list(gaps), lambda _: (0.8, 1.0))
    print(f"{missed} missed; {time.perf_counter() - start:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
