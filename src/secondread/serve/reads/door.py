"""Taking uploads in: decode, de-identify, store, enter into the queue; all of a request or, on any fault, nothing.

A file lies under its final name on disk before its row exists, and the rows of a request appear in one transaction. So
what was answered with an identifier can be killed at any instant and is still there; what was not leaves at most a file
without a row, which sweeping.py removes.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from secondread.images.decode import Refusal
from secondread.serve.accounts.models import User
from secondread.serve.audit.record import record
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.bundles.offer import Offer
from secondread.serve.dicom.keep import kept
from secondread.serve.reads import jail
from secondread.serve.reads.archive import is_zip
from secondread.serve.reads.bells import WORK, ring
from secondread.serve.reads.models import Read, State, StoredImage
from secondread.serve.reads.places import OutOfSpace, image_path, on_disk, put_in_place
from secondread.serve.reads.streaming import StreamedFile, bare_name
from secondread.serve.statements import Select, Slot, Update, insert, loaded

LEAST_FREE = 4 << 20
"""Bytes of disk below which nothing is taken in."""
CHARGE = Update(
    lambda: User.objects.filter(pk=Slot("user", User, "id"), stored_bytes__lte=Slot("most", User, "stored_bytes")),
    stored_bytes=F("stored_bytes") + Slot("size", User, "stored_bytes"),
)
KNOWN = ("id", "owner_id", "content_id", "name")


class Vanished(Exception):
    """An image that was known when the request began was deleted before it ended: send it again."""


class OverQuota(Exception):
    """The user's share of the disk is used up."""


@dataclass
class Taken:
    """One image of a request: decoded and waiting to be entered, or known already."""

    label: str
    content_id: str
    facts: dict[str, Any] = field(default_factory=dict)
    stored_bytes: int = 0
    draft: Path | None = None


@dataclass
class Entered:
    """What became of a request: reads in the order of its files, and the files that were not taken."""

    batch: uuid.UUID
    reads: list[tuple[str, Read]] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """(label, code, reason)"""


def take_in(
    request: HttpRequest, user: User, files: list[StreamedFile], bundle: RegisteredBundle, offer: Offer
) -> Entered:
    """Enter every image of `files` into the queue of `bundle`, and that it was done into the audit log.

    Images are kept as every bundle of `offer` wants them. Raises `OutOfSpace`, `OverQuota` and `Vanished`; then nothing
    of the request is kept.
    """
    if free_bytes() < LEAST_FREE:
        raise OutOfSpace
    entered = Entered(uuid.uuid4())
    taken: list[Taken] = []
    try:
        with on_disk():
            known = _known(user, [file.content_id for file in files])
            for file in files:
                if file.content_id in known and _is_whole(known[file.content_id]):
                    taken.append(Taken(file.name or "image", file.content_id))
                else:
                    _take_file(file, offer, taken, entered)
            _enter(request, user, bundle, taken, entered)
    finally:
        for item in taken:
            if item.draft is not None:
                item.draft.unlink(missing_ok=True)
    for _, read in entered.reads:
        if read.state == State.QUEUED:
            ring(settings.FOLDER.bells, WORK, read.id)
    return entered


def read_again(user: User, image: StoredImage, bundle: RegisteredBundle) -> Read:
    """Enter a stored image into the queue of another bundle; raises `Vanished`."""
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(stored_bytes=F("stored_bytes"))  # locks, as `_charge` does
        if not StoredImage.objects.filter(pk=image.pk).exists():
            raise Vanished
        read = _queued(image, bundle, uuid.uuid4())
    ring(settings.FOLDER.bells, WORK, read.id)
    return read


def _take_file(file: StreamedFile, offer: Offer, taken: list[Taken], entered: Entered) -> None:
    label = file.name or "image"
    try:
        entries = jail.look(file.path) if is_zip(file.path) else [None]
    except Refusal as refusal:
        entered.refused.append((label, refusal.code, refusal.reason))
        return
    for entry in entries or []:
        name = label if entry is None else bare_name(entry)  # without its folders, which may be called after patients
        if len(taken) + len(entered.refused) >= settings.LIMITS.files:
            entered.refused.append((name, "too_many_files", f"at most {settings.LIMITS.files} images at once"))
            continue
        try:
            taken.append(_decoded(file, entry, name, offer))
        except Refusal as refusal:
            entered.refused.append((name, refusal.code, refusal.reason))


def _decoded(file: StreamedFile, entry: str | None, label: str, offer: Offer) -> Taken:
    draft = settings.FOLDER.incoming / f"{uuid.uuid4().hex}.npz"
    try:
        answer = jail.take(file.path, entry, offer.specs(), draft)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    facts = answer["facts"] | {"tags": kept(answer["tags"])}
    return Taken(label, answer["content_id"] or file.content_id, facts, answer["stored_bytes"], draft)


