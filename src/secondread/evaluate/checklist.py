"""CLAIM and TRIPOD+AI, item by item, filled from the record as far as a record can.

Item numbers: CLAIM 2020 (Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2(2)), TRIPOD+AI 2024 (Collins and
others, BMJ 385:e078378). What an item asks for is said in our own words.
"""

from __future__ import annotations

from secondread.core.files import sha256_of_json
from secondread.core.spec import as_yaml
from secondread.evaluate.leakage import stamp
from secondread.evaluate.lookup import Lookup
from secondread.evaluate.methods_text import counted, length
from secondread.evaluate.record import Record
from secondread.pages.tables import Cell, Table

TO_WRITE = "to be written by the authors"


def checklist(record: Record) -> Table:
    """One line per item: what it asks, its numbers, what the record says."""
    rows: list[list[Cell]] = [
        [asks, claim, tripod, answer or TO_WRITE] for asks, claim, tripod, answer in [*_first(record), *_second(record)]
    ]
    note = "CLAIM 2020 and TRIPOD+AI 2024, in our words; check the wording of your journal's version."
    columns = ["What is asked", "CLAIM", "TRIPOD+AI", "From the record"]
    return Table("table-checklist", "Reporting checklist", columns, rows, note, result=False)


Item = tuple[str, str, str, str]


def _first(record: Record) -> list[Item]:
    dataset, study = record.evidence.dataset, record.study
    prepare = study.prepare
    classes = ", ".join(record.classes)
    leaky = f"{stamp(study, record.evidence.leaky)}: patients or copies may stand on both sides"
    return [
        ("Title names the method", "1", "1", ""),
        ("Structured abstract", "2", "2", ""),
        ("Clinical background, intended use", "3", "3a–c", study.about and f"Question of the study: {study.about}"),
        ("Objectives", "4", "4", ""),
        ("Prospective or retrospective; goal", "5, 6", "5a", "retrospective, on images already collected"),
        ("Data sources and dates", "7", "5a, b", f"source: {dataset.source}. " + " ".join(dataset.notes)),
        ("Eligibility, setting, flow of exclusions", "8, 33", "6a–c, 20a", _flow(record)),
        ("Preprocessing", "9", "7", _preprocessing(record)),
        ("Selection of data subsets", "10", "", "unreadable and excluded images are listed in prepare/dropped.parquet"),
        ("Definition of outcome and predictors", "11", "8a, 9a", f"classes: {classes}; predictor: the image"),
        ("De-identification", "12", "17", ""),
        ("Missing data", "13", "11", "labels not given are left out of every fit and score of that label"),
        ("Reference standard: definition, rationale, annotators, tools, variability", "14–18", "8a–c", ""),
        ("Sample size", "19", "10", _sample_size(record)),
        ("Assignment to partitions", "20", "12a", f"split: {prepare.split.name}, seed {prepare.seed}"),
        ("Level at which partitions are disjoint", "21", "12a", leaky if record.evidence.leaky else _disjoint(record)),
        ("Class imbalance", "25", "13", _balance(record)),
    ]  # fmt: skip


