"""A database that knows nothing of the images in the data folder is not the one that they belong to.

Sweeping would take them all for abandoned: a DATABASE_URL that was forgotten once would cost every image of the site.
"""

from __future__ import annotations

from django.conf import settings

from secondread.core.errors import WrongRequest
from secondread.serve.reads.models import StoredImage
from secondread.serve.reads.sweeping import groups_of_images, older_than_an_upload


def refuse_strange_database() -> None:
    """Raises `WrongRequest` where many images lie in the folder and none of them has a row; a killed upload, too,
    leaves files without rows, but no more than one request may bring."""
    strangers = 0
    for group in groups_of_images():
        if StoredImage.objects.filter(id__in=list(group)).exists():
            return
        strangers += sum(map(older_than_an_upload, group.values()))
    if strangers > settings.LIMITS.files:
        raise WrongRequest(
            f"the database knows none of the {strangers} images in {settings.FOLDER.images}, and would have them swept "
            "away: set DATABASE_URL and SECONDREAD_FOLDER to what belongs together, or move the images elsewhere"
        )
