"""Tokens of programs: shown once, kept as a digest, looked up by it."""

from __future__ import annotations

import hashlib
import secrets

from django.utils import timezone

from secondread.serve.accounts.models import ApiToken, User

PREFIX = "sr_"
MOST = 20


def new_token(owner: User, label: str) -> tuple[ApiToken, str]:
    """The row and the secret, which exists nowhere else."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return ApiToken.objects.create(owner=owner, label=label, digest=digest_of(secret)), secret


def digest_of(secret: str) -> str:
    """A plain digest is enough: the secret has 256 bits of chance, there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def owner_of(secret: str) -> User | None:
    """The active owner of a token, or None."""
    if not secret.startswith(PREFIX):
        return None
    token = ApiToken.objects.select_related("owner").filter(digest=digest_of(secret), owner__is_active=True).first()
    if token is None:
        return None
    today = timezone.now().date()
    if token.used != today:
        ApiToken.objects.filter(pk=token.pk).update(used=today)
    return token.owner
