"""Scores of every trial and of every pool, as rows of scores.csv."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import WrongRequest
from secondread.core.spec import Study
from secondread.core.tables import SCORE_COLUMNS, Task
from secondread.evaluate.draws import Draws, patients_in, union_of
from secondread.evaluate.operating import Judged, read_plainly
from secondread.evaluate.pooling import Key, Pool
from secondread.evaluate.predictions import Part
from secondread.metrics.cases import Cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.defended import ENDS, opened, right, scores_with_intervals
from secondread.metrics.intervals import at_the_edge, bca, percentile
from secondread.metrics.resampling import Resampling, replicates_of
from secondread.metrics.scores import Score, counts, expected_cost, why
from secondread.metrics.scores import score as plain_scores
from secondread.metrics.treatment import patients_and_seeds

ALL: Key = (-1, -1, -1)
"""Repeat, fold and seed of a row that stands for all of them."""
ALWAYS = ("recall", "specificity", "log_loss", "brier", "ece")
PROPER = ("log_loss", "brier", "ece")
LIMITS = ENDS | dict.fromkeys(("brier", "ece"), (0.0, 1.0)) | {"log_loss": (0.0, math.inf)}
"""What a metric can be; over more than two exclusive classes the Brier score is a sum (`limits_of`)."""
Row = dict[str, Any]


def metrics_for(study: Study, task: Task) -> tuple[str, ...]:
    """What is computed: the study's metrics, the primary one, and those that other rows are made of."""
    wanted = dict.fromkeys([*study.evaluate.metrics, primary(study), *ALWAYS])
    return tuple(name for name in wanted if task in METRICS[name].tasks)


def primary(study: Study) -> str:
    """The metric that verdicts and the choice on validation are about."""
    return "auroc" if study.evaluate.primary == "auto" else study.evaluate.primary


def need_primary(study: Study, task: Task) -> None:
    """Raises `WrongRequest` when verdicts and choice would rest on a metric that the task does not have."""
    name = primary(study)
    if name not in METRICS or task not in METRICS[name].tasks:
        valid = ", ".join(one.name for one in METRICS.values() if task in one.tasks)
        raise WrongRequest(f"evaluate.primary: {name!r} is no metric of a {task} task. Valid: auto, {valid}")


def rows_of(scores: Iterable[Score], arm: str, model: str, key: Key, split: str) -> list[Row]:
    repeat, fold, seed = key
    shared = {"arm": arm, "model": model, "repeat": repeat, "fold": fold, "seed": seed, "split": split}
    return [
        shared | {"class": one.row, "metric": one.metric, "value": one.value, "low": one.low, "high": one.high,
                  "n": one.n, "method": "; ".join(filter(None, (one.method, one.reason)))}
        for one in scores
    ]  # fmt: skip


def trial_rows(one: Judged, split: str, draws: Draws, study: Study) -> list[Row]:
    """Every score of one trial on one split."""
    rows, cases = one.predicted.part(split), one.cases(split)
    trial = one.predicted.trial
    key = (trial.repeat, trial.fold, trial.seed)
    if rows.n == 0:
        return []
    drawn = draws.of(rows)
    made = draws.scored(cases, drawn)
    scores = scores_with_intervals(cases, drawn, draws.metrics, confidence=study.evaluate.confidence, made=made)
    scores = [bounded(centred(score, made.of(score.metric, score.row), study), cases.task) for score in scores]
    scores += cost(one, split, draws, study)
    if drawn.patients < 2:
        scores = [without_interval(score) for score in scores]
    scores += error_rates(scores) + counted(one, split) + uncalibrated([(rows, cases)])
    return rows_of(scores, one.predicted.arm, one.predicted.model, key, split)


def without_interval(score: Score) -> Score:
    """One patient says nothing about others: the value stands alone."""
    method = "" if math.isnan(score.value) else "no interval: one patient"
    return replace(score, low=math.nan, high=math.nan, method=method)


def centred(one: Score, replicates_B: NDArray[np.float64], study: Study) -> Score:
    """A binned calibration error grows under resampling: its interval is the bootstrap's, moved onto the value.

    Any other score stays as it is. Percentile-like intervals of such a score can lie wholly above it.
    """
    drawn = replicates_B[np.isfinite(replicates_B)]
    if one.metric != "ece" or math.isnan(one.value) or len(drawn) == 0:
        return one
    tail = 50 * (1 - study.evaluate.confidence)
    low, high = np.percentile(drawn, [tail, 100 - tail]) - drawn.mean() + one.value
    return replace(one, low=float(low), high=float(high), method="bootstrap (centred)")


