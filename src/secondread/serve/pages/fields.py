"""What people type into fields and addresses."""

from __future__ import annotations

from django.http import QueryDict


class Digest:
    """In an address: a SHA-256 as we write it; anything else is no address of this site."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


def typed(fields: QueryDict, name: str) -> str:
    """What stands in a field, without the one sign that PostgreSQL cannot hold."""
    return str(fields.get(name, "")).replace("\0", "").strip()
