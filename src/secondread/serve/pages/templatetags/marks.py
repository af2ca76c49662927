"""Small things templates need."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django import template

from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.words import engine, percent, spoken, warnings

register = template.Library()


@register.filter
def hundred(share: float | None) -> str:
    """A share of one as a length of 0 to 100 (drawings)."""
    return "" if share is None else f"{100 * share:.2f}"


@register.filter
def span(band: tuple[float, float]) -> str:
    """The width of a band as a length of 0 to 100."""
    return f"{100 * (band[1] - band[0]):.2f}"


register.filter("percent", percent)
register.filter("spoken", spoken)
register.filter("engine", engine)
register.filter("warnings", warnings)


@register.filter
def share(value: float) -> str:
    """A share that was counted, which may be none or all."""
    return "–" if value != value else f"{100 * value:.1f}\u00a0%"


@register.filter
def number(value: Any) -> str:
    """Up to three digits after the point, as in a table of scores."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@register.filter
def as_json(value: Any) -> str:
    """For data attributes; the template escapes it."""
    return json.dumps(value)


@register.filter
def among(bundle: RegisteredBundle, offered: Iterable[RegisteredBundle]) -> str:
    """The name of a bundle, with its digest where another of those offered, such as its next version, has it too."""
    alone = sum(one.name == bundle.name for one in offered) < 2
    return bundle.name if alone else f"{bundle.name} ({bundle.short})"