def limits_of(metric: str, row: str, task: Task) -> tuple[float, float]:
    if (metric, row, task) == ("brier", "overall", "multiclass"):
        return 0.0, 2.0
    return LIMITS.get(metric, (-math.inf, math.inf))


def bounded(one: Score, task: Task) -> Score:
    """The interval kept within what the metric can be: what moves or rounds it may carry it past a perfect score."""
    least, most = limits_of(one.metric, one.row, task)
    return replace(one, low=max(least, one.low), high=min(most, one.high)) if math.isfinite(one.low) else one


def error_rates(scores: Sequence[Score]) -> list[Score]:
    """False-positive and false-negative rates: what specificity and recall leave, intervals turned around."""
    turned = {"specificity": "fpr", "recall": "fnr"}
    return [
        Score(turned[s.metric], s.row, 1 - s.value, 1 - s.high, 1 - s.low, s.n, s.method, s.reason)
        for s in scores
        if s.metric in turned
    ]


def counted(one: Judged, split: str) -> list[Score]:
    """TP, FP, FN, TN and unread entries of each class: counts, not estimates, hence without intervals."""
    return [
        Score(name, of_class.row, float(getattr(of_class, name)), n=of_class.n, method="count")
        for of_class in counts(one.cases(split))
        for name in ("tp", "fp", "fn", "tn", "unread")
    ]


def uncalibrated(members: Sequence[tuple[Part, Cases]]) -> list[Score]:
    """Proper scores of the networks' own probabilities, to show what calibration changed; of several the mean.

    Members are those of the calibrated scores beside: a calibration error of single folds is larger than of all.
    """
    found = [plain_scores(read_plainly(rows, cases), PROPER) for rows, cases in members]
    method = f"mean of {len(found)} trainings; " * (len(found) > 1) + "no interval: for comparison"
    return [
        replace(alike[0], metric=f"{alike[0].metric}_uncalibrated", value=float(np.mean([one.value for one in alike])),
                n=int(np.mean([one.n for one in alike])), method=method)
        for alike in zip(*found, strict=True)
        if alike[0].row in ("overall", "macro")
    ]  # fmt: skip


def cost(one: Judged, split: str, draws: Draws, study: Study) -> list[Score]:
    """Mean cost of a decision under the study's cost matrix, where it gives one."""
    rows = one.predicted.part(split)
    return _cost([one.cases(split)], [draws.of(rows)], study) if study.evaluate.threshold.cost else []


def _cost(cases: Sequence[Cases], drawn: Sequence[Resampling], study: Study) -> list[Score]:
    """Mean over the members (one or several) of the mean cost of a decision."""
    matrix, key = study.evaluate.threshold.cost or [], ("expected_cost", "overall")
    made = [
        replicates_of(of, draws.blocks(), lambda counted_: {key: expected_cost(counted_, matrix)}).of(*key)
        for of, draws in zip(cases, drawn, strict=True)
    ]
    values = np.array([float(expected_cost(of, matrix)[0]) for of in cases])
    spread = patients_and_seeds(np.stack(made), study.evaluate.seed)
    low, high = percentile(spread[None], study.evaluate.confidence)[0]
    one = Score(*key, float(values.mean()), float(low), float(high), cases[0].n, "patient bootstrap (percentile)")
    if low == high and all(right(of)[of.known.any(axis=1)].all() for of in cases):
        patients = min(draws.patients for draws in drawn)
        wrong = 1 - at_the_edge(1.0, patients, study.evaluate.confidence)[0]
        dearest = np.max(matrix) * (1 if cases[0].exclusive else len(cases[0].classes))
        one = replace(one, high=one.value + wrong * (dearest - one.value), method="exact bound (no errors seen)")
    return [one]


