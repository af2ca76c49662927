"""The list of steps, and what runs, checks and reports on them."""

from __future__ import annotations

import importlib
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from secondread.core.alone import alone
from secondread.core.errors import BadData, SecondreadError, WrongRequest
from secondread.core.files import clear_abandoned, write_json
from secondread.core.processors import launched_processes
from secondread.core.progress import say
from secondread.core.provenance import environment
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, Unit
from secondread.core.studyfile import check_parts, load_study, name_in, save_study
from secondread.core.trials import trials


@dataclass(frozen=True)
class Step:
    name: str
    reads: str
    writes: str

    def face(self) -> Any:
        return importlib.import_module(f"secondread.{self.name}.run")


STEPS = (
    Step("gather", "the source", "gather/rows.parquet"),
    Step("prepare", "gather/", "prepare/, cache/"),
    Step("synthesize", "prepare/", "synthesize/"),
    Step("balance", "prepare/, synthesize/rows.parquet", "balance/"),
    Step("train", "prepare/, balance/, cache/", "train/"),
    Step("predict", "train/, prepare/, cache/", "predict/"),
    Step("evaluate", "predict/, train/*/epochs.csv", "evaluate/"),
    Step("explain", "train/, predict/, evaluate/summary.json", "explain/"),
    Step("export", "train/, evaluate/", "export/"),
)
STEP_NAMES = tuple(step.name for step in STEPS)
LONG = ("synthesize", "balance", "train")
"""Steps that may take hours, or lead to them: what would refuse a later one is asked before the first of these."""


def step_named(name: str) -> Step:
    return STEPS[STEP_NAMES.index(name)]


def open_study(
    file: Path, data: Path | None, out: Path | None, only: str | None = None, smoke: bool = False
) -> tuple[Study, StudyDir]:
    """The checked study of a file and the directory it lives in (`runs/<study>` when none is given).

    Raises `WrongRequest` for a bad file, when `only` leaves no trial, and when the directory belongs to another study.
    """
    study = load_study(file)
    root = out or Path("runs") / (f"{study.study}-smoke" if smoke else study.study)
    if smoke:
        from secondread.smoke import smoke_of

        study, data = smoke_of(study, data_root(data), root.with_name("phantoms"))
    check(study)
    where = StudyDir(root.resolve(), data_root(data), only)
    _check_only(study, where)
    _claim(study, where)
    clear_abandoned(where.root)
    return study, where


def check(study: Study) -> None:
    """Raises `WrongRequest` for whatever the study file alone shows to be impossible."""
    from secondread.models.catalogue import forbid_misfits

    check_parts(study)
    for arm in study.arms:
        forbid_misfits(study.arm(arm)[1])


def _check_only(study: Study, where: StudyDir) -> None:
    if where.only is not None and next(trials(study, where), None) is None:
        example = next(trials(study, StudyDir(where.root))).name
        raise WrongRequest(f"no trial matches --only {where.only!r}; trials are named like {example}")


def run(study: Study, where: StudyDir, steps: tuple[str, ...] = STEP_NAMES) -> None:
    """Do every step that is missing or stale, in order; what is done stays as it is.

    Raises `WrongRequest` in one of several processes, which only the step `train` shares its work among.
    """
    if steps != ("train",) and (several := launched_processes()) > 1:
        raise WrongRequest(f"{several} processes were started: start the step train alone in several (docs/guide.md)")
    write_json(where.provenance, environment())
    if not {"evaluate", "export"} <= set(steps):
        _run_steps(steps, study, where)
        return
    middle = steps.index("evaluate")
    _run_steps(steps[:middle], study, where)
    _run_step(step_named("evaluate"), study, where, "score")
    try:  # the report shows what explain and export make, so it comes last, and comes when they fail
        _run_steps(steps[middle + 1 :], study, where)
    except (SecondreadError, OSError):
        _run_step(step_named("evaluate"), study, where)
        raise
    _run_step(step_named("evaluate"), study, where)


