"""The operator's pages: who works with what. Nobody's images or readings are shown here.

A deed and its event in the audit log are one transaction: neither is there without the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Left, Length
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from secondread.serve.accounts.codes import counted_as
from secondread.serve.accounts.lockout import forgive
from secondread.serve.accounts.models import ApiToken, User
from secondread.serve.audit.models import AuditEvent
from secondread.serve.audit.record import BEGINNING, record, record_view
from secondread.serve.bundles.models import CHOSEN, EVERYONE, NOBODY, RegisteredBundle
from secondread.serve.operate.told import told
from secondread.serve.operate.watching import watch
from secondread.serve.pages.fields import typed
from secondread.serve.reads.models import Read, State, Worker
from secondread.serve.reads.own import user_of

PAGE = 50
DAYS = (7, 30, 90, 365)
"""That can be watched back."""
LEAST_OF_READ = 8
"""Signs by which a read can be looked for: as many as these pages and the names of downloaded files say."""
SHOWN = 3
FIRST = SHOWN * (BEGINNING + 1) - 1
"""Signs in which an event names so many reads; the rest, of an export a hundred thousand signs, is not loaded."""
View = Callable[..., HttpResponse]


def operators_only(view: View) -> View:
    """For everybody else the page does not exist."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not user_of(request).is_staff:
            raise Http404
        return view(request, *args, **kwargs)

    return login_required(guarded)


@require_safe
@operators_only
def overview(request: HttpRequest) -> HttpResponse:
    states = dict(Read.objects.order_by().values_list("state").annotate(Count("id")))
    return render(
        request,
        "operate/overview.html",
        {
            "states": [(label, states.get(value, 0)) for value, label in State.choices],
            "users": User.objects.count(),
            "bundles": RegisteredBundle.objects.all(),
            "workers": Worker.objects.order_by("name"),
        },
    )


@require_safe
@operators_only
def users(request: HttpRequest) -> HttpResponse:
    found = User.objects.annotate(count=Count("reads")).order_by("username")
    words = typed(request.GET, "q")
    if words:
        found = found.filter(username__icontains=words)
    return render(request, "operate/users.html", {"q": words, **_page(request, found)})


@require_POST
@operators_only
@transaction.atomic
def change_user(request: HttpRequest, number: int) -> HttpResponse:
    """Let in, shut out, make or unmake an operator, lift a lock-out."""
    person, deed = get_object_or_404(User, pk=number), request.POST.get("deed", "")
    if person == request.user and deed in ("shut out", "unmake operator"):
        messages.error(request, "Not on your own account.")
        return redirect("operate_users")
    if deed in ("let in", "shut out"):
        User.objects.filter(pk=person.pk).update(is_active=deed == "let in")
        ApiToken.objects.filter(owner=person).delete()
    elif deed in ("make operator", "unmake operator"):
        User.objects.filter(pk=person.pk).update(is_staff=deed == "make operator")
    elif deed == "unlock":
        forgive(person.username)
        forgive(counted_as(person.pk))
    else:
        raise Http404
    record(request, f"operator: {deed}", f"user {person.pk}")
    messages.success(request, f"Done: {deed}, {person.username}.")
    return redirect("operate_users")


@require_safe
@operators_only
def bundles(request: HttpRequest) -> HttpResponse:
    found = RegisteredBundle.objects.annotate(count=Count("reads")).prefetch_related("downloaders")
    faults: dict[str, list[str]] = {}
    for worker in Worker.objects.all():
        for sha256, fault in worker.bundles.items():
            if fault:
                faults.setdefault(sha256, []).append(f"{worker.name}: {fault}")
    rows = [(bundle, faults.get(bundle.sha256, [])) for bundle in found]
    return render(request, "operate/bundles.html", {"rows": rows, "audiences": [NOBODY, EVERYONE, CHOSEN]})


