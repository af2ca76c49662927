"""Reads as JSON and as a table, with the keys of `secondread read --json`."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

from secondread.models.bundle.card import DISCLAIMER
from secondread.serve.reads.models import Read

COLUMNS = ["id", "file", "content_id", "status", "reason", "decision", "probabilities", "bundle", "bundle_name",
           "created", "finished", "seconds", "agrees", "truth"]  # fmt: skip
TOGETHER = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(read: Read, opinion: bool = True) -> dict[str, Any]:
    """A read as its owner may take it away; expects image, bundle and feedback to be loaded."""
    result = read.result or {}
    told = {
        "id": str(read.id),
        "file": read.image.name,
        "content_id": read.image.content_id,
        "status": read.state,
        "reason": read.reason,
        "decision": result.get("decision"),
        "probabilities": result.get("probabilities"),
        "bundle": read.bundle_id,
        "bundle_name": read.bundle.name,
        "created": read.created.isoformat(),
        "finished": read.finished.isoformat() if read.finished else None,
        "seconds": result.get("seconds"),
        "gate_distance": result.get("gate_distance"),
        "made_with": result.get("made_with"),
        "intended_use": DISCLAIMER,
    }
    if opinion:
        given = getattr(read, "feedback", None)
        told |= {"agrees": given.agrees if given else None, "truth": given.truth if given else ""}
    return told


def csv_lines(which: list[uuid.UUID]) -> Iterator[str]:
    """The table, line by line."""
    yield _line(COLUMNS)
    for read in _whole(which):
        told = as_json(read)
        chances = told["probabilities"] or {}
        told["probabilities"] = "; ".join(f"{name}={p:.6f}" for name, p in chances.items())
        if isinstance(told["decision"], list):
            told["decision"] = "|".join(told["decision"])
        yield _line([_safe(told[name]) for name in COLUMNS])


def json_lines(which: list[uuid.UUID]) -> Iterator[str]:
    for read in _whole(which):
        yield json.dumps(as_json(read)) + "\n"


def _whole(which: list[uuid.UUID]) -> Iterator[Read]:
    """These reads in their order, some at a time; what was deleted meanwhile is left out."""
    whole = Read.objects.select_related("image", "bundle", "feedback").defer("heat", "bundle__card")
    for at in range(0, len(which), TOGETHER):
        some = which[at : at + TOGETHER]
        found = whole.in_bulk(some)
        yield from (found[identifier] for identifier in some if identifier in found)


def _line(values: list[Any]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(values)
    return written.getvalue()


def _safe(value: Any) -> Any:
    """No cell that a spreadsheet would run as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
