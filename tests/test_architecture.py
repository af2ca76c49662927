"""ARCHITECTURE.md draws the tree as it is, and every room keeps the house's sizes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "secondread"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
VERBS = ("gather", "prepare", "synthesize", "balance", "train", "predict", "evaluate", "explain", "export", "serve")


def drawn() -> set[str]:
    tree = re.search(r"```\n(secondread/.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL)
    assert tree
    return set(re.findall(r"[├└]── (?:src/secondread/)?([\w.]+)/? ", tree.group(1)))


def test_the_drawn_tree_is_the_real_tree() -> None:
    real = {path.name for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py.typed"))}
    top = {"studies", "bench", "docs", "tests"}
    assert drawn() - top == real
    assert all((ROOT / name).is_dir() for name in top)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_one_face(verb: str) -> None:
    face = ast.parse((PACKAGE / verb / "run.py").read_text())
    named = {node.name for node in face.body if isinstance(node, ast.FunctionDef)}
    assert {"serve"} <= named if verb == "serve" else {"run", "units"} <= named
    assert ast.get_docstring(face)


def test_files_and_functions_keep_their_size() -> None:
    long = []
    for path in SOURCES:
        text = path.read_text()
        if (lines := len(text.splitlines())) > 300:
            long.append(f"{path.relative_to(PACKAGE)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > 40:
                    long.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}: {size} lines")
    assert not long, "\n".join(long)


def test_no_room_is_called_utils() -> None:
    names = {path.stem for path in SOURCES} | {path.parent.name for path in SOURCES}
    assert not names & {"utils", "helpers", "common", "manager", "misc"}
