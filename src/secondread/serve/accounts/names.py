"""Names of accounts: no two that a person or a database could take for one another."""

from __future__ import annotations

import unicodedata

from secondread.serve.accounts.models import User

LOOKALIKES = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "COPTIC", "CHEROKEE"})
"""Alphabets that share shapes of letters: a name of two of them pretends to be another."""


def plain(name: str) -> str:
    """The name in the one way it is kept: ligatures, letters of full width and accents typed apart are the same."""
    return unicodedata.normalize("NFKC", name).strip()


def who_is(name: str) -> User | None:
    """The account that `name` logs in to: large and small letters make no difference, accents do, to MariaDB too."""
    for spelled in dict.fromkeys((name, plain(name))):
        alike = User.objects.filter(username__iexact=spelled).order_by("pk")
        found = [user for user in alike if user.username.lower() == spelled.lower()]
        if found:
            return next((user for user in found if user.username == spelled), found[0])
    return None


def mixes_alphabets(name: str) -> bool:
    used = {unicodedata.name(sign, "").split(" ")[0] for sign in name if sign.isalpha()}
    return len(used & LOOKALIKES) > 1


def taken(name: str) -> bool:
    """Whether somebody has this name but for large and small letters, of which SQLite knows those of ASCII only."""
    if name.isascii():
        return User.objects.filter(username__iexact=name).exists()
    wanted = name.casefold()
    return any(plain(known).casefold() == wanted for known in User.objects.values_list("username", flat=True))
