"""The folder that the web application keeps: database, images, secret. Nobody but its owner may look inside."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

SECRET_BYTES = 48


class DataFolder:
    """Paths below one private folder (mode 0700), each made when first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._there: set[str] = set()

    @property
    def database(self) -> Path:
        return self._made(".") / "secondread.sqlite3"

    @property
    def images(self) -> Path:
        """Decoded pixels of uploaded images, one file each, under generated names."""
        return self._made("images")

    @property
    def incoming(self) -> Path:
        """Uploads while they arrive; whatever is left here is swept away."""
        return self._made("incoming")

    @property
    def bells(self) -> Path:
        """Named pipes by which the processes wake each other."""
        return self._made("bells")

    def secret(self) -> str:
        """The signing key, generated when there is none (mode 0600)."""
        path = self._made(".") / "secret.key"
        for _ in range(50):
            try:
                held = path.read_text().strip()
            except FileNotFoundError:
                _create_once(path, secrets.token_urlsafe(SECRET_BYTES))
                continue
            if held:
                return held
            time.sleep(0.02)  # another process has created it and not yet written
        raise ValueError(f"{path} is empty: remove it, a new key is then generated and everybody logs in again")

    def _made(self, name: str) -> Path:
        path = self.root / name
        if name not in self._there:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._there.add(name)
        return path


def _create_once(path: Path, content: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as opened:
        opened.write(content + "\n")
        opened.flush()
        os.fsync(opened.fileno())
