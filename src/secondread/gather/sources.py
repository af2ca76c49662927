"""The parts of kind `sources`: importing this module registers them."""

from __future__ import annotations

from secondread.gather import chexpert, class_folders, dicom, nih, npz, phantom, recognise, table

__all__ = ["chexpert", "class_folders", "dicom", "nih", "npz", "phantom", "recognise", "table"]
