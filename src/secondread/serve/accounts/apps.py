from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "secondread.serve.accounts"
    label = "accounts"

    def ready(self) -> None:
        from secondread.serve.accounts import signals  # noqa: F401  connects the receivers
