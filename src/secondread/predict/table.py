"""The predictions of one trial as a table: who was judged, the truth, raw logits and uncalibrated probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import read_json
from secondread.core.leakage import forbid_overlap, read_contents
from secondread.core.progress import say
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, needed
from secondread.core.tables import PREDICTION_COLUMNS, labels_of, read_dataset, read_table, with_columns
from secondread.core.trials import Trial
from secondread.images.batches import Stack
from secondread.images.cache import CacheItem, PixelCache, build_cache, open_for
from secondread.images.decode import PixelSpec
from secondread.learning.devices import machine
from secondread.learning.inference import outputs_of, probabilities
from secondread.models.build import load_trial

IDENTITY = ("row_id", "content_id", "patient", "group", "split")


def own_table(study: Study, where: StudyDir, trial: Trial) -> pd.DataFrame:
    """Validation and test rows of the trial's fold; raises `Leak` when the trial was fitted on one of them."""
    rows = read_table(needed(where.clean_rows, "prepare"))
    splits = read_table(needed(where.splits, "prepare"))
    here = splits[(splits["repeat"] == trial.repeat) & (splits["fold"] == trial.fold)]
    merged = rows.merge(here[["row_id", "split"]], on="row_id", how="inner")
    judged = merged[merged["split"].isin(["val", "test"])].reset_index(drop=True)
    if judged.empty:
        raise BadData(f"fold r{trial.repeat}f{trial.fold} has neither validation nor test rows: set prepare.split")
    _forbid_leaks(study, where, trial, judged, merged)
    return _predicted(where, trial, judged, open_for(where, trial.train.size, trial.train.fit))


def external_table(study: Study, where: StudyDir, trial: Trial, name: str) -> pd.DataFrame:
    """All rows of an external set; their contents must not have been trained on either."""
    rows = read_table(needed(where.external_rows(name), "gather")).assign(split="test")
    rows["group"] = rows["group"] if "group" in rows else rows["patient"].fillna(rows["row_id"])
    _forbid_leaks(study, where, trial, rows, rows)
    return _predicted(where, trial, rows, _external_cache(where, trial, name, rows))


def _external_cache(where: StudyDir, trial: Trial, name: str, rows: pd.DataFrame) -> PixelCache:
    """The set's pixels made in the way of the study's own; `gather` told its root beside its rows."""
    told = read_json(needed(where.pixels, "prepare"))
    root = Path(read_dataset(needed(where.external_rows(name).with_suffix(".json"), "gather")).root)
    columns = zip(rows["row_id"], rows["path"], rows["index"], rows["content_id"], strict=True)
    items = [CacheItem(row_id, root / path, int(index), content) for row_id, path, index, content in columns]
    spec = PixelSpec(
        trial.train.size, trial.train.fit, told["channels"], told["intensity"], told.get("crop_border", 0.0)
    )
    return build_cache(items, spec, where.cache, frames=told.get("frames", "refuse"))


def _forbid_leaks(study: Study, where: StudyDir, trial: Trial, judged: pd.DataFrame, rows: pd.DataFrame) -> None:
    seen = read_contents(needed(where.trial(trial.name) / "contents.json", "train"))
    proof = where.split_proof
    asked = bool(trial.balance.options.get("before_split")) or (proof.exists() and read_json(proof).get("leaky"))
    if study.prepare.allow_leakage and asked:
        say(f"{trial.name}: LEAKY PROTOCOL, as the study file asks: rows that were trained on are judged")
        return
    forbid_overlap(seen, judged, rows, f"trial {trial.name}")


def _predicted(where: StudyDir, trial: Trial, rows: pd.DataFrame, cache: PixelCache) -> pd.DataFrame:
    """Always in the order of the rows and in fp32, so that the same trial gives the same bytes."""
    classes = read_dataset(needed(where.dataset, "gather")).classes
    classifier, card = load_trial(where.trial(trial.name))
    place = machine(trial.train.engine.model_copy(update={"precision": "fp32"}))
    classifier.to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    places = np.asarray([cache.position[row_id] for row_id in rows["row_id"]], np.int64)
    logits: NDArray[np.float32] = outputs_of(classifier, Stack([cache.pixels]), places, place)
    if not np.isfinite(logits).all():
        raise BadData(f"{trial.name}: some logits are not finite; train it again with a lower learning rate")
    known = rows[list(IDENTITY)].assign(
        arm=trial.arm, model=trial.model.label, repeat=trial.repeat, fold=trial.fold, seed=trial.seed
    )[list(PREDICTION_COLUMNS)]
    table = with_columns(known, classes, labels_of(rows, classes), "y_")
    table = with_columns(table, classes, logits, "logit_")
    return with_columns(table, classes, probabilities(logits, card.task), "p_")