def _enter(request: HttpRequest, user: User, bundle: RegisteredBundle, taken: list[Taken], entered: Entered) -> None:
    placed: dict[str, StoredImage] = {}
    told = f"{len(taken)} taken, {len(entered.refused)} refused"
    try:
        _put_in_place(user, taken, placed)  # before the transaction: others wait for its end, not for the disk
        with transaction.atomic():
            _charge(user, sum(item.stored_bytes for item in taken))
            known = _known(user, [item.content_id for item in taken])
            for item in taken:
                image = known.get(item.content_id)
                if image is None:
                    known[item.content_id] = image = _new_image(item, placed)
                    read = _new_read(image, bundle, entered.batch)
                else:
                    _uncharge(user, item.stored_bytes)
                    _restore(image, placed)
                    _identify(image, item)
                    read = _queued(image, bundle, entered.batch)
                entered.reads.append((item.label, read))
            if len(entered.reads) > 1:
                _gather([read for _, read in entered.reads], entered.batch)
            which = list(dict.fromkeys(read.id for _, read in entered.reads))  # known ones are answered with a result
            record(request, "upload", f"batch {entered.batch.hex}", told, actor=user.pk, reads=which)
    except Error:
        raise  # whether it was committed is not known: sweeping removes the files if it was not
    except BaseException:
        _remove(placed.values())
        raise
    _remove(image for image in placed.values() if image._state.adding)  # known by now


def _put_in_place(user: User, taken: list[Taken], placed: dict[str, StoredImage]) -> None:
    """Give the file of each new image its place, noted in `placed` before it lies there: a disk may say only when it
    is written out that it is full."""
    for item in taken:
        if item.draft is not None and item.content_id not in placed:
            placed[item.content_id] = image = StoredImage(
                owner=user, content_id=item.content_id, facts=item.facts, stored_bytes=item.stored_bytes,
                name=item.label[:255] if user.keep_names else "",
            )  # fmt: skip
            put_in_place(item.draft, image_path(image.id))


def _restore(image: StoredImage, placed: dict[str, StoredImage]) -> None:
    """Give a known image whose file was lost, by a restored backup perhaps, the file that came now."""
    new = placed.get(image.content_id)
    if new is not None and new is not image and not image_path(image.id).exists():
        put_in_place(image_path(new.id), image_path(image.id))


def _is_whole(image: StoredImage) -> bool:
    """Whether its file is there and its patient known where this site keeps who that is."""
    return image_path(image.id).exists() and not _lacks_patient(image)


def _lacks_patient(image: StoredImage) -> bool:
    """Of an image that came before the site was told to keep UIDs and numbers."""
    tags = image.facts.get("tags", {}) if settings.KEEP_UIDS else {}
    return bool(tags) and "PatientID" not in tags


def _identify(image: StoredImage, item: Taken) -> None:
    """Reports about a known image reach its study once it was sent to a site that keeps UIDs."""
    if item.facts and _lacks_patient(image):
        image.facts = item.facts | {"identified": True}
        StoredImage.objects.filter(pk=image.pk).update(facts=image.facts)


def _remove(images: Iterable[StoredImage]) -> None:
    for image in images:
        image_path(image.id).unlink(missing_ok=True)


def _charge(user: User, size: int) -> None:
    """Take `size` bytes of the user's share; this locks the user's row, so that one request enters at a time."""
    if CHARGE(user=user.pk, most=settings.LIMITS.quota_bytes - size, size=size) != 1:
        raise OverQuota


def _uncharge(user: User, size: int) -> None:
    if size:
        User.objects.filter(pk=user.pk).update(stored_bytes=F("stored_bytes") - size)


def _known(user: User, contents: list[str]) -> dict[str, StoredImage]:
    """Stored images of these contents, by content."""
    given = {f"content{at}": content for at, content in enumerate(contents)}
    found = _with_contents(len(contents)).rows(owner=user.pk, **given) if given else []
    return {image.content_id: image for image in (loaded(StoredImage, KNOWN, row) for row in found)}


@cache
def _with_contents(count: int) -> Select:
    contents = [Slot(f"content{at}", StoredImage, "content_id") for at in range(count)]
    owner = Slot("owner", StoredImage, "owner")
    return Select(lambda: StoredImage.objects.filter(owner=owner, content_id__in=contents).values_list(*KNOWN))


def _new_image(item: Taken, placed: dict[str, StoredImage]) -> StoredImage:
    if item.content_id not in placed:
        raise Vanished
    insert(placed[item.content_id])
    return placed[item.content_id]


def _new_read(image: StoredImage, bundle: RegisteredBundle, batch: uuid.UUID) -> Read:
    read = Read(owner_id=image.owner_id, image=image, bundle=bundle, batch=batch, created=timezone.now())
    insert(read)
    return read


def _queued(image: StoredImage, bundle: RegisteredBundle, batch: uuid.UUID) -> Read:
    """The read of this image by this bundle: one, ever; a failed one is begun anew."""
    read = Read.objects.filter(image=image, bundle=bundle).first()
    if read is None:
        return _new_read(image, bundle, batch)
    read.image, read.bundle = image, bundle
    if read.state == State.FAILED:
        again = Read.objects.filter(pk=read.pk, state=State.FAILED)
        again.update(state=State.QUEUED, attempt=0, worker="", lease_until=None, reason="", finished=None)
        read.refresh_from_db()
    return read


def _gather(reads: list[Read], batch: uuid.UUID) -> None:
    """What was sent before and comes again belongs to the later request: its sender is led to what came together."""
    if earlier := [read.pk for read in reads if read.batch != batch]:
        Read.objects.filter(pk__in=earlier).update(batch=batch)


def free_bytes() -> int:
    stats = os.statvfs(settings.FOLDER.images)
    return stats.f_bavail * stats.f_frsize
