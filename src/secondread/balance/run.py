"""Step 4: which rows count how often, per arm, repeat and fold.

Reads prepare/ (clean rows, splits) and synthesize/rows.parquet. Writes balance/<arm>/r0f0.parquet: the training rows of
that fold with their times and weights, and the synthetic rows beside them. Held-out rows never come in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.agreement import forbid_leaky_balance
from secondread.core.errors import BadData, Leak
from secondread.core.files import sha256_of_json
from secondread.core.registry import resolve
from secondread.core.spec import PartRef, Study
from secondread.core.studydir import StudyDir, Unit, needed
from secondread.core.studyfile import controlled
from secondread.core.tables import PLAN_COLUMNS, SYNTHETIC_COLUMNS, labels_of, read_dataset, read_table, write_table
from secondread.core.trials import folds


def units(study: Study, where: StudyDir) -> list[Unit]:
    """One unit per arm, repeat and fold."""
    return [_unit(study, where, arm, *fold) for arm in study.arms for fold in folds(study)]


def run(study: Study, where: StudyDir) -> None:
    """Write every plan that is missing or stale."""
    for arm in study.arms:
        for repeat, fold in folds(study):
            unit = _unit(study, where, arm, repeat, fold)
            if unit.state() != "done":
                path = where.plan(arm, repeat, fold)
                for source in unit.inputs:
                    needed(source, "synthesize" if source == where.synthetic_rows else "prepare")
                with unit.work((path,)):
                    write_table(plan_of(study, where, arm, repeat, fold), path, PLAN_COLUMNS)


def plan_of(study: Study, where: StudyDir, arm: str, repeat: int, fold: int) -> pd.DataFrame:
    """The plan of an arm in one fold; raises `Leak` should a held-out row have got into it."""
    policy = study.arm(arm)[0]
    dataset = read_dataset(needed(where.dataset, "gather"))
    rows = _rows_with_split(where, repeat, fold)
    leaky = bool(policy.options.get("before_split"))
    forbid_leaky_balance(study, arm, policy)
    known = rows if leaky and policy.name == "oversample" else rows[rows["split"] == "train"]
    extra = _added_by(study, where, policy, repeat, fold)
    labels = labels_of(known, dataset.classes)
    if dataset.task != "multilabel":
        _no_class_is_missing(labels, dataset.classes, repeat, fold)
    seed = study.prepare.seed + 1000 * repeat + fold
    plan: pd.DataFrame = resolve("balance", policy)(known, labels, extra, dataset.classes, seed)
    held_out = set(rows.loc[rows["split"] != "train", "row_id"])
    if not leaky and (met := held_out & set(plan["row_id"])):
        raise Leak(f"balance: {policy.name} of arm {arm} takes {len(met)} held-out rows (first: {min(met)})")
    return plan.reset_index(drop=True)


def _no_class_is_missing(labels: NDArray[np.float32], classes: Sequence[str], repeat: int, fold: int) -> None:
    absent = [name for name, count in zip(classes, (labels == 1).sum(axis=0), strict=True) if count == 0]
    if absent:
        raise BadData(
            f"the training rows of fold r{repeat}f{fold} hold no image of {', '.join(absent)}: use fewer folds, "
            "smaller val and test shares, or merge the class (gather.labels)"
        )


def _added_by(study: Study, where: StudyDir, policy: PartRef, repeat: int, fold: int) -> pd.DataFrame:
    """The synthetic rows of this fold; for `duplicate` those that the arm it controls adds, with their times."""
    synthetic = _synthetic(where, repeat, fold)
    if policy.name != "duplicate":
        return synthetic
    plan = plan_of(study, where, controlled(study, policy), repeat, fold)
    added = plan[plan["synthetic"].astype(bool)][["row_id", "times"]]
    return synthetic.merge(added, on="row_id", how="inner")


def _rows_with_split(where: StudyDir, repeat: int, fold: int) -> pd.DataFrame:
    rows = read_table(needed(where.clean_rows, "prepare"))
    splits = read_table(needed(where.splits, "prepare"))
    here = splits[(splits["repeat"] == repeat) & (splits["fold"] == fold)]
    return rows.merge(here[["row_id", "split"]], on="row_id", how="inner")


def _synthetic(where: StudyDir, repeat: int, fold: int) -> pd.DataFrame:
    if not where.synthetic_rows.exists():
        return pd.DataFrame(
            {name: pd.Series(dtype=kind) for name, kind in {"row_id": "string", **SYNTHETIC_COLUMNS}.items()}
        )
    rows = read_table(where.synthetic_rows)
    return rows[(rows["repeat"] == repeat) & (rows["fold"] == fold)]


def _unit(study: Study, where: StudyDir, arm: str, repeat: int, fold: int) -> Unit:
    policy = study.arm(arm)[0]
    path = where.plan(arm, repeat, fold)
    generator = _generator(study, policy)
    settings: dict[str, Any] = {
        "balance": policy.as_written(),
        "fold": [repeat, fold],
        "seed": study.prepare.seed,
        "leakage": study.prepare.allow_leakage,
    }
    inputs = [where.clean_rows, where.splits, where.dataset]
    if generator is not None:  # what other GANs made is none of this plan's business
        source = study.arm(controlled(study, policy))[0] if policy.name == "duplicate" else policy
        settings["synthetic"] = _digest(where, generator, repeat, fold)
        settings["of"] = source.as_written()
        inputs += [] if where.synthetic_rows.exists() else [where.synthetic_rows]
    return Unit("balance", f"{arm} r{repeat}f{fold}", path.parent, settings, inputs, path.with_suffix(".done.json"))


def _generator(study: Study, policy: PartRef) -> str | None:
    if policy.name == "duplicate":
        policy = study.arm(controlled(study, policy))[0]
    named = policy.options.get("from")
    return None if named is None else str(named)


def _digest(where: StudyDir, generator: str, repeat: int, fold: int) -> str | None:
    """What this fold's synthetic rows of one generator are, by content."""
    if not where.synthetic_rows.exists():
        return None
    rows = _synthetic(where, repeat, fold)
    ours = rows[rows["generator"] == generator].sort_values("row_id")
    return sha256_of_json([ours["row_id"].tolist(), ours["content_id"].tolist()])
