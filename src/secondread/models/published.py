"""Published weights: where their files lie, and fetching them when a network is there."""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from secondread.core.errors import Absent, BadData, WrongRequest
from secondread.core.files import sha256_of_file, write_with

FOLDER = "SECONDREAD_WEIGHTS"
OFFLINE = ("SECONDREAD_OFFLINE", "HF_HUB_OFFLINE")
SECONDS = 10


def published_file(weights: str) -> Path:
    """The file of `torchvision:…` or `timm:…` weights: from $SECONDREAD_WEIGHTS, a cache of PyTorch or Hugging Face, or
    fetched. Raises `Absent` naming the file, where to put it, and the alternatives."""
    library, _, name = weights.partition(":")
    return _from_torchvision(name) if library == "torchvision" else _from_timm(name)


def hub_folder() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _from_torchvision(name: str) -> Path:
    import torchvision

    url = torchvision.models.get_weight(name).url
    file = url.rsplit("/", 1)[-1]
    found = _first([*_own(file), hub_folder() / file])
    if found is None:
        found = _fetched(url, hub_folder() / file)
    return _checked(found)


def _from_timm(name: str) -> Path:
    import timm

    config = timm.get_pretrained_cfg(name)
    told: dict[str, Any] = config.to_dict() if config else {}
    repository, url = told.get("hf_hub_id"), told.get("url")
    files = [f"{name}.safetensors", f"{name}.bin", f"{name}.pth", *([url.rsplit("/", 1)[-1]] if url else [])]
    found = _first([place for file in files for place in (*_own(file), hub_folder() / file)])
    if found is None and repository:
        inside = told.get("hf_hub_filename") or "model.safetensors"
        found = _in_hugging_face_cache(repository, inside) or _fetched(
            f"https://huggingface.co/{repository}/resolve/main/{inside}", hub_folder() / f"{name}{Path(inside).suffix}"
        )
    if found is None:
        found = _fetched(str(url), hub_folder() / files[-1])
    return _checked(found)


def _in_hugging_face_cache(repository: str, file: str) -> Path | None:
    import huggingface_hub

    cached = huggingface_hub.try_to_load_from_cache(repository, file)
    return Path(cached) if isinstance(cached, str) else None


def _own(file: str) -> list[Path]:
    folder = os.environ.get(FOLDER)
    return [Path(folder) / file] if folder else []


def _first(places: list[Path]) -> Path | None:
    return next((place for place in places if place.is_file()), None)


def _offline() -> bool:
    return any(os.environ.get(name, "") not in ("", "0") for name in OFFLINE)


def _fetched(url: str, place: Path) -> Path:
    file = place.name
    if not url.startswith("https://"):
        raise WrongRequest(f"weights: {url} is not fetched over an open connection")
    if _offline():
        raise _absent(file, url, " (offline by request)")

    try:
        download(url, place)
    except (OSError, HTTPException, BadData) as error:
        raise _absent(file, url, f" ({error.__cause__ or error})") from error
    return place


def download(url: str, place: Path) -> None:
    """Put what `url` gives at `place`, whole or not at all: who closes early does not say so by an error."""

    def fetch(temporary: Path) -> None:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer, open(temporary, "wb") as out:
            shutil.copyfileobj(answer, out)
            announced, came = answer.headers.get("Content-Length"), out.tell()
        if announced is not None and int(announced) != came:
            raise OSError(f"the connection ended after {came:,} of {int(announced):,} bytes")
        if not _is_whole(temporary, place.name):
            raise OSError("what came is not the file of that name: its SHA-256 is another")

    write_with(place, fetch)


def _absent(file: str, origin: str, why: str) -> Absent:
    folder = os.environ.get(FOLDER)
    return Absent(
        f"weights: {file} is not here and could not be fetched from {origin}{why}. Put it into "
        f"{folder or hub_folder()}" + ("" if folder else f" (or a folder named by ${FOLDER})")
        + "; or use `weights: PATH`, `weights: trial:STUDY/ARM/MODEL` or `weights: none`"
    )  # fmt: skip


def _checked(path: Path) -> Path:
    if not _is_whole(path, path.name):
        raise WrongRequest(f"weights: {path} is damaged: its SHA-256 is not the one in its name. Delete it")
    return path


def _is_whole(path: Path, name: str) -> bool:
    """Whether the file is what its name says: torch's end in the first hexadecimal digits of their SHA-256."""
    told = re.search(r"-([0-9a-f]{8,})\.", name)
    return told is None or sha256_of_file(path).startswith(told[1])
