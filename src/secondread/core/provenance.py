"""What a result was made with: versions, machine, time."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from typing import Any

from secondread.core.version import __version__

NAMED = ("torch", "torchvision", "timm", "accelerate", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "pydicom",
         "onnxruntime", "onnx", "Django")  # fmt: skip


def environment() -> dict[str, Any]:
    """Versions and machine, without anything that names a person or a path."""
    return {
        "secondread": __version__,
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in NAMED},
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf8") as told:
            return next((line.split(":", 1)[1].strip() for line in told if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
