"""The vectorised patient bootstrap beside a loop over scikit-learn, in one run.

`python bench/bootstrap.py [--trials 60]`. The loop is timed on fewer resamples and scaled up; both sides draw the same
patients and score the same metrics. Last, the load that a large study makes: all metrics, 2,000 replicates, many
trials on 10,000 rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from secondread.core.tables import Task
from secondread.metrics.cases import Cases, cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.resampling import Resampling, replicates, resampling

REPLICATES = 2000


def simulated(rows: int, classes: int, seed: int) -> tuple[NDArray[np.int64], Cases]:
    """Patients (two rows each on average) and one trial's cases."""
    rng = np.random.default_rng(seed)
    truth = np.eye(classes)[rng.choice(classes, rows, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))]
    raised = np.exp(rng.normal(size=truth.shape) + 1.5 * truth)
    task: Task = "binary" if classes == 2 else "multiclass"
    patients = np.random.default_rng(0).integers(0, rows // 2, rows)
    return patients, cases(truth, raised / raised.sum(axis=1, keepdims=True), task=task)


def with_scikit_learn(model: Cases, rows: NDArray[np.int64], every: bool) -> list[float]:
    """AUROC and F1 of the positive class of one resample; or everything that scikit-learn has a name for."""
    truth, decided = model.truth[rows].argmax(1), model.decided[rows].argmax(1)
    p = model.probabilities[rows]
    if not every:
        return [sk.roc_auc_score(truth, p[:, 1]), sk.f1_score(truth, decided)]
    averages = [sk.precision_recall_fscore_support(truth, decided, average=a, zero_division=0)
                for a in (None, "macro", "micro", "weighted")]  # fmt: skip
    area = p[:, 1] if p.shape[1] == 2 else p
    return [
        float(np.sum(averages[1][0])),
        sk.accuracy_score(truth, decided),
        sk.balanced_accuracy_score(truth, decided),
        sk.matthews_corrcoef(truth, decided),
        sk.roc_auc_score(truth, area, multi_class="ovr"),
        *(sk.average_precision_score(truth == k, p[:, k]) for k in range(p.shape[1])),
        sk.log_loss(truth, p),
        *(sk.brier_score_loss(truth == k, p[:, k]) for k in range(p.shape[1])),
    ]


def loop_seconds(model: Cases, drawn: Resampling, every: bool, resamples: int) -> float:
    """Seconds that the loop would take for all replicates."""
    start = time.perf_counter()
    for b in range(resamples):
        with_scikit_learn(model, np.repeat(np.arange(model.n), drawn.drawn[drawn.patient_of_row, b]), every)
    return (time.perf_counter() - start) * drawn.replicates / resamples


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    trials = parser.parse_args().trials
    print(f"{REPLICATES} replicates; seconds; the scikit-learn loop is scaled up from fewer resamples")
    for rows, resamples in ((624, 100), (10_000, 30)):
        patients, model = simulated(rows, 2, seed=1)
        drawn = resampling(patients, model.y_true, replicates=REPLICATES)
        for label, names, every in (("AUROC + F1", ["auroc", "f1"], False), ("all metrics", list(METRICS), True)):
            ours = min(seconds(lambda m=model, d=drawn, w=names: replicates(m, d, w)) for _ in range(3))
            loop = loop_seconds(model, drawn, every, resamples)
            print(f"n = {rows:6d}  {label:12s} vectorised {ours:7.3f}  loop {loop:8.2f}  ratio {loop / ours:6.0f}x")
    spent = 0.0
    patients, model = simulated(10_000, 4, seed=0)
    drawn = resampling(patients, model.y_true, replicates=REPLICATES)
    for trial in range(trials):
        _, model = simulated(10_000, 4, seed=trial)
        spent += seconds(lambda m=model: replicates(m, drawn))
    print(f"{trials} trials x {REPLICATES} replicates x all metrics, 4 classes, 10,000 rows: {spent:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
