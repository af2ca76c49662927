"""Make a user an operator, or set a password: `python -m secondread.serve.manage operator NAME [--password]`."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from secondread.serve.accounts.models import User
from secondread.serve.audit.record import record


class Command(BaseCommand):
    help = "Makes NAME an operator; asks for a password when there is no such user yet, or when told to."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--password", action="store_true", help="set a new password")
        parser.add_argument("--remove", action="store_true", help="make NAME an ordinary user again")

    def handle(self, *args: Any, **options: Any) -> None:
        user, new = User.objects.get_or_create(username=options["name"])
        if new or options["password"]:
            _set_password(user)
        user.is_staff = not options["remove"]
        user.save()
        record(None, "operator: by command line", f"user {user.pk}", "removed" if options["remove"] else "made")
        self.stdout.write(f"{user.username} is {'an operator' if user.is_staff else 'an ordinary user'}")


def _set_password(user: User) -> None:
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise CommandError("the two are not the same; nothing was changed")
    try:
        validate_password(first, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    user.set_password(first)
