"""The page where images are handed in."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import TooManyFilesSent
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.bundles.offer import on_offer
from secondread.serve.pages.failures import answer, wants_json
from secondread.serve.reads import door
from secondread.serve.reads.admission import PLACES, RETRY_SECONDS, Busy
from secondread.serve.reads.awaiting import await_end
from secondread.serve.reads.models import Read
from secondread.serve.reads.own import first_of
from secondread.serve.reads.places import OutOfSpace
from secondread.serve.reads.shown import record_list
from secondread.serve.reads.streaming import StreamedFile

PATIENCE = 3.0
"""Seconds the page waits for a single reading before it shows that it waits."""


@csrf_exempt  # checked below, after it is known that there is room: checking reads the body
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    if request.method == "POST" and wants_json(request) and not request.user.is_authenticated:
        # a script that is led to the log-in page cannot say what happened
        return answer(request, 401, "Logged out", "You are logged out. Log in and send it again.", code="logged_out")
    return _upload(request)


@login_required
def _upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    try:
        with PLACES.one():
            return _taken_in(request)
    except TooManyFilesSent:
        return _refused(request, 413, "too_many_files", f"At most {settings.LIMITS.files} files are taken at once.")
    except OutOfSpace:  # while the files arrive, or later
        return _refused(request, 507, "disk_full", "The disk of this site is full; nothing was stored.")
    except Busy:
        return answer(
            request, 503, "Busy", "Many images are being read. Please try again in a moment.", retry=RETRY_SECONDS
        )


def _page(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    bundles = list(RegisteredBundle.objects.filter(active=True))
    recent = first_of(Read.objects.filter(owner=user).order_by("-created", "-id"), 6)
    record_list(request, "lately", recent)
    return render(request, "upload.html", {"bundles": bundles, "recent": recent})


@csrf_protect
def _taken_in(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    files = [file for file in request.FILES.getlist("image") if isinstance(file, StreamedFile)]
    fault = getattr(request, "upload_fault", "")
    if fault:
        return _refused(request, 413, "too_large", f"Not taken: {fault}.")
    offer = on_offer()
    bundle = offer.chosen(request.POST.get("bundle", ""))
    if bundle is None:
        return _refused(request, 422, "no_bundle", "Choose a model that this site offers.")
    if not files:
        return _refused(request, 422, "no_file", "Choose at least one image.")
    if not wants_json(request) and ("keep_names" in request.POST) != user.keep_names:
        user.keep_names = "keep_names" in request.POST
        user.save(update_fields=["keep_names"])
    try:
        entered = door.take_in(request, user, files, bundle, offer)
    except door.OverQuota:
        return _refused(request, 413, "quota", "Your share of the disk is used up. Delete some reads first.")
    except door.Vanished:
        return _refused(request, 409, "vanished", "One of the images was deleted meanwhile. Please send it again.")
    return _answer(request, entered)


def _answer(request: HttpRequest, entered: door.Entered) -> HttpResponse:
    if len(entered.reads) == 1:
        await_end(entered.reads[0][1], PATIENCE)
    if wants_json(request):
        return JsonResponse(
            {
                "reads": [
                    {"label": label, "id": str(read.id), "url": reverse("read", args=[read.id])}
                    for label, read in entered.reads
                ],
                "refused": [
                    {"label": label, "code": code, "reason": reason} for label, code, reason in entered.refused
                ],
                "url": _next(entered),
            },
            status=200 if entered.reads else 422,
        )
    for at, (_, _, reason) in enumerate(entered.refused, start=1):  # no names: messages lie in the database for a while
        messages.warning(request, f"Not taken ({at}): {reason}.")
    return redirect(_next(entered))


def _next(entered: door.Entered) -> str:
    """Where to look at what came of it."""
    if not entered.reads:
        return reverse("upload")
    if len(entered.reads) == 1:
        return reverse("read", args=[entered.reads[0][1].id])
    return f"{reverse('history')}?batch={entered.batch}"


def _refused(request: HttpRequest, status: int, code: str, reason: str) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"code": code, "detail": reason}, status=status)
    messages.error(request, reason)
    return redirect("upload")


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
