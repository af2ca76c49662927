"""Audit events of what allauth does."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.contrib import messages
from django.contrib.auth import signals as auth
from django.dispatch import receiver
from django.http import HttpRequest

from secondread.serve.accounts.staying import begin
from secondread.serve.accounts.tokens import revoke_all
from secondread.serve.audit.record import record


@receiver(auth.user_logged_in)
def _logged_in(request: HttpRequest, user: Any, **_: Any) -> None:
    begin(request.session)
    record(request, "login", actor=user.pk)


@receiver(auth.user_logged_out)
def _logged_out(request: HttpRequest, user: Any, **_: Any) -> None:
    request.left = True  # type: ignore[attr-defined]  # `pages.middleware.private` has the browser forget what it kept
    if user is not None:
        record(request, "logout", actor=user.pk)


@receiver(account.user_signed_up)
def _signed_up(request: HttpRequest, user: Any, **_: Any) -> None:
    record(request, "sign-up", actor=user.pk)


@receiver(account.password_changed)
@receiver(account.password_reset)
def _password_changed(request: HttpRequest, user: Any, **_: Any) -> None:
    record(request, "password changed", actor=user.pk)
    if revoked := revoke_all(user):
        record(request, "token revoked", note=f"{revoked} with the old password", actor=user.pk)
        messages.warning(request, f"With the old password {revoked} of your tokens for programs ended; make new ones.")


@receiver(account.email_added)
@receiver(account.email_changed)
@receiver(account.email_removed)
def _email_changed(request: HttpRequest, user: Any, **_: Any) -> None:
    record(request, "e-mail changed", actor=user.pk)


@receiver(mfa.authenticator_reset)
def _codes_made_anew(request: HttpRequest, user: Any, **_: Any) -> None:
    record(request, "recovery codes made", actor=user.pk)


@receiver(mfa.authenticator_added)
def _authenticator_added(request: HttpRequest, user: Any, **_: Any) -> None:
    record(request, "second factor added", actor=user.pk)


@receiver(mfa.authenticator_removed)
def _authenticator_removed(request: HttpRequest, user: Any, **_: Any) -> None:
    record(request, "second factor removed", actor=user.pk)
