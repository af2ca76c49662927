"""When a read was made, as its DICOM objects say it."""

from __future__ import annotations

from pydicom.dataset import Dataset

from secondread.serve.reads.models import Read

UTC = "+0000"
"""Unsaid, an archive takes all times for those of its own clock."""


def stamp(made: Dataset, read: Read) -> None:
    """Date an object by its read, not by when it is made, so that the same read gives the same object."""
    moment = read.finished or read.created
    day, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    made.TimezoneOffsetFromUTC = UTC
    made.ContentDate, made.ContentTime = day, time
    made.InstanceCreationDate, made.InstanceCreationTime = day, time
    if "DateOfSecondaryCapture" in made:
        made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = day, time
    for equipment in made.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = day + time + UTC
