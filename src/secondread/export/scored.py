"""What evaluate said about the trials of a bundle. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from secondread.core.files import read_json
from secondread.core.studydir import StudyDir
from secondread.core.tables import read_results
from secondread.core.trials import Trial
from secondread.models.chosen import TOGETHER

LEFT_OUT = {"tp", "fp", "fn", "tn", "unread", "fpr", "fnr"}
LEAKY = "LEAKY PROTOCOL"
"""What the banner of a study begins with whose test rows were trained on."""
AVERAGES = {"micro", "weighted"}
"""Metrics and rows that say again what others say; all are in scores.csv."""


def own_scores(where: StudyDir, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The rows of scores.csv of this trial; of several trials those of their answer together, else of their pool."""
    if not where.scores.exists():
        return []
    trial = trials[0]
    scores = read_results(where.scores)
    own = scores[(scores["arm"] == trial.arm) & (scores["model"] == trial.model.label)]
    own = _of_several(own, trial) if len(trials) > 1 else _of_one(own, trial)
    own = own[own["split"].isin(["val", "test"]) & ~own["metric"].isin(LEFT_OUT) & ~own["class"].isin(AVERAGES)]
    own = own[~own["metric"].str.endswith("_uncalibrated")].dropna(subset=["value"])
    columns = ["split", "class", "metric", "value", "low", "high", "n", "method"]
    return [_plain(row) for row in own[columns].to_dict("records")]


def _of_several(own: pd.DataFrame, first: Trial) -> pd.DataFrame:
    """Of the seeds read together in this fold; a study that was scored before there was such has only their means."""
    here = (own["repeat"] == first.repeat) & (own["fold"] == first.fold) & own["split"].str.startswith(TOGETHER)
    if here.any():
        return own[here].assign(split=own["split"].str.removeprefix(TOGETHER))
    pool = own[(own["seed"] == -1) & ~own["split"].str.startswith(TOGETHER)]
    return _of_one(own, first) if pool.empty else pool


def _of_one(own: pd.DataFrame, trial: Trial) -> pd.DataFrame:
    return own[(own["repeat"] == trial.repeat) & (own["fold"] == trial.fold) & (own["seed"] == trial.seed)]


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """JSON values: a missing number is null, a missing text empty."""
    plain = {key: None if isinstance(value, float) and value != value else value for key, value in row.items()}
    return plain | {"n": int(plain["n"] or 0), "method": plain["method"] or ""}


def banners_of(where: StudyDir) -> list[str]:
    """What every page about the study begins with, and the mark of a leaky protocol."""
    told = list(read_json(where.summary).get("banners", [])) if where.summary.exists() else []
    leaky = where.split_proof.exists() and read_json(where.split_proof).get("leaky", False)
    if leaky and not any(LEAKY in str(banner) for banner in told):
        told.append(f"{LEAKY}: images of one patient were on both sides of the split")
    return [str(banner) for banner in told]
