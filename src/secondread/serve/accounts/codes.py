"""Codes of the second factor, counted as passwords are: allauth alone counts them by address, and there are many."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.core import context
from allauth.mfa.base import forms
from django.core.exceptions import ValidationError

from secondread.serve.accounts.lockout import forgive, spend_check
from secondread.serve.audit.record import record


def counted_as(number: int) -> str:
    """What the checks of a user's codes are counted under; no login name has a space."""
    return f"code of {number}"


class _Counted(forms.BaseAuthenticateForm):  # type: ignore[misc]
    def clean_code(self) -> str:
        if not spend_check(counted_as(self.user.pk)):
            raise get_adapter().validation_error("too_many_login_attempts")
        try:
            code = str(super().clean_code())
        except ValidationError:
            record(context.request, "second factor failed", f"user {self.user.pk}")
            raise
        forgive(counted_as(self.user.pk))
        return code


class AuthenticateForm(_Counted, forms.AuthenticateForm):  # type: ignore[misc]
    """After the password, at log-in."""


class ReauthenticateForm(_Counted, forms.ReauthenticateForm):  # type: ignore[misc]
    """Before something that needs one's presence."""
