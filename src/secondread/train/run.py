"""Step 5: rows and plan → one trained trial per arm × model × repeat × fold × seed.

Reads prepare/ (rows, splits, pixels), balance/, synthesize/rows.parquet and cache/. Writes train/<trial>/
(best.safetensors, card.json, epochs.csv, contents.json, tensorboard/) and, where a model works on codes,
train/autoencoders/. No test row is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondread.core.errors import SecondreadError
from secondread.core.files import read_json, sha256_of_json
from secondread.core.fingerprints import fingerprint
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, Unit
from secondread.core.tables import forbid_unlabelled, read_dataset, read_table
from secondread.core.trials import Trial, trials


def units(study: Study, where: StudyDir) -> list[Unit]:
    """One unit per autoencoder and one per trial."""
    coders = [unit for _, unit in _coder_units(study, where)]
    return coders + [trial_unit(trial, where) for trial in trials(study, where)]


def ready(study: Study, where: StudyDir) -> None:
    """Raises what would refuse one of several trials only when those before it are trained."""
    from secondread.train.readiness import forbid_misfits

    forbid_misfits(study, where)


def run(study: Study, where: StudyDir) -> None:
    """Train every autoencoder and trial that is missing or stale; each goes on from its last checkpoint."""
    if where.dataset.exists():
        forbid_unlabelled(read_dataset(where.dataset))
    waiting = [unit for unit in units(study, where) if unit.state() != "done"]
    if not waiting:
        return
    from secondread.train.launch import train_units

    train_units(study, where)


def trial_unit(trial: Trial, where: StudyDir) -> Unit:
    """What decides a trial: its settings, its rows and plan, its pixels, and what it starts from."""
    settings: dict[str, Any] = trial.settings
    settings["pixels"] = _pixels(where)
    settings["synthetic"] = _synthetic(trial, where)
    settings["from"] = _origin(trial, where)
    if "multi_class" in _policies(trial) and trial.train.loss.name != "bce":
        settings["prior"] = "label by label"  # before, the loss's own also for labels that it does not see
    settings["task"] = read_dataset(where.dataset).task if where.dataset.exists() else None
    inputs = [where.clean_rows, where.splits, where.pixels, where.plan(trial.arm, trial.repeat, trial.fold)]
    inputs = [path for path in inputs if path != where.pixels or not path.exists()]  # its settings count, not its bytes
    inputs += [unit.done_file for unit in _coder_unit_of(trial, where)]
    return Unit("train", trial.name, where.trial(trial.name), settings, tuple(inputs))


def _policies(trial: Trial) -> set[str]:
    """All policies that the trial has for uncertain labels."""
    written = trial.train.uncertain
    return {written} if isinstance(written, str) else set(written.values())


def _pixels(where: StudyDir) -> dict[str, Any] | None:
    """How pixels are made; further sizes in the cache make no trial stale."""
    if not where.pixels.exists():
        return None
    told = read_json(where.pixels)
    return {name: told.get(name) for name in ("channels", "intensity", "crop_border", "decoder")}


def _synthetic(trial: Trial, where: StudyDir) -> str | None:
    """The contents of the synthetic rows in the plan, and which of several generator seeds is this trial's turn."""
    path = where.plan(trial.arm, trial.repeat, trial.fold)
    if not path.exists() or not where.synthetic_rows.exists():
        return None
    plan = read_table(path)
    made = plan[plan["synthetic"].astype(bool)]
    wanted = set(made["row_id"])
    if not wanted:
        return None
    rows = read_table(where.synthetic_rows)
    ours = rows[rows["row_id"].isin(wanted)].sort_values("row_id")
    turn, usual = trial.train.seeds.index(trial.seed), trial.seed  # of the seeds 0, 1, 2, …, as most studies have them
    moved = [turn] if turn != usual and made["generator_seed"].nunique() > 1 else []
    return sha256_of_json([ours["row_id"].tolist(), ours["content_id"].tolist(), *moved])


def _origin(trial: Trial, where: StudyDir) -> str | None:
    """What the first weights are, where they are another trial's or a file's."""
    weights = trial.train.weights
    if weights in ("none", "imagenet"):
        return None
    if not weights.startswith("trial:"):
        file = Path(weights).expanduser()
        return fingerprint(file) if file.is_file() else None
    from secondread.models.weights import find_trial

    try:
        folder = find_trial(weights, where.root)
    except SecondreadError:
        return None
    return fingerprint(folder / "done.json") if (folder / "done.json").exists() else None


def _coder_units(study: Study, where: StudyDir) -> list[tuple[Any, Unit]]:
    if not any(model.name == "coded_cnn" for arm in study.arms for model in study.arm(arm)[1].models):
        return []  # spares the import of torch
    from secondread.train.autoencoder import coder_unit, coders

    return [(coder, coder_unit(coder, where)) for coder in coders(study, where)]


def _coder_unit_of(trial: Trial, where: StudyDir) -> list[Unit]:
    if trial.model.name != "coded_cnn":
        return []
    from secondread.train.autoencoder import coder_of, coder_unit

    coder = coder_of(trial)
    return [] if coder is None else [coder_unit(coder, where)]