def pool_rows(pool: Pool, rows_of_trials: pd.DataFrame, study: Study) -> list[Row]:
    """The scores of an arm and model over all its trials; one trial stands for itself."""
    if not pool.members:
        return []
    own = rows_of_trials[
        (rows_of_trials["arm"] == pool.arm)
        & (rows_of_trials["model"] == pool.model)
        & (rows_of_trials["split"] == pool.split)
    ]
    if len(pool.members) == 1 and pool.members[0].key[1] >= 0:
        alone = own.assign(repeat=-1, fold=-1, seed=-1)
        return [{str(name): value for name, value in row.items()} for row in alone.to_dict("records")]
    if len(pool.members) == 1:
        cases, confidence = pool.members[0].cases, study.evaluate.confidence
        scores = scores_with_intervals(
            cases, pool.drawn[0], pool.draws.metrics, confidence=confidence, made=pool.made[0]
        )
        scores = [centred(score, pool.made[0].of(score.metric, score.row), study) for score in scores]
        scores = [bounded(score, cases.task) for score in scores]
    else:
        scores = over_members(pool, study)
    if study.evaluate.threshold.cost:
        scores += _cost([member.cases for member in pool.members], pool.drawn, study)
    if max(drawn.patients for drawn in pool.drawn) < 2:
        scores = [without_interval(score) for score in scores]
    scores += error_rates(scores) + _summed_counts(own)
    scores += uncalibrated([(member.rows, member.cases) for member in pool.members])
    return rows_of(scores, pool.arm, pool.model, ALL, pool.split)


def over_members(pool: Pool, study: Study) -> list[Score]:
    """Mean scores of a pool of several trainings."""
    scores: list[Score] = []
    n = int(np.mean([member.cases.n for member in pool.members]))
    count, task = len(pool.members), pool.members[0].cases.task
    method = f"mean of {count} trainings; patients and trainings drawn (bias-corrected)"
    for metric, row in pool.scores[0]:
        values = pool.values(metric, row)
        spread_over = patients_and_seeds(pool.replicates(metric, row), pool.draws.seed)
        # patients and trainings add up, also past a perfect score
        drawn = np.clip(spread_over, *limits_of(metric, row, task))
        value = float(values.mean())
        low, high = bca(np.array([value]), drawn[None], np.zeros((1, 1)), study.evaluate.confidence)[0]
        if math.isnan(value):
            reason = "not defined in every training"
            scores.append(Score(metric, row, value, n=n, reason=reason))
            continue
        said = "; ".join(dict.fromkeys(filter(None, (why(m.cases, metric, row, value) for m in pool.members))))
        one = centred(Score(metric, row, value, float(low), float(high), n, method, said), drawn, study)
        scores.append(_opened(bounded(one, task), pool, study))
        spread = float(values.std(ddof=1))
        scores.append(Score(f"{metric}_sd", row, spread, n=count, method="standard deviation over trainings"))
    return scores


def _opened(one: Score, pool: Pool, study: Study) -> Score:
    """`opened` for a mean of trainings, whose method goes on saying so."""
    members = [(member.cases, drawn) for member, drawn in zip(pool.members, pool.drawn, strict=True)]
    found = opened(one, members, study.evaluate.confidence)
    return one if found is one else replace(found, method=f"mean of {len(members)} trainings; {found.method}")


def _summed_counts(own: pd.DataFrame) -> list[Score]:
    counted_ = own[own["metric"].isin(["tp", "fp", "fn", "tn", "unread"])]
    summed = counted_.groupby(["class", "metric"], sort=False)[["value", "n"]].sum()
    return [
        Score(str(metric), str(row), float(value), n=int(n), method="count over all trainings")
        for (row, metric), value, n in zip(summed.index, summed["value"], summed["n"], strict=True)
    ]


def cohort_rows(judged: Sequence[Judged]) -> list[Row]:
    """How many trials, and of the test and validation rows how many images, patients, positives (and their share)."""
    rows = rows_of(
        [Score("trials", "all", float(len(judged)), n=len(judged), method="count")], "all", "all", ALL, "all"
    )
    for split in ("val", "test"):
        union = union_of([one.predicted.part(split) for one in judged])
        found = [Score("images", "all", float(union.n), n=union.n, method="count")]
        found.append(Score("patients", "all", float(patients_in(union)), n=union.n, method="count"))
        for k, name in enumerate(judged[0].point.classes):
            known = union.labels[:, k][np.isfinite(union.labels[:, k])] if union.n else np.zeros(0)
            found.append(Score("positives", name, float(known.sum()), n=len(known), method="count"))
            share = float(known.mean()) if len(known) else math.nan
            found.append(Score("prevalence", name, share, n=len(known), method="share; average precision of guessing"))
        rows += rows_of(found, "all", "all", ALL, split)
    return rows


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)
