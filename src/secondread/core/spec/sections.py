"""What every section of the study file is made of: frozen fields whose unknown keys are refused, and parts by name."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """One mapping of the study file. The docstring of a field is what `secondread keys` says of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class PartRef(Section):
    """A part as the study file names it: `focal`, or `{name: focal, gamma: 1, as: focal_1}`."""

    name: str
    label: str = Field(alias="as")
    options: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_text_or_mapping(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given, "as": given}
        if isinstance(given, dict) and "options" not in given:
            if "name" not in given:
                raise ValueError("a part is its name, or a mapping with the key `name`")
            options = {k: v for k, v in given.items() if k not in ("name", "as")}
            return {"name": given["name"], "as": given.get("as", given["name"]), "options": options}
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        mapping = {"type": "object", "properties": {"name": {"type": "string"}, "as": {"type": "string"}}}
        return {"anyOf": [{"type": "string"}, mapping | {"required": ["name"]}]}

    def as_written(self) -> str | dict[str, Any]:
        if not self.options and self.label == self.name:
            return self.name
        alias = {} if self.label == self.name else {"as": self.label}
        return {"name": self.name, **alias, **self.options}


def ref(name: str, **options: Any) -> PartRef:
    return PartRef.model_validate({"name": name, **options})


def as_yaml(section: Section) -> Any:
    """The section as plain values in the way a person would write it: parts by name, aliases as in the file."""
    if isinstance(section, PartRef):
        return section.as_written()
    fields = type(section).model_fields
    return {fields[name].alias or name: as_plain(getattr(section, name)) for name in fields}


def as_plain(value: Any) -> Any:
    """A value of a field as YAML holds it."""
    if isinstance(value, Section):
        return as_yaml(value)
    if isinstance(value, list):
        return [as_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: as_plain(item) for key, item in value.items()}
    return value
