"""Prediction tables → operating points, scores, comparisons and the report.

Reads predict/**.parquet, gather/dataset.json, prepare/{rows,splits}.parquet, prepare/{audit,split_proof,pixels}.json,
train/<trial>/{card.json,epochs.csv}; for the report also train/autoencoders/, synthesize/quality.csv and what explain
and export left.
Writes evaluate/<arm>/<model>/operating.json, scores.csv, comparisons.csv, summary.json, report.html, figures/, tables/.
"""

from __future__ import annotations

from pathlib import Path

from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir, Unit, needed
from secondread.core.tables import read_dataset
from secondread.core.trials import trials

VERSION = 7
"""Raised when the same predictions would give other numbers or another report."""


def units(study: Study, where: StudyDir) -> list[Unit]:
    """`scores` (operating points, scores, comparisons, summary) and `report` (figures and pages)."""
    return [scores_unit(study, where), report_unit(study, where)]


def run(study: Study, where: StudyDir) -> None:
    """Score what was predicted, then show it. Raises `BadData` when nothing was predicted."""
    score(study, where)
    shown = report_unit(study, where)
    if shown.state() != "done":
        from secondread.evaluate.report import write_report

        with shown.work([where.report]):
            write_report(study, where)


def ready(study: Study, where: StudyDir) -> None:
    """Raises `WrongRequest` for what the task forbids to judge by, before hours are spent on training."""
    from secondread.evaluate.scoring import need_primary
    from secondread.metrics.calibration import need_rule

    dataset = read_dataset(where.dataset)
    need_primary(study, dataset.task)
    need_rule(study.evaluate.threshold, dataset.task, len(dataset.classes))


def score(study: Study, where: StudyDir) -> None:
    """The unit `scores` alone: all that explain and export need."""
    scored = scores_unit(study, where)
    if scored.state() != "done":
        from secondread.evaluate.predictions import read_evidence
        from secondread.evaluate.results import results

        pairs = {(trial.arm, trial.model.label) for trial in trials(study, where)}
        points = [where.operating(*pair) for pair in sorted(pairs)]
        with scored.work([where.scores, where.comparisons, where.summary], points):
            results(read_evidence(study, where), study, where).write()


def scores_unit(study: Study, where: StudyDir) -> Unit:
    wanted = list(trials(study, where))
    tables = [where.predictions(trial.name) for trial in wanted]
    cards = [where.trial(trial.name) / "card.json" for trial in wanted]
    proofs = [where.clean_rows, where.splits, where.split_proof, where.audit]
    external = sorted((where.root / "predict" / "external").rglob("*.parquet"))
    settings = {"version": VERSION, "trials": [trial.name for trial in wanted], "evaluate": as_yaml(study.evaluate)}
    inputs = [needed(where.dataset, "gather"), *existing([*tables, *cards, *proofs, *external])]
    return Unit("evaluate", "scores", where.evaluate, settings, inputs, where.evaluate / "scores.done.json")


def report_unit(study: Study, where: StudyDir) -> Unit:
    left = [
        path
        for folder, patterns in LEFTOVERS.items()
        for pattern in patterns
        for path in sorted((where.root / folder).glob(pattern))
    ]
    epochs = [where.trial(trial.name) / "epochs.csv" for trial in trials(study, where)]
    settings = {"version": VERSION, "study": as_yaml(study)}
    inputs = [where.scores, where.comparisons, where.summary, *existing([*epochs, where.pixels, where.rows]), *left]
    return Unit("evaluate", "report", where.evaluate, settings, inputs, where.evaluate / "report.done.json")


LEFTOVERS = {
    "synthesize": ["quality.csv", "*/*/*/losses.csv"],
    "train": ["autoencoders/*/*/epochs.csv", "autoencoders/*/*/quality.csv"],
    "explain": ["*/*/cases.json", "*/*/quality.csv"],
    "export": ["*/*/card.json", "*/*/bench.json"],
}


def existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]
