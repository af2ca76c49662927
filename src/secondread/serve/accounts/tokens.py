"""Tokens of programs: shown once, kept as a digest, looked up by it."""

from __future__ import annotations

import hashlib
import secrets

from django.utils import timezone

from secondread.serve.accounts.models import TOKEN_LIFE, ApiToken, User
from secondread.serve.statements import Select, Slot, loaded

PREFIX = "sr_"
MOST = 20
OWNER = tuple(field.attname for field in User._meta.concrete_fields)
BY_DIGEST = Select(
    lambda: ApiToken.objects.filter(
        digest=Slot("digest", ApiToken, "digest"), created__gt=Slot("since", ApiToken, "created"), owner__is_active=True
    ).values_list("pk", "used", *(f"owner__{name}" for name in OWNER))
)


def new_token(owner: User, label: str) -> tuple[ApiToken, str]:
    """The row and the secret, which exists nowhere else."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return ApiToken.objects.create(owner=owner, label=label, digest=digest_of(secret)), secret


def revoke_all(owner: User) -> int:
    """End all tokens of somebody whose password may be known to others, and so may have made some; how many."""
    return ApiToken.objects.filter(owner=owner).delete()[0]


def digest_of(secret: str) -> str:
    """A plain digest is enough: the secret has 256 bits of chance, there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def owner_of(secret: str) -> User | None:
    """The active owner of a token that has not ended, or None."""
    if not secret.startswith(PREFIX):
        return None
    now = timezone.now()
    found = BY_DIGEST.first(digest=digest_of(secret), since=now - TOKEN_LIFE)
    if found is None:
        return None
    (key, used), owner = found[:2], found[2:]
    today = now.date()
    if used != today:
        ApiToken.objects.filter(pk=key).update(used=today)
    return loaded(User, OWNER, owner)