def _second(record: Record) -> list[Item]:
    study, e = record.study, record.study.evaluate
    train = study.arm(record.picked["arm"])[1]
    networks, made_with = ", ".join(record.evidence.models), record.provenance.get("secondread", "")
    external = ", ".join(one.name for one in study.gather.external)
    return [
        ("Model description, inputs, outputs", "22", "12c, 15, 22", f"{networks}; see Every trial"),
        ("Software", "23", "18f", f"secondread {made_with} and the versions below"),
        ("First parameters", "24", "12c", f"weights: {train.weights}"),
        ("Training: augmentation, hyper-parameters, number of models", "25", "12c", _training(record)),
        ("Choice of the final model", "26", "12c", f"by {Lookup.of(record).primary} on validation rows only"),
        ("Ensembling", "27", "12c", _ensembling(record)),
        ("Metrics", "28", "12e", ", ".join(e.metrics)),
        ("Significance and uncertainty", "29", "12e", "see methods: intervals, paired tests, correction"),
        ("Robustness, fairness", "30", "12f, 14, 23a", f"subgroups asked for: {', '.join(e.subgroups) or 'none'}"),
        ("Explainability", "31", "", _explained(record)),
        ("External data", "32", "12f, 16", external or "none"),
        ("Demographics of each partition", "34", "20b, c", _demographics(record)),
        ("Performance on all partitions, with precision", "35, 36", "21, 23a", "tables of validation and test"),
        ("Calibration", "", "12e, 23a", "reliability figure, slope and intercept, proper scores before and after"),
        ("Failure analysis", "37", "", "cases section: errors, most confident errors, suspected labels"),
        ("Limitations, generalisability", "38", "26", ""),
        ("Implications, interpretation, usability", "39", "25, 27a–c", ""),
        ("Registration, protocol", "40, 41", "18c, d", f"the study file below, SHA-256 {_study_hash(record)}"),
        ("Data and code availability", "41", "18e, f", ""),
        ("Funding, conflicts, ethics, involvement of patients", "42", "17, 18a, b, 19", ""),
    ]  # fmt: skip


def _flow(record: Record) -> str:
    audit = record.audit
    if not audit:
        return ""
    return f"{audit.get('files', '?')} files found, {audit.get('readable', '?')} readable, {len(record.rows)} used"


def _preprocessing(record: Record) -> str:
    train = record.study.arm(record.picked["arm"])[1]
    card = record.picked_trial.predicted.card
    crop = record.study.prepare.crop_border
    told = [f"{train.size} × {train.size}, fit {train.fit}", f"intensity {card.get('intensity', 'auto')}"]
    return "; ".join([*told, *([f"border of {100 * crop:g} % cut"] if crop else [])])


def _sample_size(record: Record) -> str:
    look = Lookup.of(record)
    shown = look.verdicts(look.primary)["mde"].dropna()
    size = f"{look.cohort('test', 'images').text} test images, as many as the source allows"
    if shown.empty:
        return size
    return f"{size}; smallest true difference that four of five such test sets would show: {shown.max():.3f}"


def _disjoint(record: Record) -> str:
    rule = record.evidence.dataset.patient_rule
    return f"patient ({rule}) and duplicate cluster" if rule else "duplicate cluster; patients are not known"


def _balance(record: Record) -> str:
    policies = {arm: record.study.arm(arm)[0].name for arm in record.study.arms}
    return "; ".join(f"{arm}: {name}" for arm, name in policies.items())


def _training(record: Record) -> str:
    train, count = record.study.arm(record.picked["arm"])[1], len(record.evidence.trials)
    return (
        f"{counted(count, 'trial')}; loss {train.loss.name}, augment {train.augment.name}, optimiser "
        f"{train.optimiser.name}, schedule {train.schedule.name}, batch {train.batch}, at most {length(train)}"
    )


def _ensembling(record: Record) -> str:
    """Of the seeds that are here: `--only` may have left out some, or all but one."""
    alike = [record.picked[name] for name in ("arm", "model", "repeat", "fold")]
    trials = [one.trial for one in record.evidence.trials]
    seeds = sum([one.arm, one.model.label, one.repeat, one.fold] == alike for one in trials)
    return f"mean over {seeds} seeds" if record.study.export.ensemble and seeds > 1 else "none"


def _explained(record: Record) -> str:
    made = any((record.where.root / "explain").glob("*/*/cases.json"))
    return f"{', '.join(record.study.explain.methods)}; see heatmaps" if made else ""


def _demographics(record: Record) -> str:
    known = [name for name in ("sex", "age", "view", "site") if name in record.rows and record.rows[name].notna().any()]
    return f"known: {', '.join(known)}; see data and subgroups" if known else "not in the source"


def _study_hash(record: Record) -> str:
    return sha256_of_json(as_yaml(record.study))[:16]
