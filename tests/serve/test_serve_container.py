"""The container installs what serving imports, function by function, although it installs no package whole."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import grimp
from packaging.requirements import Requirement

OPTIONAL = {"openvino"}
"""Extras: who asks for one that is not there is told so."""
CONTAINERFILE = Path(__file__).parents[2] / "Containerfile"


def named() -> set[str]:
    """What the first `uv pip install` of the file names."""
    line = re.search(r"-c requirements\.lock (.*?)&&", CONTAINERFILE.read_text().replace("\\\n", " "), re.S)
    assert line is not None
    return set(line[1].replace("'", "").split())


def with_what_they_need(wanted: set[str]) -> set[str]:
    """The plain names of all that is installed with them."""
    found: set[tuple[str, str]] = set()
    waiting = [(Requirement(name).name, extra) for name in wanted for extra in ("", *Requirement(name).extras)]
    while waiting:
        name, extra = waiting.pop()
        if (plain(name), extra) in found:
            continue
        found.add((plain(name), extra))
        needed = [Requirement(line) for line in requires(name) or ()]
        kept = [need for need in needed if need.marker is None or need.marker.evaluate({"extra": extra})]
        waiting += [(need.name, more) for need in kept for more in ("", *need.extras)]
    return {name for name, _ in found}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_names_whatever_serving_imports() -> None:
    graph = grimp.build_graph("secondread", include_external_packages=True)
    reached = graph.find_upstream_modules("secondread.serve", as_package=True)
    imported = {module.partition(".")[0] for module in reached} - {"secondread", *OPTIONAL} - sys.stdlib_module_names
    owners = packages_distributions()
    there = with_what_they_need(named())
    assert {"django", "onnxruntime", "fontTools"} <= imported
    assert {module for module in imported if not there & {plain(name) for name in owners[module]}} == set()
