"""Who did what and when: rows that are written once and never changed, which the database itself enforces."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NoReturn

from django.db import models


class WrittenOnce(models.QuerySet["AuditEvent"]):
    def update(self, **values: Any) -> NoReturn:
        raise TypeError("the audit log is not changed")

    def delete(self) -> NoReturn:
        raise TypeError("the audit log is not deleted from")


class AuditEvent(models.Model):
    """One event. The actor is a number and not a relation: the event outlives the account."""

    at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True, db_index=True)
    actor: models.BigIntegerField[int | None, int | None] = models.BigIntegerField(null=True, db_index=True)
    action: models.CharField[str, str] = models.CharField(max_length=40, db_index=True)
    subject: models.CharField[str, str] = models.CharField(max_length=80, blank=True)
    """Kind and identifier of what was acted on, such as `read 0198…`."""
    address: models.CharField[str, str] = models.CharField(max_length=45, blank=True)
    note: models.CharField[str, str] = models.CharField(max_length=120, blank=True)
    reads: models.TextField[str | None, str | None] = models.TextField(null=True)
    """Which reads a list, an export or an upload held: the beginnings of their identifiers, separated by spaces."""

    objects: ClassVar[models.Manager[AuditEvent]] = models.Manager.from_queryset(WrittenOnce)()

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["actor", "at"], name="audit_of_an_actor")]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("the audit log is not changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("the audit log is not deleted from")
