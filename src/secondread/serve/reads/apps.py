from __future__ import annotations

from django.apps import AppConfig


class ReadsConfig(AppConfig):
    name = "secondread.serve.reads"
    label = "reads"
