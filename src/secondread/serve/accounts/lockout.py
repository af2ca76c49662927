"""At most so many password checks per login name and hour, counted in one row: it holds across processes.

A check is paid for before it is made, by one conditional UPDATE; so parallel guesses cannot overtake the counter.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from secondread.serve.accounts.models import LoginAttempts
from secondread.serve.accounts.names import plain

CHECKS = 20
WINDOW = timedelta(hours=1)


def key_of(login: str) -> str:
    return salted_hmac("secondread.lockout", plain(login).lower(), algorithm="sha256").hexdigest()


def spend_check(login: str) -> bool:
    """Whether one more password may be checked for `login`."""
    key, now = key_of(login), timezone.now()
    attempts = LoginAttempts.objects.filter(key=key)
    attempts.filter(since__lt=now - WINDOW).delete()
    LoginAttempts.objects.bulk_create([LoginAttempts(key=key, since=now)], ignore_conflicts=True)
    return attempts.filter(spent__lt=CHECKS).update(spent=F("spent") + 1) == 1


def forgive(login: str) -> None:
    """The right password clears the account."""
    LoginAttempts.objects.filter(key=key_of(login)).update(spent=0)


def forget_old_counts() -> None:
    """Whoever tries names leaves a row for each; after the hour it says nothing any more."""
    LoginAttempts.objects.filter(since__lt=timezone.now() - WINDOW).delete()