@require_POST
@operators_only
@transaction.atomic
def change_bundle(request: HttpRequest, sha256: str) -> HttpResponse:
    """Offer it or not; who may download it."""
    bundle = get_object_or_404(RegisteredBundle, sha256=sha256)
    audience = request.POST.get("downloads", NOBODY)
    if audience not in (NOBODY, EVERYONE, CHOSEN):
        raise Http404
    bundle.active, bundle.withdrawn = "active" in request.POST, "active" not in request.POST
    bundle.downloads = audience
    bundle.save(update_fields=["active", "withdrawn", "downloads"])
    names = set(typed(request.POST, "downloaders").replace(",", " ").split())
    people = list(User.objects.filter(username__in=names))
    bundle.downloaders.set(people)
    record(request, "operator: bundle", f"bundle {bundle.short}", f"active {bundle.active}, downloads {audience}")
    unknown = names - {person.username for person in people}
    if unknown:
        messages.warning(request, f"No such user: {', '.join(sorted(unknown))}.")
    messages.success(request, "Saved.")
    return redirect("operate_bundles")


@require_safe
@operators_only
def watch_bundles(request: HttpRequest) -> HttpResponse:
    """What each bundle meets here beside what it was proven on: those on offer, and those that read something."""
    text = request.GET.get("days", "")
    days = int(text) if text in map(str, DAYS) else DAYS[1]
    watched = [watch(bundle, days) for bundle in RegisteredBundle.objects.prefetch_related("proofs")]
    shown = [told(one) for one in watched if one.images or one.bundle.active]
    return render(request, "operate/watch.html", {"shown": shown, "days": days, "choices": DAYS})


@require_safe
@operators_only
def reads(request: HttpRequest) -> HttpResponse:
    found = Read.objects.prefetch_related("owner", "bundle").defer("heat", "result", "decision")
    state = request.GET.get("state", "")
    if state in State.values:
        found = found.filter(state=state)
    context = _page(request, found.order_by("-created"))
    return render(request, "operate/reads.html", {"state": state, "states": State.choices, **context})


@require_safe
@operators_only
def audit(request: HttpRequest) -> HttpResponse:
    record_view(request, "audit log")
    found = AuditEvent.objects.defer("reads").annotate(first=Left("reads", FIRST), told=Length("reads"))
    action, actor, read = typed(request.GET, "action"), typed(request.GET, "actor"), typed(request.GET, "read").lower()
    if action:
        found = found.filter(action=action)
    if actor.isdecimal() and len(actor) < 18:
        found = found.filter(actor=int(actor))
    if start := _beginning(read):
        found = found.filter(Q(subject__startswith=f"read {start}") | Q(reads__contains=start))
    context = _page(request, found)
    names = dict(User.objects.filter(pk__in={event.actor for event in context["rows"]}).values_list("pk", "username"))
    context["rows"] = [(event, names.get(event.actor or 0, ""), _listed(event)) for event in context["rows"]]
    actions = AuditEvent.objects.order_by("action").values_list("action", flat=True).distinct()
    asked = {"action": action, "actor": actor, "read": read}
    return render(request, "operate/audit.html", {"actions": actions, **asked, **context})


def _beginning(text: str) -> str:
    """A read's identifier, as the log or the name of a file says it, cut to what events hold; empty for less."""
    digits = text.removeprefix("read").strip(" -").replace("-", "")
    if len(digits) < LEAST_OF_READ:
        return ""
    return f"{digits[:8]}-{digits[8:]}"[:BEGINNING].rstrip("-")


def _listed(event: Any) -> str:
    """The reads of an event of many: how many, and the first of them."""
    if not event.told:
        return ""
    count = (event.told + 1) // (BEGINNING + 1)
    return f"{count} read{'s' * (count > 1)}: {', '.join(event.first.split())}{' …' * (count > SHOWN)}"


def _page(request: HttpRequest, found: QuerySet[Any]) -> dict[str, Any]:
    """One page of rows, and where the next one is."""
    text = request.GET.get("page", "1")
    number = min(max(int(text), 1), 10_000) if text.isdecimal() and len(text) < 6 else 1
    rows = list(found[(number - 1) * PAGE : number * PAGE + 1])
    query = request.GET.copy()
    query.pop("page", None)
    return {
        "rows": rows[:PAGE],
        "number": number,
        "following": number + 1 if len(rows) > PAGE else None,
        "before": number - 1 if number > 1 else None,
        "query": query.urlencode(),
    }
