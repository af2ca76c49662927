"""The models of this site: their cards, and their files for whom the operator allows."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from secondread.core.errors import SecondreadError, WrongRequest
from secondread.models.bundle.card import means_of_trainings
from secondread.models.bundle.container import write_zip
from secondread.models.bundle.opened import sealed_files
from secondread.serve.audit.record import record
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import Read
from secondread.serve.reads.own import user_of


@require_safe
@login_required
def models(request: HttpRequest) -> HttpResponse:
    return render(
        request, "models.html", {"bundles": RegisteredBundle.objects.filter(active=True).prefetch_related("proofs")}
    )


@require_safe
@login_required
def model(request: HttpRequest, sha256: str) -> HttpResponse:
    """The model card; of a bundle that is no longer offered only for whom it has read."""
    bundle = _visible(request, sha256)
    card = bundle.card
    return render(
        request,
        "model.html",
        {
            "bundle": bundle,
            "card": card,
            "metrics": _by_class(card["metrics"]),
            "means": means_of_trainings(len(card["members"]), card["metrics"]),
            "versions": sorted(card["versions"].items()),
            "cohort": _plain(card["cohort"]),
            "calibration": _plain(card["calibration"]),
            "parity": _plain(card["parity"]),
            "rows": [
                (name, card["texts"].get(name, ""), card["thresholds"].get(name), card["uncertain"].get(name))
                for name in card["classes"]
            ],
            "may_download": bundle.downloadable_by(user_of(request)),
        },
    )


@require_safe
@login_required
def download(request: HttpRequest, sha256: str) -> FileResponse:
    bundle = get_object_or_404(RegisteredBundle, sha256=sha256)
    if not bundle.downloadable_by(user_of(request)):
        raise Http404
    try:
        with tempfile.TemporaryDirectory() as folder:  # what is open stays readable when its name is gone
            packed = _packed(bundle, Path(folder) / "bundle.zip")
            opened = open(packed, "rb")  # noqa: SIM115  the response closes it
    except (OSError, SecondreadError) as error:
        raise Http404 from error
    record(request, "download", f"bundle {bundle.short}")
    return FileResponse(opened, as_attachment=True, filename=f"{bundle.short}.zip", content_type="application/zip")


def _packed(bundle: RegisteredBundle, path: Path) -> Path:
    """The bundle's files as a zip at `path`; raises `WrongRequest` when they are not those that were registered."""
    place = Path(bundle.path)
    if place.is_dir():
        write_zip(place, path)
    else:
        shutil.copyfile(place, path)
    if sealed_files(path)[0].sha256 != bundle.sha256:  # of the copy, which nobody changes meanwhile
        raise WrongRequest("another bundle lies at its place")
    return path


def _visible(request: HttpRequest, sha256: str) -> RegisteredBundle:
    bundle = get_object_or_404(RegisteredBundle, sha256=sha256)
    if not bundle.active and not Read.objects.filter(owner=user_of(request), bundle=bundle).exists():
        raise Http404
    return bundle


def _by_class(metrics: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of scores of the test images, or of whatever split there is, grouped by class."""
    splits = {row.get("split") for row in metrics}
    wanted = "test" if "test" in splits else None
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in metrics:
        if wanted is None or row.get("split") == wanted:
            grouped[str(row.get("class") or "all")].append(row)
    return sorted(grouped.items(), key=lambda item: (item[0] not in ("macro", "all"), item[0]))


def _plain(told: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as lines of name and value."""
    lines: list[tuple[str, str]] = []
    for key, value in told.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            lines += _plain(value, f"{name}: ")
        elif isinstance(value, float):
            lines.append((name, f"{value:.4g}"))
        else:
            lines.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return lines
