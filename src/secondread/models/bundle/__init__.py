"""Reading exported models with ONNX Runtime alone: no module of this package reaches PyTorch."""

from __future__ import annotations

from secondread.models.bundle.card import BundleCard
from secondread.models.bundle.judge import Outputs, Reading
from secondread.models.bundle.opened import Bundle

__all__ = ["Bundle", "BundleCard", "Outputs", "Reading"]
