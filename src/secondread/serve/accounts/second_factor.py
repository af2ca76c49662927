"""A site may ask for a second factor: who owes it one can do nothing but set it up, or leave."""

from __future__ import annotations

from collections.abc import Callable

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from secondread.serve.accounts.models import User

OFFERED, EVERYBODY = "offered", "everybody"
OPEN = ("/accounts/", "/static/", "/health/", "/about/", "/api/")
"""What needs no session, and where the factor is set up."""


def required(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: sends who owes a second factor to the page where it is set up."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        if settings.SECOND_FACTOR == OFFERED or request.path.startswith(OPEN) or not _owes(request.user):
            return get_response(request)
        messages.warning(request, "This site asks you for a second factor: set it up to go on.")
        return redirect("mfa_activate_totp")

    return respond


def _owes(user: AbstractBaseUser | AnonymousUser) -> bool:
    asked = isinstance(user, User) and (settings.SECOND_FACTOR == EVERYBODY or user.is_staff)
    return asked and not is_mfa_enabled(user)
