"""Deleting reads: rows first, files after, so that a kill in between leaves a file that sweeping removes."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.http import HttpRequest

from secondread.serve.accounts.models import User
from secondread.serve.audit.record import record
from secondread.serve.reads.models import Read, StoredImage
from secondread.serve.reads.places import image_path


def delete_reads(request: HttpRequest, user: User, reads: list[Read], note: str = "") -> int:
    """Delete reads of `user`, and their images where no other read is left; gives how many images are kept.

    The audit log says so in the same transaction: neither stands without the other.
    """
    gone: list[StoredImage] = []
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(stored_bytes=F("stored_bytes") + 0)  # locks: see door.py
        images = {read.image_id for read in reads}
        Read.objects.filter(owner=user, id__in=[read.id for read in reads]).delete()
        gone = list(StoredImage.objects.filter(owner=user, id__in=images, reads=None))
        StoredImage.objects.filter(id__in=[image.id for image in gone]).delete()
        size = sum(image.stored_bytes for image in gone)
        User.objects.filter(pk=user.pk, stored_bytes__gte=size).update(stored_bytes=F("stored_bytes") - size)
        for read in reads:
            record(request, "delete", f"read {read.id}", note)
    for image in gone:
        image_path(image.id).unlink(missing_ok=True)
    return len(images) - len(gone)


def delete_account(request: HttpRequest, user: User) -> None:
    """Delete a user with everything that is theirs; the audit log, which says so, keeps a number."""
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(stored_bytes=F("stored_bytes") + 0)  # no image comes in meanwhile
        images = list(StoredImage.objects.filter(owner=user).values_list("id", flat=True))
        record(request, "account deleted", f"user {user.pk}", actor=user.pk)
        user.delete()
    for identifier in images:
        image_path(identifier).unlink(missing_ok=True)
