"""Accounts, the tokens of their programs, and how often a password was tried."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

TOKEN_LIFE = timedelta(days=365)
"""How long a token opens the API: one that was forgotten in a program, or copied, does not for ever."""


class User(AbstractUser):
    """A person. `is_staff` makes an operator, who sees who works with what, but nobody's images or readings."""

    keep_names: models.BooleanField[bool, bool] = models.BooleanField(default=False)
    """Keep the names of uploaded files; off, because they often name a patient."""
    stored_bytes: models.BigIntegerField[int, int] = models.BigIntegerField(default=0)
    accepted: models.CharField[str, str] = models.CharField(max_length=20, blank=True)
    """Version of the intended use that was accepted at sign-up."""

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(stored_bytes__gte=0), name="stored_bytes_not_negative")
        ]


class ApiToken(models.Model):
    """A secret of a program that acts for its owner; only its digest is kept."""

    owner: models.ForeignKey[User, User] = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    owner_id: int
    label: models.CharField[str, str] = models.CharField(max_length=60)
    digest: models.CharField[str, str] = models.CharField(max_length=64, unique=True)
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)
    used: models.DateField[date | None, date | None] = models.DateField(null=True)

    objects: ClassVar[models.Manager[ApiToken]] = models.Manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-created"]

    def __str__(self) -> str:
        return self.label

    @property
    def ends(self) -> datetime:
        return self.created + TOKEN_LIFE

    @property
    def ended(self) -> bool:
        return self.ends <= timezone.now()


class LoginAttempts(models.Model):
    """Password checks spent on one login name in the running hour."""

    key: models.CharField[str, str] = models.CharField(max_length=64, primary_key=True)
    """Keyed digest of the login name: names that were merely tried are not collected."""
    since: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    spent: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)

    objects: ClassVar[models.Manager[LoginAttempts]] = models.Manager()

    def __str__(self) -> str:
        return self.key[:12]
