"""The bundles the site reads with."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db import models

from secondread.serve.accounts.models import User

WORDS = {"auroc": "AUROC", "recall": "sensitivity"}
NOBODY, EVERYONE, CHOSEN = "nobody", "everyone", "chosen"
MOST_LETTERS = 200
"""Of a name here; the card has the whole."""


class RegisteredBundle(models.Model):
    """A bundle, known by its digest: a changed file is another bundle, and old reads keep pointing at this one."""

    sha256: models.CharField[str, str] = models.CharField(max_length=64, primary_key=True)
    name: models.CharField[str, str] = models.CharField(max_length=MOST_LETTERS)
    path: models.CharField[str, str] = models.CharField(max_length=1000)
    card: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField()
    active: models.BooleanField[bool, bool] = models.BooleanField(default=True)
    """Offered for new reads."""
    withdrawn: models.BooleanField[bool, bool] = models.BooleanField(default=False)
    """By an operator, which holds until an operator says otherwise: starting the site offers it no more."""
    position: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)
    """Order on the upload page; the first one is preselected."""
    downloads: models.CharField[str, str] = models.CharField(
        max_length=10, default=NOBODY, choices=[(word, word) for word in (NOBODY, EVERYONE, CHOSEN)]
    )
    downloaders: models.ManyToManyField[User, Any] = models.ManyToManyField(User, blank=True, related_name="+")
    registered: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[RegisteredBundle]] = models.Manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    @property
    def short(self) -> str:
        """The digest as far as people compare it."""
        return self.sha256[:12]

    def downloadable_by(self, user: User) -> bool:
        """Whether the operator offers the bundle's files to `user`."""
        if self.downloads == CHOSEN:
            return self.downloaders.filter(pk=user.pk).exists()
        return self.downloads == EVERYONE


class BundleProof(models.Model):
    """What `secondread prove` found on labelled images of this place, as an operator entered it."""

    bundle: models.ForeignKey[RegisteredBundle, RegisteredBundle] = models.ForeignKey(
        RegisteredBundle, on_delete=models.CASCADE, related_name="proofs"
    )
    name: models.CharField[str, str] = models.CharField(max_length=200)
    """What the images are called here."""
    outcome: models.CharField[str, str] = models.CharField(max_length=30)
    told: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField()
    """Sentences, claims, images and patients of proof.json."""
    made: models.CharField[str, str] = models.CharField(max_length=10)
    """Day on which it was made, as YYYY-MM-DD."""

    objects: ClassVar[models.Manager[BundleProof]] = models.Manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["bundle", "name"], name="one_proof_per_bundle_and_name")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def broken(self) -> bool:
        return self.outcome == "does not hold"

    @property
    def warning(self) -> str:
        """What a reader of any image must be told; empty unless it does not hold."""
        if not self.broken:
            return ""
        lost = [one for one in self.told["claims"] if one["verdict"] == "worse" and not one["holds"]]
        found = ", ".join(f"{self._called(one)} {one['here']:.3f} instead of {one['promised']:.3f}" for one in lost)
        images = f"{self.told['images']} images, {self.made}"
        return f"On {self.name} ({images}) this model did not do what it promises: {found}."

    def _called(self, claim: dict[str, Any]) -> str:
        """The measure, and of which class where there are several."""
        measure = WORDS.get(claim["metric"], claim["metric"])
        alone = claim["class"] == "macro" or self.bundle.card["task"] == "binary"
        return measure if alone else f"{measure} of {claim['class']}"
