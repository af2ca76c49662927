"""Images, their reads, what readers said about them, and the workers."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.db import models

from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle

Identifier = uuid.UUID


class StoredImage(models.Model):
    """An image as it is kept: decoded pixels in a file named after `id`, and facts that identify nobody."""

    id: models.UUIDField[Identifier, Identifier] = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner: models.ForeignKey[User, User] = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="images", db_index=False
    )
    """Without an index of its own: that of owner and content begins with it."""
    owner_id: int
    content_id: models.CharField[str, str] = models.CharField(max_length=64)
    """SHA-256 of the bytes that were uploaded, which are not kept."""
    name: models.CharField[str, str] = models.CharField(max_length=255, blank=True)
    """Name of the file, when its owner chose to keep names."""
    facts: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(default=dict)
    """Format, size, depth, windows, and the kept DICOM elements (see dicom/keep.py)."""
    stored_bytes: models.BigIntegerField[int, int] = models.BigIntegerField(default=0)
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[StoredImage]] = models.Manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["owner", "content_id"], name="one_image_per_owner_and_content")
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def title(self) -> str:
        """The name, or what can be said without one."""
        return self.name or f"{self.facts.get('format', 'Image')} {self.content_id[:8]}"


class State(models.TextChoices):
    QUEUED = "queued", "Waiting"
    RUNNING = "running", "Being read"
    READ = "read", "Read"
    UNCERTAIN = "uncertain", "Uncertain"
    REFUSED = "refused", "Refused"
    FAILED = "failed", "Failed"


PENDING = (State.QUEUED, State.RUNNING)
DONE = (State.READ, State.UNCERTAIN, State.REFUSED)


class Read(models.Model):
    """A bundle's reading of an image. The row is also the place in the queue (see queue.py)."""

    id: models.UUIDField[Identifier, Identifier] = models.UUIDField(primary_key=True, default=uuid.uuid4)
    # no index of their own: each is the beginning of one below, and every index is written with every read
    owner: models.ForeignKey[User, User] = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="reads", db_index=False
    )
    owner_id: int
    image: models.ForeignKey[StoredImage, StoredImage] = models.ForeignKey(
        StoredImage, on_delete=models.CASCADE, related_name="reads", db_index=False
    )
    image_id: Identifier
    bundle: models.ForeignKey[RegisteredBundle, RegisteredBundle] = models.ForeignKey(
        RegisteredBundle, on_delete=models.PROTECT, related_name="reads", db_index=False
    )
    bundle_id: str
    batch: models.UUIDField[Identifier, Identifier] = models.UUIDField(default=uuid.uuid4)
    """Reads that came in with one request."""
    created: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    state: models.CharField[str, str] = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempt: models.PositiveSmallIntegerField[int, int] = models.PositiveSmallIntegerField(default=0)
    lease_until: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True)
    worker: models.CharField[str, str] = models.CharField(max_length=80, blank=True)

    finished: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True)
    reason: models.CharField[str, str] = models.CharField(max_length=300, blank=True)
    decision: models.CharField[str, str] = models.CharField(max_length=300, blank=True)
    """Decided classes separated by ` | `, as many as there is room for: what is searched and listed."""
    result: models.JSONField[dict[str, Any] | None, dict[str, Any] | None] = models.JSONField(null=True)
    heat: models.BinaryField[bytes | None, bytes | None] = models.BinaryField(null=True)
    """Heatmaps [K,h,w] float16, 1 at the strongest; shape and strength stand in `result`."""

    objects: ClassVar[models.Manager[Read]] = models.Manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["image", "bundle"], name="one_read_per_image_and_bundle")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["owner", "-created", "-id"], name="reads_history"),
            models.Index(fields=["owner", "state", "-created"], name="reads_history_by_state"),
            models.Index(fields=["owner", "bundle", "-created"], name="reads_history_by_bundle"),
            models.Index(fields=["state", "created"], name="reads_queue"),
            models.Index(fields=["bundle", "state", "created"], name="reads_queue_of_a_bundle"),
            models.Index(fields=["owner", "batch"], name="reads_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.id}"

    @property
    def decided(self) -> list[str]:
        """The decided classes, whole and each by itself, which `decision` need not hold."""
        told = (self.result or {}).get("decision", self.decision.split(" | "))
        return [name for name in ([told] if isinstance(told, str) else told) if name]

    @property
    def pending(self) -> bool:
        return self.state in PENDING

    @property
    def done(self) -> bool:
        return self.state in DONE


class Feedback(models.Model):
    """What a reader thinks of a reading."""

    read: models.OneToOneField[Read, Read] = models.OneToOneField(
        Read, on_delete=models.CASCADE, related_name="feedback", primary_key=True
    )
    agrees: models.BooleanField[bool, bool] = models.BooleanField()
    truth: models.CharField[str, str] = models.CharField(max_length=200, blank=True)
    """The true class, where the reader knows it."""
    at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[Feedback]] = models.Manager()

    def __str__(self) -> str:
        return "agrees" if self.agrees else "disagrees"


class Worker(models.Model):
    """A process that reads, as it last reported."""

    name: models.CharField[str, str] = models.CharField(max_length=80, primary_key=True)
    seen: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    bundles: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict)
    """Digest of each bundle: empty when it reads with it, else why not."""

    objects: ClassVar[models.Manager[Worker]] = models.Manager()

    def __str__(self) -> str:
        return self.name
