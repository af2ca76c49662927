"""What is said of the study file's keys is what the study file takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from typer.testing import CliRunner

from secondread.cli import app
from secondread.core.errors import WrongRequest
from secondread.core.registry import parts
from secondread.core.spec import Study, as_yaml
from secondread.core.spec.keys import Key, as_markdown, json_schema, keys

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))


def test_the_reference_has_every_option_of_every_source() -> None:
    lines = (ROOT / "docs" / "study.md").read_text(encoding="utf8").split("## Options of sources")[1].splitlines()
    cells = [line.split(" | ") for line in lines if line.startswith("| `")]
    told = {(cell[0].strip("| `"), name.strip("` ")) for cell in cells for name in cell[1].split(",")}
    assert told == {(name, option.key) for name, one in parts("sources").items() for option in one.options.values()}


def test_every_key_says_what_it_does() -> None:
    found = list(keys())
    assert [key.path for key in found if not key.does] == []
    assert len({key.path for key in found}) == len(found) > 90


def test_the_page_in_docs_is_the_one_that_is_printed() -> None:
    """After a change: secondread keys --markdown, below the introduction of docs/study.md."""
    assert as_markdown(list(keys())) in (ROOT / "docs" / "study.md").read_text(encoding="utf8")


def test_the_defaults_told_are_those_taken() -> None:
    """A study that writes every default down is the study that writes none."""
    written: dict[str, Any] = {"study": "s"}
    for key in keys():
        if key.default and "NAME" not in key.path and "[]" not in key.path:
            place = written
            *above, last = key.path.split(".")
            for name in above:
                place = place.setdefault(name, {})
            place[last] = yaml.safe_load(key.default)
    assert as_yaml(Study.model_validate(written)) == as_yaml(Study.model_validate({"study": "s"}))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: str(file.stem))
def test_the_schema_takes_every_committed_study(file: Path) -> None:
    assert jsonschema_rs.is_valid(json_schema(), yaml.safe_load(file.read_text(encoding="utf8")))


@pytest.mark.parametrize(
    "wrong",
    [{}, {"study": "s", "trian": {}}, {"study": "s", "train": {"epochs": 0}}, {"study": "s", "train": {"loss": {}}}],
)
def test_the_schema_refuses_what_the_study_file_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Study.model_validate(wrong)
    assert not jsonschema_rs.is_valid(json_schema(), wrong)


def test_the_command_keeps_to_a_section() -> None:
    told = CliRunner().invoke(app, ["keys", "train.engine"])
    lines = [Key(*line.split("\t")) for line in told.stdout.splitlines()]
    assert [key.path for key in lines][:2] == ["train.engine", "train.engine.devices"]
    assert all(key.path.startswith("train.engine") for key in lines)
    assert json.loads(CliRunner().invoke(app, ["keys", "--json-schema"]).stdout)["title"] == "Study"
    assert isinstance(CliRunner().invoke(app, ["keys", "trian"]).exception, WrongRequest)
    assert isinstance(CliRunner().invoke(app, ["keys", "train", "--json-schema"]).exception, WrongRequest)
