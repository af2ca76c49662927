"""What the API takes and gives."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Literal

from ninja import Schema

from secondread.models.bundle.card import DISCLAIMER
from secondread.serve.reads.exports import as_json
from secondread.serve.reads.models import Read


class Problem(Schema):
    """What went wrong; `code` is for programs."""

    code: str
    detail: str


class ReadOut(Schema):
    """A read; probabilities and decision are null until it is done, and when it failed."""

    id: uuid.UUID
    file: str
    content_id: str
    status: Literal["queued", "running", "read", "uncertain", "refused", "failed"]
    reason: str
    decision: str | list[str] | None
    probabilities: dict[str, float] | None
    gate_distance: float | None
    bundle: str
    bundle_name: str
    created: datetime
    finished: datetime | None
    seconds: float | None
    heatmap: bool
    agrees: bool | None
    truth: str
    intended_use: str = DISCLAIMER


class NotTaken(Schema):
    file: str
    code: str
    reason: str


class Submitted(Schema):
    """Reads in the order of the files, and the files that were not taken."""

    reads: list[ReadOut]
    not_taken: list[NotTaken]


class ReadPage(Schema):
    reads: list[ReadOut]
    after: str
    """Send it as `after` to get the next page; empty on the last one."""


class BundleOut(Schema):
    sha256: str
    name: str
    task: str
    classes: list[str]
    thresholds: dict[str, float]
    uncertain: dict[str, list[float]]
    heatmaps: bool
    about: str
    intended_use: str


class LimitsOut(Schema):
    types: list[str]
    file_bytes: int
    request_bytes: int
    files: int
    unpacked_bytes: int
    megapixels: int
    decode_seconds: int
    decode_memory: int
    quota_bytes: int
    waiting: int
    uploads: int
    lease_seconds: int
    read_seconds: int
    attempts: int
    wait_seconds: int


class HeatmapOut(Schema):
    """A map [height][width] of one class, 1 at the strongest of all classes."""

    class_name: str
    height: int
    width: int
    values: list[list[float]]
    caution: str = "Attention map: shows what moved the score, not lesion borders."


def read_out(read: Read) -> dict[str, Any]:
    return as_json(read) | {"heatmap": bool(read.result and read.result.get("heat") and read.state != "refused")}
