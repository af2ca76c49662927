"""Which file each row of a table means."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

from secondread.gather.files import IMAGE_SUFFIXES


class FileFinder:
    """Finds the file a table means: by its path, by the end of its path, or by its name with or without suffix.

    Where none is called so exactly, capitals and the way accents are coded do not matter (Windows, macOS).

    `images` are the image files (relative), `beside` the folder of the table relative to the same root.
    """

    def __init__(self, images: Sequence[str], beside: str) -> None:
        self.known = set(images)
        self.beside = f"{beside}/" if beside else ""
        self.by_name: dict[str, str | None] = {}
        self.spelt: dict[str, str | None] = {}
        for path in images:
            name = path.rsplit("/", 1)[-1]
            for key in {name, _stem(name)}:
                self.by_name[key] = None if key in self.by_name else path  # a name that two files have finds neither
            for key in _keys(_folded(path)):
                self.spelt[key] = None if key in self.spelt else path

    def find_all(self, values: Sequence[str]) -> list[str | None]:
        """The file of each value.

        A path that is there as it stands goes before one that is only alike: where `a/1.png` is missing, its row is not
        given to `b/1.png` if that is named too. Of two different paths that are only alike, neither is.
        """
        plain = {value: value.strip().replace("\\", "/").removeprefix("./").lstrip("/") for value in set(values)}
        found = {value: self._there(text) for value, text in plain.items()}
        for look in (self._alike, self._spelt_alike):
            named = {file for file in found.values() if file}
            alike = {value: look(text) for value, text in plain.items() if found[value] is None}
            meant: dict[str, set[str]] = {}
            for value, file in alike.items():
                if file is not None:
                    meant.setdefault(file, set()).add(plain[value])
            for value, file in alike.items():
                if file is not None and file not in named and len(meant[file]) == 1:
                    found[value] = file
        return [found[value] for value in values]

    def _there(self, text: str) -> str | None:
        return next((path for path in (self.beside + text, text) if text and path in self.known), None)

    def _alike(self, text: str) -> str | None:
        """By the end of the path, or by the name alone."""
        shorter = text
        while "/" in shorter:
            shorter = shorter.split("/", 1)[1]
            if found := self._there(shorter):
                return found
        name = text.rsplit("/", 1)[-1]
        return self.by_name.get(name) or self.by_name.get(_stem(name))

    def _spelt_alike(self, text: str) -> str | None:
        """By path or name, whatever the capitals."""
        return next((found for key in _keys(_folded(text)) if key and (found := self.spelt.get(key))), None)


def _keys(path: str) -> list[str]:
    """A path and what it may be called by, each once."""
    name = path.rsplit("/", 1)[-1]
    return list(dict.fromkeys((path, _stem(path), name, _stem(name))))


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _stem(name: str) -> str:
    """A name without what says that it is an image; of an id like 1.2.840.4 the last number does not."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name
