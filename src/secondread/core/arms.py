"""How an arm's own settings are laid over the study's, and where an error in them is said to stand."""

from __future__ import annotations

from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import InitErrorDetails


def merged(base: Any, over: Any) -> Any:
    """Mappings merge, lists replace; a part of another name replaces the whole part."""
    if isinstance(base, str) and isinstance(over, dict) and "name" not in over:
        base = {"name": base}
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    if "name" in over and over["name"] != base.get("name"):
        return over
    return {
        **base,
        **{key: merged(None if _is_word(key, base) else base.get(key), value) for key, value in over.items()},
    }


def _is_word(key: str, base: dict[str, Any]) -> bool:
    """Whether a text is a policy for all labels rather than the name of a part: a mapping replaces it."""
    return key == "uncertain" and isinstance(base.get(key), str)


def placed(error: ValidationError, *place: str) -> ValidationError:
    """The same errors, told as standing at `place` in the study file rather than at its top."""
    told = [
        {name: one[name] for name in ("type", "input", "ctx") if name in one} | {"loc": (*place, *one["loc"])}
        for one in error.errors()
    ]
    return ValidationError.from_exception_data(error.title, cast(list[InitErrorDetails], told))
