"""Pages for everybody."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from secondread.core.version import __version__
from secondread.serve.bundles.models import RegisteredBundle


@require_safe
def welcome(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect("upload")
    return render(request, "welcome.html", {"bundles": RegisteredBundle.objects.filter(active=True)})


@require_safe
def about(request: HttpRequest) -> HttpResponse:
    """Intended use, privacy, limits."""
    return render(request, "about.html", {"version": __version__})