def status(where: StudyDir) -> list[dict[str, Any]]:
    """State of every unit of the study in `where`: `{"step", "unit", "state", "reason" (why it failed)}`."""
    if not where.study_file.exists():
        raise WrongRequest(f"{where.root} is no study directory (it has no {where.study_file.name})")
    try:
        study = load_study(where.study_file)
    except WrongRequest as error:
        again = f"`secondread run STUDY.yaml --out {where.root}` writes it anew"
        raise WrongRequest(f"{error}. If another version of secondread wrote it, {again}") from error
    found = []
    for step in STEPS:
        for unit in _units(step, study, where):
            state = unit.state()
            reason = unit.reason() if state == "failed" else ""
            found.append({"step": step.name, "unit": unit.name, "state": state, "reason": reason})
    return found


def tune(study: Study, where: StudyDir, trials: int) -> list[Path]:
    """Prepare what trials need and search `train.search`, judged on validation; the paths of the table of trials and of
    the best study file. Raises `WrongRequest` for a wrong search before anything is made."""
    from secondread.train.tune import tune as search
    from secondread.train.tune_spaces import spaces_of

    spaces_of(study)
    run(study, where, ("gather", "prepare", "synthesize", "balance"))
    with alone(where.lock("tune"), "tune"):
        best = search(study, where, trials)
    tuned = where.root / "tune" / "best.yaml"
    save_study(best, tuned, "The best setting by validation; see tune/trials.csv.")
    return [where.root / "tune" / "trials.csv", tuned]


def results(where: StudyDir) -> list[Path]:
    """What a person opens next, as far as it exists."""
    named = [where.report, where.scores, where.comparisons, where.audit_page]
    bundles = sorted(path.parent for path in (where.root / "export").glob("*/*/model.onnx"))
    return [path for path in [*named, *bundles] if path.exists()]


def _run_steps(names: tuple[str, ...], study: Study, where: StudyDir) -> None:
    for name in names:
        if name in LONG and not set(LONG[: LONG.index(name)]) & set(names):
            _need_ready(study, where)
        _run_step(step_named(name), study, where)


def _need_ready(study: Study, where: StudyDir) -> None:
    """Ask the steps to come what would refuse their work, before the first of hours is spent."""
    if not where.pixels.exists():
        return  # the step itself says what is to be run before it
    waiting = [unit for name in ("synthesize", "train") for unit in _units(step_named(name), study, where)]
    if any(unit.state() != "done" for unit in waiting):
        for name in ("evaluate", "explain", "synthesize", "train"):
            step_named(name).face().ready(study, where)


def _run_step(step: Step, study: Study, where: StudyDir, task: Literal["run", "score"] = "run") -> None:
    # trainings keep others from their own trial only: the jobs of an array take one each
    with nullcontext() if step.name == "train" else alone(where.lock(step.name), f"the step {step.name}"):
        waiting = [unit for unit in _units(step, study, where) if unit.state() != "done"]
        if waiting:
            say(f"── {step.name}: {len(waiting)} to do")
        getattr(step.face(), task)(study, where)


def _units(step: Step, study: Study, where: StudyDir) -> list[Unit]:
    try:
        units: list[Unit] = step.face().units(study, where)
    except SecondreadError:
        return []  # an earlier step has not made what this one is planned from
    return units


def data_root(data: Path | None) -> Path | None:
    """The folder that sources are relative to: as given, else $SECONDREAD_DATA; raises `BadData` where it is not."""
    given = data or (Path(os.environ["SECONDREAD_DATA"]) if os.environ.get("SECONDREAD_DATA") else None)
    if given is None:
        return None
    if not given.is_dir():
        raise BadData(f"the data folder {given} does not exist (--data or $SECONDREAD_DATA)")
    return given.resolve()


def _claim(study: Study, where: StudyDir) -> None:
    """Write the study file into its directory; a directory of another study is refused."""
    if where.study_file.exists():
        try:
            other = name_in(where.study_file)  # other keys may be those of another version
        except WrongRequest as error:
            raise WrongRequest(f"{error}. Delete it, and the same command writes it anew") from error
        if other != study.study:
            raise WrongRequest(f"{where.root} holds the study {other!r}, not {study.study!r}: choose another --out")
    elif where.root.is_dir() and any(where.root.iterdir()) and not where.provenance.exists():
        raise WrongRequest(f"{where.root} is not empty and holds no study: choose another --out")
    save_study(study, where.study_file)
