"""Shortcut probes: how well the classes are told apart by what is not anatomy.

Three small models, each judged on patients it has not seen (five folds): `metadata` sees facts of the file and the
style of its name, `intensity` grey levels without places, `border` the outer frame and the corners. What a probe can
do, a network can do; DeGrave 2021 and Maguolo and Nanni 2021 show that networks do.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from secondread.core.tables import Task
from secondread.metrics.cases import cases
from secondread.metrics.intervals import percentile
from secondread.metrics.resampling import replicates, resampling
from secondread.metrics.scores import score
from secondread.prepare.seen import SIDE
from secondread.prepare.small import Small

MOST_IMAGES = 6000
"""More say nothing further; a sample of whole groups is taken."""
MOST_LABELS = 6
LEAST_CASES = 10
FOLDS = 5
LEAST_GROUPS = 2 * FOLDS
REPLICATES = 200
COARSE = 16
FRAME = 2
"""The outer 2 of 16 rows and columns: the border that the probe sees."""
STYLES = 12
Features = NDArray[np.float64]
Kind = Literal["trees", "linear"]


@dataclass(frozen=True)
class Probe:
    """AUROC (macro over classes or labels) with its 95 % interval over patients; None where it could not be told."""

    auroc: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""
    classes: dict[str, float] = field(default_factory=dict)
    """AUROC of each class against the rest."""

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"auroc": self.auroc, "low": self.low, "high": self.high, "n": self.n}
        if self.classes:
            told["classes"] = self.classes
        return told | ({"reason": self.reason} if self.reason else {})


def probes(
    rows: pd.DataFrame,
    facts: pd.DataFrame,
    small: Small,
    labels_NK: NDArray[np.float32],
    task: Task,
    classes: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """`metadata` (also without names), `intensity` and `border`, of readable rows with a `group` column."""
    keep = _sample(rows["group"])
    rows, facts = rows[keep].reset_index(drop=True), facts[keep].reset_index(drop=True)
    labels, groups = labels_NK[keep], rows["group"]
    files = file_features(facts)
    names = name_features(rows["path"])

    def judged(features: Features, kind: Kind) -> Probe:
        with threadpool_limits(1):  # matrices this small only wait for each other in threads
            return judge(features, labels, groups, task, kind, classes)

    metadata = judged(np.hstack([files, names]), "trees").as_dict()
    metadata["without_names"] = judged(files, "trees").as_dict() if names.shape[1] else None
    return {
        "metadata": metadata,
        "intensity": judged(intensity_features(facts), "trees").as_dict(),
        "border": judged(border_features(facts, small[np.flatnonzero(keep)]), "linear").as_dict(),
    }


def judge(
    features: Features,
    labels_NK: NDArray[np.float32],
    groups: pd.Series,
    task: Task,
    kind: Kind,
    classes: Sequence[str],
) -> Probe:
    """Cross-validated by group; the interval resamples groups."""
    codes = pd.factorize(groups)[0]
    chosen = _usable(labels_NK, codes)
    if not features.shape[1]:
        return Probe(None, reason="there is nothing to tell images apart by")
    if len(chosen) < (1 if task == "multilabel" else 2):
        return Probe(None, reason=f"fewer than {LEAST_CASES} images of a class, or too few independent ones")
    truth = np.where(labels_NK[:, chosen] < 0, np.nan, labels_NK[:, chosen])
    if task != "multilabel":
        own = truth.sum(axis=1) == 1
        truth, features, codes = truth[own], features[own], pd.factorize(codes[own])[0]
    if len(np.unique(codes)) < LEAST_GROUPS:
        return Probe(None, reason="too few independent images")
    predicted = _predicted(features, truth, codes, task, kind)
    judged = cases(truth, predicted, task="multilabel" if task == "multilabel" else "multiclass")
    values = {one.row: one.value for one in score(judged, ["auroc"])}
    value = values["macro"]
    drawn = resampling(codes, truth, replicates=REPLICATES, seed=0)
    low, high = percentile(replicates(judged, drawn, ["auroc"]).of("auroc", "macro")[None])[0]
    if not np.isfinite(value):
        return Probe(None, reason="a class is missing from the folds")
    apart = {classes[k]: round(values[str(place)], 4) for place, k in enumerate(chosen.tolist())}
    return Probe(round(float(value), 4), round(float(low), 4), round(float(high), 4), len(truth), classes=apart)


def _usable(labels_NK: NDArray[np.float32], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classes with enough images with and without them, and enough groups of which it is known; the most frequent."""
    present, absent = (labels_NK == 1).sum(axis=0), (labels_NK == 0).sum(axis=0)
    groups = np.array([len(np.unique(codes[label >= 0])) for label in labels_NK.T], dtype=np.int64)
    usable = np.flatnonzero((present >= LEAST_CASES) & (absent >= LEAST_CASES) & (groups >= LEAST_GROUPS))
    return usable[np.argsort(-present[usable], kind="stable")][:MOST_LABELS]


