"""How accounts behave here: closed or open sign-up, counted password checks, sealed TOTP secrets."""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.shortcuts import redirect

from secondread.serve.accounts.lockout import forgive, spend_check
from secondread.serve.accounts.names import mixes_alphabets, plain, taken, who_is
from secondread.serve.audit.record import record
from secondread.serve.pages.failures import answer

logger = logging.getLogger(__name__)
INTENDED_USE = "2026-11"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_OPEN)

    def clean_username(self, username: str, shallow: bool = False) -> str:
        name: str = super().clean_username(plain(username), shallow)
        if mixes_alphabets(name):
            raise ValidationError("Use the letters of one alphabet: some of these look like those of another.")
        if not shallow and taken(name):
            raise self.validation_error("username_taken")
        return name

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        super().pre_authenticate(request, **credentials)
        if not spend_check(_name(credentials)):
            record(request, "login refused", _meant(credentials), "too many attempts for this account")
            raise self.validation_error("too_many_login_attempts")

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """However the name was typed: it is one account's, and counted as that."""
        if credentials.get("username") and (known := who_is(credentials["username"])) is not None:
            credentials["username"] = known.username
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if user is not None:
            forgive(_name(credentials))
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        record(request, "login failed", _meant(credentials))

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """Two requests for one name, of a second click perhaps, may both have found it free."""
        user.accepted = INTENDED_USE
        try:
            with transaction.atomic():
                return super().save_user(request, user, form, commit)
        except IntegrityError as error:
            messages.warning(request, "Somebody took that name this moment. If it was you, by a second click, log in.")
            raise ImmediateHttpResponse(redirect("account_login")) from error

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        try:
            super().send_mail(template_prefix, email, context)
        except OSError as error:  # smtplib's are too
            logger.error("the mail server of EMAIL_URL took no mail: %s", type(error).__name__)
            told = "The mail could not be sent: the mail server does not answer. Please try again later."
            raise ImmediateHttpResponse(answer(self.request, 503, "No mail now", told, retry=60)) from error

    def get_user_search_fields(self) -> list[str]:
        return ["username"]


def _name(credentials: dict[str, Any]) -> str:
    return str(credentials.get("username") or credentials.get("email") or "")


def _meant(credentials: dict[str, Any]) -> str:
    """The account that somebody tried to enter; a name that nobody has is not kept: it may be a password."""
    user = who_is(_name(credentials))
    return f"user {user.pk}" if user is not None else ""


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """TOTP secrets and recovery seeds lie in the database under a key that does not."""

    def encrypt(self, text: str) -> str:
        return _seal().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return _seal().decrypt(encrypted_text.encode()).decode()


def _seal() -> Fernet:
    key = hashlib.sha256(b"secondread.mfa" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
