"""What the documents tell to type can be typed: commands and their options, pieces of study files, Python names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import secondread as sr
from secondread.cli import app
from secondread.core.studyfile import parse_study
from secondread.pipeline import check

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", ROOT / "RESULTS.md",
         *sorted((ROOT / "docs").glob("*.md"))]  # fmt: skip
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def blocks(document: Path, language: str) -> list[str]:
    return [content for kind, content in BLOCK.findall(document.read_text(encoding="utf8")) if kind == language]


def code(document: Path) -> list[str]:
    """Lines of code on a page: of its blocks, and spans in its text; of a study file its heading."""
    text = document.read_text(encoding="utf8")
    if document.suffix == ".yaml":
        return [line.removeprefix("#").strip() for line in text.replace("\\\n#", "").splitlines() if line[:1] == "#"]
    return [*"".join(blocks(document, "bash")).splitlines(), *re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))]


def typed(line: str) -> list[list[str]]:
    """Each call of `secondread` in a line: the command and its words."""
    calls = re.findall(
        r"(?:^|; |&& |do |bin/|-m |^srun .* )secondread ((?:[^;&#|\"]|\"[^\"]*\")+)",
        line,
    )
    return [shlex.split(call) for call in calls]


@pytest.mark.parametrize("document", [*PAGES, *STUDIES], ids=lambda path: path.name)
def test_every_command_that_is_told_exists_with_its_options(document: Path) -> None:
    for line in code(document):
        for name, *words in typed(line):
            if name in ("STEP", "$step"):
                continue
            assert name in COMMANDS, line
            known = {option for param in COMMANDS[name].params for option in param.opts}
            assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line
            assert all((ROOT / word).exists() for word in words if re.fullmatch(r"studies/\w+\.yaml", word)), line


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_every_piece_of_a_study_file_is_one(document: Path) -> None:
    spans = [span for span in code(document) if re.match(r"(gather|prepare|synthesize|balance|train|arms): \{", span)]
    for piece in [*blocks(document, "yaml"), *spans]:
        check(parse_study({"study": "piece"} | yaml.safe_load(piece), piece))


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_every_python_name_is_public(document: Path) -> None:
    for piece in [*blocks(document, "python"), *code(document)]:
        assert set(re.findall(r"\bsr\.(\w+)", piece)) <= set(sr.__all__), piece
        if "import secondread" in piece:
            compile(piece, str(document), "exec")