def _predicted(features: Features, truth: Features, codes: NDArray[np.int64], task: Task, kind: Kind) -> Features:
    """Out-of-fold probabilities [N, K]."""
    if task != "multilabel":
        target = truth.argmax(axis=1)
        found = _out_of_fold(features, target, codes, kind, truth.shape[1])
        return np.asarray(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12))
    made = np.full(truth.shape, 0.5)
    for k in range(truth.shape[1]):
        known = ~np.isnan(truth[:, k])
        made[known, k] = _out_of_fold(features[known], truth[known, k].astype(int), codes[known], kind, 2)[:, 1]
    return made


def _out_of_fold(
    features: Features, target: NDArray[np.int64], codes: NDArray[np.int64], kind: Kind, classes: int
) -> Features:
    from sklearn.model_selection import StratifiedGroupKFold

    made = np.zeros((len(target), classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small classes, constant columns and slow convergence are no news here
        for train, test in StratifiedGroupKFold(FOLDS).split(features, target, codes):
            if len(np.unique(target[train])) < 2:
                made[test, target[train][0]] = 1.0
                continue
            model = _model(kind)().fit(features[train], target[train])
            made[np.ix_(test, model.classes_)] = model.predict_proba(features[test])
    return made


def _model(kind: Kind) -> Callable[[], Any]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "trees":
        return lambda: RandomForestClassifier(40, min_samples_leaf=5, random_state=0, n_jobs=1)
    return lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=200))


def _sample(groups: pd.Series) -> NDArray[np.bool_]:
    if len(groups) <= MOST_IMAGES:
        return np.ones(len(groups), dtype=bool)
    codes, names = pd.factorize(groups)
    order = np.random.default_rng(0).permutation(len(names))
    sizes = np.bincount(codes)[order]
    chosen = order[: int(np.searchsorted(np.cumsum(sizes), MOST_IMAGES)) + 1]
    return np.isin(codes, chosen)


def file_features(facts: pd.DataFrame) -> Features:
    """Format, pixel layout, compression and their quality, width, height, aspect, depth: nothing that pixels say."""
    width, height = facts["width"].astype(float).to_numpy(), facts["height"].astype(float).to_numpy()
    quality = facts["quality"].astype(float).fillna(-1).to_numpy()
    numbers = np.stack(
        [width, height, width / height, facts["bits"].astype(float).to_numpy(), quality,
         facts["orientation"].astype(float).to_numpy()], axis=1
    )  # fmt: skip
    words = [_one_hot(facts[name].fillna("").astype(str)) for name in ("format", "mode", "compression", "software")]
    return _varying(np.hstack([numbers, *words]))


def name_features(paths: pd.Series) -> Features:
    """The style of file names: their pattern of letters and digits, suffix, length. Folders are not looked at."""
    names = paths.str.rsplit("/", n=1).str[-1]
    parts = [_one_hot(names.map(name_style)), _one_hot(names.map(_suffix))]
    return _varying(np.hstack([*parts, names.str.len().to_numpy(dtype=float)[:, None]]))


def name_style(name: str) -> str:
    """`person12_virus_3.jpeg` becomes `a9_a_9`: runs of letters and of digits, signs as they are."""
    stem = name.rsplit(".", 1)[0]
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+", "a", stem))[:40]


def _suffix(name: str) -> str:
    return name.rsplit(".", 1)[-1] if "." in name else ""


def intensity_features(facts: pd.DataFrame) -> Features:
    """Mean, spread, percentiles, shares of black and white."""
    names = ["mean", "std", "black", "white", "levels", "p01", "p05", "p25", "p50", "p75", "p95", "p99"]
    return _varying(facts[names].astype(float).to_numpy())


def border_features(facts: pd.DataFrame, small: NDArray[np.uint8]) -> Features:
    """The frame of the image at 16 px, and bright marks and edges in its corners."""
    factor = SIDE // COARSE
    frame = np.ones((COARSE, COARSE), dtype=bool)
    frame[FRAME:-FRAME, FRAME:-FRAME] = False
    pixels = [
        part.reshape(len(part), COARSE, factor, COARSE, factor).mean(axis=(2, 4))[:, frame]
        for part in np.array_split(small, max(1, len(small) // 2048))
    ]
    named = [name for name in map(str, facts.columns) if name.startswith(("bright_", "edges_"))]
    corners = facts[named].astype(float).fillna(0.0).to_numpy()
    return np.hstack([np.concatenate(pixels), corners])


def _one_hot(words: pd.Series) -> Features:
    common = words.value_counts().head(STYLES).index
    return np.stack([(words == word).to_numpy(dtype=float) for word in common], axis=1)


def _varying(features: Features) -> Features:
    return features[:, np.ptp(features, axis=0) > 0]
