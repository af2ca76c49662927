"""The page of one read, and what can be done with it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from secondread.serve.audit.record import record
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.bundles.offer import on_offer
from secondread.serve.dicom.sending import pacs_is_configured
from secondread.serve.reads import door
from secondread.serve.reads.awaiting import await_end
from secondread.serve.reads.models import Feedback, Read, StoredImage
from secondread.serve.reads.own import own_finished_read, own_read, own_reads, user_of
from secondread.serve.reads.removal import delete_reads
from secondread.serve.reads.words import spoken, verdict_of

LONG_POLL = 10.0


@require_safe
@login_required
def read(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    found = own_read(user_of(request), identifier)
    record(request, "view", f"read {found.id}")
    return render(request, "read.html", _context(request, found))


def _context(request: HttpRequest, found: Read) -> dict[str, Any]:
    card = found.bundle.card
    before, after = _neighbours(found)
    others = RegisteredBundle.objects.filter(active=True).exclude(sha256=found.bundle_id)
    heat = (found.result or {}).get("heat")
    return {
        "read": found,
        "image": found.image,
        "bundle": found.bundle,
        "card": card,
        "verdict": verdict_of(found, card),
        "heat_classes": card["classes"] if heat and found.state != "refused" else [],
        "heat_first": _first_heat(found, card) if heat else 0,
        "heat_grid": " × ".join(str(side) for side in heat["shape"][1:]) if heat else "",
        "feedback": Feedback.objects.filter(read=found).first(),
        "truths": [(name, spoken(name)) for name in card["classes"]],
        "before": before,
        "after": after,
        "others": list(others),
        "siblings": list(own_reads(found.owner).filter(image=found.image).exclude(id=found.id)),
        "pacs": pacs_is_configured(),
        "thresholds": card["thresholds"],
    }


def _first_heat(found: Read, card: dict[str, Any]) -> int:
    """The class whose map is shown first: the one decided, else the most probable."""
    decided = found.decided
    chances = (found.result or {}).get("probabilities", {})
    name = decided[0] if decided else max(chances, key=lambda key: chances[key])
    return int(card["classes"].index(name))


def _neighbours(found: Read) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    """The reads before and after this one in its owner's history."""
    own = Read.objects.filter(owner_id=found.owner_id)
    newer = own.filter(created__gt=found.created).order_by("created", "id")
    older = own.filter(created__lt=found.created).order_by("-created", "-id")
    return newer.values_list("id", flat=True).first(), older.values_list("id", flat=True).first()


@require_safe
@login_required
def state(request: HttpRequest, identifier: uuid.UUID) -> JsonResponse:
    """Where the read stands; waits a while for it to end."""
    found = own_read(user_of(request), identifier)
    if found.pending and request.GET.get("wait"):
        await_end(found, LONG_POLL)
        found = own_read(user_of(request), identifier)
    return JsonResponse({"state": found.state, "pending": found.pending})


@require_POST
@login_required
def delete(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    found = own_read(user_of(request), identifier)
    kept = delete_reads(request, user_of(request), [found])
    image = "its image stays, because another model has read it too" if kept else "with its image"
    messages.success(request, f"The read was deleted, {image}.")
    return redirect("history")


@require_POST
@login_required
def again(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    """Read the same image with another bundle."""
    user = user_of(request)
    image: StoredImage = own_read(user, identifier).image
    bundle = on_offer().chosen(request.POST.get("bundle", ""))
    if bundle is None:
        messages.error(request, "Choose a model that this site offers.")
        return redirect("read", identifier)
    try:
        new = door.read_again(user, image, bundle)
    except door.Vanished as error:
        raise Http404 from error
    record(request, "upload", f"read {new.id}", "again, with another bundle")
    await_end(new, 3.0)
    return redirect("read", new.id)


@require_POST
@login_required
def feedback(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    found = own_finished_read(user_of(request), identifier)
    opinion, truth = request.POST.get("opinion"), request.POST.get("truth", "")
    if opinion == "none":
        Feedback.objects.filter(read=found).delete()
    elif opinion in ("agree", "disagree") and (truth == "" or truth in found.bundle.card["classes"]):
        Feedback.objects.update_or_create(read=found, defaults={"agrees": opinion == "agree", "truth": truth})
        messages.success(request, "Thank you: your opinion is kept with the read.")
    else:
        messages.error(request, "Choose whether you agree, and a class of this model.")
        return redirect("read", identifier)
    record(request, "feedback", f"read {found.id}")
    return redirect("read", identifier)
