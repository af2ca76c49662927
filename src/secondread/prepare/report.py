"""`secondread audit`: the audit of any folder, table or npz, without a study."""

from __future__ import annotations

import importlib
import os
import tempfile
import unicodedata
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.core.errors import BadData
from secondread.core.files import clear_abandoned, sha256_of_bytes, write_text
from secondread.core.progress import say
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.prepare.audit import Audited
from secondread.prepare.run import audit_rows

LONGEST_NAME = 100


@dataclass(frozen=True)
class Audit:
    """What was found; in a notebook it shows itself."""

    data: Path
    found: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The content of `audit --json`."""
        return self.found

    @property
    def findings(self) -> pd.DataFrame:
        columns = ["code", "severity", "message", "done", "count"]
        return pd.DataFrame(self.found["findings"], columns=[*columns, "files"])[columns]

    def _repr_html_(self) -> str:
        told = ", ".join(f"{escape(name)} {number}" for name, number in self.found["classes"].items())
        red = "".join(f'<p style="color:#b3261e"><b>{escape(one)}</b></p>' for one in self.found["banners"])
        head = f"<p>{self.found['files']} images in <code>{escape(str(self.data))}</code>: {told}</p>"
        understood = "".join(f"<li>{escape(note)}</li>" for note in self.found["notes"])
        return f"{red}{head}<ul>{understood}</ul>{self.findings.to_html(index=False)}"


def audit_folder(data: Path, html: Path | None = None) -> Audit:
    """Recognise, measure and judge what lies in `data`; measurements are remembered, so a second audit is quick.

    Raises `BadData` when there are no images.
    """
    found, where = looked_into(data)
    if html is not None:
        write_text(html, where.audit_page.read_text(encoding="utf8"))
    return Audit(data, found.as_dict())


def looked_into(data: Path) -> tuple[Audited, StudyDir]:
    """The audit of a folder with the material it was made from, and the directory that remembers it."""
    if not data.exists():
        raise BadData(f"{data} does not exist")
    root = data.resolve()
    study = parse_study({"study": name_of(root), "gather": {"source": {"name": "auto", "root": "."}}})
    where = StudyDir(_memory(root), root)
    clear_abandoned(where.root)
    gather = importlib.import_module("secondread.gather.run")  # steps meet through files: this is the first of them
    gather.gather_anew(study, where)
    return audit_rows(study, where), where


def name_of(root: Path) -> str:
    """A study may be called so: of letters of other scripts and with accents what ASCII has of them."""
    plain = unicodedata.normalize("NFKD", root.name).encode("ascii", "ignore").decode()
    letters = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in plain)
    return letters.strip("._-")[:LONGEST_NAME] or "data"


def _memory(root: Path) -> Path:
    """Where measurements of this folder are remembered: the user's cache folder, or a temporary one."""
    asked = os.environ.get("SECONDREAD_CACHE") or os.environ.get("XDG_CACHE_HOME")
    base = Path(asked) if asked else Path.home() / ".cache"
    folder = base / "secondread" / "audit" / f"{name_of(root)}-{sha256_of_bytes(str(root).encode())[:12]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        say(f"{base} cannot be written: this audit is not remembered")
        return Path(tempfile.mkdtemp(prefix="secondread-audit-"))
