"""The errors a user can cause, each with the exit code its command ends with."""

from __future__ import annotations


class SecondreadError(Exception):
    """An error to be shown to the user as one or two lines: what, where, how to mend."""

    exit_code = 1


class WrongRequest(SecondreadError):
    """A wrong command, study file or bundle argument."""

    exit_code = 2


class BadData(SecondreadError):
    """Data that is missing, unreadable or unfit for what was asked."""

    exit_code = 3


class Absent(SecondreadError):
    """Something needed is not here: weights while offline, an extra that is not installed."""

    exit_code = 4


class Leak(BadData):
    """Test rows, or their duplicates, were about to reach something that is fitted."""
