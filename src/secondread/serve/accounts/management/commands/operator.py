"""Make a user an operator, or set a password: `python -m secondread.serve.manage operator NAME [--password]`."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from secondread.serve.accounts.lockout import forgive
from secondread.serve.accounts.models import User
from secondread.serve.accounts.names import plain, taken, who_is
from secondread.serve.accounts.tokens import revoke_all
from secondread.serve.audit.record import record


class Command(BaseCommand):
    help = "Makes NAME an operator, asking for a password when there is no such user yet; or sets a new password."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--password", action="store_true", help="set a new password and change nothing else")
        parser.add_argument("--remove", action="store_true", help="make NAME an ordinary user again")

    def handle(self, *args: Any, **options: Any) -> None:
        user = who_is(options["name"]) or _unheard_of(options["name"])
        new = user.pk is None
        if new and options["password"]:
            raise CommandError(f"there is no user {options['name']!r}; without --password an account is made")
        done = []
        if new or options["password"]:
            _set_password(user)
            forgive(user.username)  # who forgot a password has often tried until the account was locked
            done.append("password set")
            if not new and (revoked := revoke_all(user)):
                done.append(f"{revoked} tokens revoked")
        if new or not options["password"] or options["remove"]:  # else a forgotten password, which is no promotion
            user.is_staff = not options["remove"]
            done.append("made" if user.is_staff else "removed")
        user.save()
        record(None, "operator: by command line", f"user {user.pk}", ", ".join(done))
        self.stdout.write(f"{user.username} is {'an operator' if user.is_staff else 'an ordinary user'}")


def _unheard_of(name: str) -> User:
    """A user who is saved only when a password is there."""
    user = User(username=plain(name))
    if taken(user.username):  # though nobody logs in with it
        raise CommandError(f"there is a user whose name differs from {name!r} in the size of letters only")
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        raise CommandError(f"{name!r} can be no user name: {' '.join(error.messages)}") from error
    return user


def _set_password(user: User) -> None:
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise CommandError("the two are not the same; nothing was changed")
    try:
        validate_password(first, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    user.set_password(first)
