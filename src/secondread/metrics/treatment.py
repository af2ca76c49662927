"""Is a recipe better, not only this trained model? Comparisons over folds, seeds and architectures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.stats import t as student
from scipy.stats import wilcoxon

from secondread.core.errors import BadData
from secondread.metrics.delong import Difference

Vector = NDArray[np.float64]
LOG_RATIOS = (-14.0, 14.0)
"""Where the ratio of a block's variance to the rest is searched, as logarithms."""
SMALLEST_VARIANCE = 1e-20
NO_SPREAD = 1e-9
"""Of the scores, or of their difference: an error as small is that of the arithmetic, not of trainings."""


def nadeau_bengio(differences_J: ArrayLike, n_train: int, n_test: int, confidence: float = 0.95) -> Difference:
    """Corrected resampled t over J folds or repeats (Nadeau & Bengio 2003): t = mean / √((1/J + n_test/n_train)·s²).

    A plain paired t over folds takes folds that share training rows for independent ones.
    """
    name = "Nadeau-Bengio t"
    given = np.asarray(differences_J, dtype=np.float64)
    if len(given) < 2 or n_train < 1 or not np.isfinite(given).all():
        return Difference(float(given.mean()) if len(given) else np.nan, np.nan, np.nan, np.nan, np.nan, name)
    se = float(np.sqrt((1 / len(given) + n_test / n_train) * given.var(ddof=1)))
    return _with_t(float(given.mean()), se, len(given) - 1, confidence, name)


def wilcoxon_blocks(differences_J: ArrayLike, confidence: float = 0.95) -> Difference:
    """Wilcoxon's signed-rank test over blocks (architecture × seed); the value is the Hodges-Lehmann estimate.

    The interval inverts the same exact test; below six blocks no 95 % interval exists and it is open (infinite).
    """
    name = "Wilcoxon over blocks"
    given = np.asarray(differences_J, dtype=np.float64)
    j = len(given)
    if j == 0 or not np.isfinite(given).all():
        return Difference(np.nan, np.nan, np.nan, np.nan, np.nan, name)
    upper = np.triu_indices(j)
    walsh = np.sort(((given[:, None] + given[None, :]) / 2)[upper])
    p = float(wilcoxon(given).pvalue) if np.any(given != 0) else 1.0
    cut = _signed_rank_cut(j, (1 - confidence) / 2)
    low, high = (walsh[cut], walsh[-1 - cut]) if cut >= 0 else (-np.inf, np.inf)
    return Difference(float(np.median(walsh)), float(low), float(high), np.nan, p, name)


def _signed_rank_cut(j: int, tail: float) -> int:
    """How many Walsh averages to drop on each side: the largest k with P(W ≤ k) ≤ tail; −1 when there is none."""
    ways = np.ones(1)
    for rank in range(1, j + 1):
        grown = np.zeros(len(ways) + rank)
        grown[: len(ways)] += ways
        grown[rank:] += ways
        ways = grown
    return int(np.searchsorted(np.cumsum(ways) / 2.0**j, tail, side="right")) - 1


def treatment_effect(
    scores: ArrayLike,
    treated: ArrayLike,
    architectures: Sequence[str],
    seeds: Sequence[int],
    confidence: float = 0.95,
) -> Difference:
    """Effect of an arm across architectures and seeds: REML mixed model `score ~ treated + (1|arch) + (1|seed)`.

    One entry per trial: its score, whether it is of the arm (1) or the baseline (0), its architecture and seed. The
    standard error is the model's; p and interval use Student's t with the residual degrees of freedom, since the
    normal quantile claims too much with few blocks.
    """
    y, arm = np.asarray(scores, dtype=np.float64), np.asarray(treated, dtype=np.float64)
    if not len(y) == len(arm) == len(architectures) == len(seeds):
        raise BadData("scores, treated, architectures and seeds must have one entry per trial")
    name = "mixed model over architectures and seeds"
    groups = [_indicators(architectures), _indicators([str(seed) for seed in seeds])]
    freedom = len(y) - 1 - sum(g.shape[1] - 1 for g in groups) - 1
    if freedom < 1 or len(np.unique(arm)) < 2 or not np.isfinite(y).all():
        return Difference(np.nan, np.nan, np.nan, np.nan, np.nan, name)
    groups = [g for g in groups if g.shape[1] > 1]
    explained, rest = _least_squares(y, np.column_stack([np.ones_like(arm), arm, *groups]))
    if rest <= NO_SPREAD * np.abs(y).max():
        return _alike(float(explained[1]), name)
    value, se = _mixed_model(y, arm, groups)
    return _with_t(value, se, freedom, confidence, name)


