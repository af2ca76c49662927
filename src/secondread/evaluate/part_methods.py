"""The report's section on how it was made: methods to paste, checklist, what was mended, provenance."""

from __future__ import annotations

import json
from typing import Any

import yaml

from secondread.core.files import sha256_of_file
from secondread.core.spec import as_yaml
from secondread.evaluate.checklist import checklist
from secondread.evaluate.methods_text import methods_text
from secondread.evaluate.record import Record
from secondread.pages.blocks import Block, Code, Folded, Heading, Paste, Section, Tabled, Words
from secondread.pages.sentences import Sentence
from secondread.pages.tables import Cell, Name, Table


def methods_section(record: Record) -> Section:
    blocks: list[Block] = [Heading("To paste into a paper"), Paste(methods_text(record))]
    blocks += [Folded("CLAIM and TRIPOD+AI, filled from the record", [Tabled(checklist(record))])]
    blocks += mended(record)
    blocks += [
        Heading("Provenance"),
        Tabled(provenance_table(record)),
        Folded("The study file", [Code(yaml.safe_dump(as_yaml(record.study), sort_keys=False, allow_unicode=True))]),
    ]
    return Section("methods", "Methods and provenance", blocks)


def mended(record: Record) -> list[Block]:
    """What had to be mended or could not be fitted; absent scores carry their reason in scores.csv."""
    notes = list(record.summary.get("notes", []))
    told: list[Block] = [Heading("What had to be mended, and what could not be computed")]
    told += [_small(note) for note in notes[:40]]
    if len(notes) > 40:
        told.append(_small(f"And {len(notes) - 40} more notes of this kind, in summary.json."))
    s = record.scores
    reasons = s[s["value"].isna() & (s["repeat"] == -1) & s["split"].isin(["val", "test"])]["method"]
    for reason, number in reasons.value_counts().items():
        told.append(_small(f"{number} scores are not given: {reason}."))
    if len(told) == 1:
        told.append(_small("Nothing: every row was read, every operating point fitted, every score defined."))
    return told


def provenance_table(record: Record) -> Table:
    where = record.where
    rows: list[list[Cell]] = [[name, _value(value)] for name, value in _environment(record).items()]
    for path in (where.dataset, where.clean_rows, where.splits, where.scores, where.comparisons):
        if path.exists():
            rows.append([Name(path.relative_to(where.root).as_posix()), Name(f"SHA-256 {sha256_of_file(path)}")])
    if where.test_reads.exists():
        reads = [json.loads(line) for line in where.test_reads.read_text(encoding="utf8").splitlines() if line]
        steps = ", ".join(
            f"{step} {sum(r['step'] == step for r in reads)}" for step in dict.fromkeys(r["step"] for r in reads)
        )
        rows.append(["Test rows were read", f"{len(reads)} times ({steps}); test_reads.jsonl names each"])
    return Table("table-provenance", "What the results were made with", ["", "Value"], rows, result=False)


def _environment(record: Record) -> dict[str, Any]:
    made = record.provenance
    packages = ", ".join(f"{name} {version}" for name, version in made.get("packages", {}).items() if version)
    machine = f"{made.get('cores')} cores, {made.get('processor')}, {made.get('system')}"
    told = {"secondread": made.get("secondread"), "Python": made.get("python"), "Packages": packages}
    return told | {"Machine": machine, "When": made.get("when")} if made else {}


def _value(value: Any) -> Cell:
    return Name(str(value if value is not None else "not recorded"))


def _small(text: str) -> Words:
    return Words(Sentence("", [text]), small=True)
