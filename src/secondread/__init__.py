"""secondread builds, proves and serves an independent second reader of medical images."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from secondread.core.version import __version__

if TYPE_CHECKING:
    from secondread.api import audit, bench, check, phantom, plan, prove, read, run, status, tune

__all__ = ["__version__", "audit", "bench", "check", "phantom", "plan", "prove", "read", "run", "status", "tune"]


def __dir__() -> list[str]:
    """What completion offers, in notebooks before the first use."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Load the verbs on first use, so that `import secondread` costs nothing."""
    if name in __all__:
        return getattr(importlib.import_module("secondread.api"), name)
    raise AttributeError(f"module 'secondread' has no attribute {name!r}")
