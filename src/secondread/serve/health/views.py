"""Is it alive, is it ready: answerable while everything else is busy."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.door import LEAST_FREE, free_bytes
from secondread.serve.reads.models import Worker

KEEP = 2.0
SILENT = timedelta(seconds=20)

_lock = threading.Lock()
_known: tuple[float, list[str]] = (float("-inf"), [])


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """This process answers; asks nothing and nobody."""
    return JsonResponse({"live": True})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Whether images can be read now, and if not why; the answer is at most two seconds old."""
    global _known
    with _lock:
        at, faults = _known
        if time.monotonic() - at > KEEP:
            faults = _faults()
            _known = (time.monotonic(), faults)
    return JsonResponse({"ready": not faults, "faults": faults}, status=503 if faults else 200)


def _faults() -> list[str]:
    try:
        faults = _bundle_faults()
    except Error:
        connection.close()
        return ["the database does not answer"]
    try:
        if free_bytes() < LEAST_FREE:
            faults.append("the disk is full")
    except OSError:
        faults.append("the data folder is not there")
    return faults


def _bundle_faults() -> list[str]:
    active = RegisteredBundle.objects.filter(active=True).values_list("sha256", flat=True)
    workers = list(Worker.objects.filter(seen__gte=timezone.now() - SILENT))
    if not workers:
        return ["no worker reads"]
    if not active:
        return ["no bundle is offered"]
    faults = []
    for sha256 in active:
        told = [worker.bundles.get(sha256, "not opened yet") for worker in workers]
        if all(told):
            faults.append(f"bundle {sha256[:12]}: {told[0]}")
        elif any(told):
            faults.append(f"bundle {sha256[:12]} on some workers: {next(filter(None, told))}")
    return faults
