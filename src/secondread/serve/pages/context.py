"""What every page knows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from secondread.models.bundle.card import DISCLAIMER


def site(request: HttpRequest) -> dict[str, Any]:
    return {
        "intended_use": DISCLAIMER,
        "signup_open": settings.SIGNUP_OPEN,
        "has_email": settings.HAS_EMAIL,
        "limits": settings.LIMITS,
        "keeps_uids": settings.KEEP_UIDS,
    }