def _least_squares(y: Vector, design: Vector) -> tuple[Vector, float]:
    """Coefficients, and the root mean square of what they leave."""
    found = np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], dtype=np.float64)
    return found, float(np.sqrt(np.mean((y - design @ found) ** 2)))


def _mixed_model(y: Vector, arm: Vector, groups: list[Vector]) -> tuple[float, float]:
    """Estimate and standard error of the arm by REML, with crossed random intercepts.

    V = σ² (I + Σ λ_g Z_g Z_gᵀ); σ² and the fixed effects have closed forms for given λ, which are searched on a log
    scale. Written out because a variance of 0, common with few blocks, makes the general-purpose fit of statsmodels
    fail; where that one succeeds the two agree (test).
    """
    fixed = np.stack([np.ones_like(arm), arm], axis=1)
    scaled = (y - y.mean()) / y.std()
    shared = [z @ z.T for z in groups]

    def fit(logs: Vector) -> tuple[float, float, float]:
        """−2 log restricted likelihood, effect, standard error."""
        v = np.eye(len(y)) + sum(np.exp(log) * zz for log, zz in zip(logs, shared, strict=True))
        half = np.linalg.cholesky(v)
        x, t = np.linalg.solve(half, fixed), np.linalg.solve(half, scaled)
        information = x.T @ x
        effects = np.linalg.solve(information, x.T @ t)
        freedom = len(y) - 2
        variance = max(float(((t - x @ effects) ** 2).sum() / freedom), SMALLEST_VARIANCE)
        deviance = 2 * np.log(np.diag(half)).sum() + np.linalg.slogdet(information)[1] + freedom * np.log(variance)
        return float(deviance), float(effects[1]), float(np.sqrt(variance * np.linalg.inv(information)[1, 1]))

    def deviance_of(logs: Vector) -> float:
        return fit(logs)[0]

    starts = [np.full(len(groups), start) for start in (-2.0, 2.0)] if groups else []
    found = [minimize(deviance_of, at, bounds=[LOG_RATIOS] * len(groups)) for at in starts]
    best = min(found, key=lambda one: float(one.fun)).x if found else np.zeros(0)
    _, effect, se = fit(best)
    return effect * float(y.std()), se * float(y.std())


def _indicators(names: Sequence[str]) -> Vector:
    _, at = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    return np.eye(int(at.max()) + 1)[at] if len(names) else np.zeros((0, 1))


def _with_t(value: float, se: float, freedom: int, confidence: float, name: str) -> Difference:
    if se <= NO_SPREAD * abs(value):
        return _alike(value, name)
    half = float(student.ppf(0.5 + confidence / 2, freedom)) * se
    return Difference(value, value - half, value + half, se, float(2 * student.sf(abs(value) / se, freedom)), name)


def _alike(value: float, name: str) -> Difference:
    """The same difference everywhere: nothing says how far chance goes, so there is no interval, nor a p but of 0."""
    if abs(value) < NO_SPREAD:
        return Difference(0.0, np.nan, np.nan, 0.0, 1.0, name)
    return Difference(value, np.nan, np.nan, 0.0, np.nan, f"{name} (the same difference everywhere: no p)")


def patients_and_seeds(replicates_SB: Vector, seed: int) -> Vector:
    """[B]: draws of the mean over S trainings, patients and trainings both drawn.

    replicates_SB [S, B]: each training's score under one shared resampling (the same patients for all of a draw).
    Trainings are drawn with replacement and their deviations widened by √(S / (S − 1)): with three, resampling alone
    would show two thirds of their variance. With one only patients vary.
    """
    s, b = replicates_SB.shape
    centre = replicates_SB.mean(axis=0)
    if s == 1:
        return np.asarray(centre)
    picks = np.random.default_rng(seed).integers(0, s, size=(s, b))
    strayed = np.take_along_axis(replicates_SB - centre, picks, axis=0).mean(axis=0)
    return np.asarray(centre + np.sqrt(s / (s - 1)) * strayed)
