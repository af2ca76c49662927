"""Uploads go straight to the private folder, hashed and counted as they arrive; one byte too many ends the transfer."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http import HttpRequest, UnreadablePostError

from secondread.serve.limits import Limits
from secondread.serve.reads.places import OutOfSpace, on_disk


class StreamedFile(UploadedFile):  # type: ignore[type-arg]
    """A file of a request, already on disk."""

    def __init__(self, path: Path, name: str | None, size: int, content_id: str) -> None:
        super().__init__(None, name, None, size)
        self.path = path
        self.content_id = content_id

    def close(self) -> None:
        """Nothing is open; Django closes the files of a form that it gives up."""


class StreamingHandler(FileUploadHandler):
    """Django's upload handler for this site; what was wrong is left on the request as `upload_fault`.

    Raises `OutOfSpace`.
    """

    chunk_size = 1 << 18

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self.limits: Limits = settings.LIMITS
        self.total = 0
        self.paths: list[Path] = []
        self.sink: Any = None

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        path = settings.FOLDER.incoming / uuid.uuid4().hex
        with on_disk():
            self.sink = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self.paths.append(path)
        self.digest = hashlib.sha256()
        self.size = 0
        if self.request is not None:
            self.request.streamed = self.paths  # type: ignore[attr-defined]

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.size += len(raw_data)
        self.total += len(raw_data)
        if self.size > self.limits.file_bytes:
            self._stop(f"a file has more than {self.limits.file_bytes >> 20} MB")
        if self.total > self.limits.request_bytes:
            self._stop(f"the files have more than {self.limits.request_bytes >> 20} MB together")
        self.digest.update(raw_data)
        try:
            with on_disk():
                self.sink.write(raw_data)
        except OutOfSpace:
            self.upload_interrupted()
            raise

    def file_complete(self, file_size: int) -> StreamedFile:
        sink, self.sink = self.sink, None
        with on_disk():
            sink.close()
        return StreamedFile(self.paths[-1], self.file_name, self.size, self.digest.hexdigest())

    def upload_interrupted(self) -> None:
        if self.sink is not None:
            with suppress(OSError):  # what a full disk did not take is written once more, in vain
                self.sink.close()
            self.sink = None
        forget(self.paths)

    def _stop(self, reason: str) -> None:
        if self.request is not None:
            self.request.upload_fault = reason  # type: ignore[attr-defined]
        self.upload_interrupted()
        raise StopUpload(connection_reset=True)


def streamed_body(request: HttpRequest, name: str) -> StreamedFile | None:
    """The body of a request as one file; None when it was stopped, as `upload_fault` then says.

    Raises `EOFError` when the body is shorter than was announced, and `OutOfSpace`.
    """
    length, handler = int(request.META.get("CONTENT_LENGTH") or 0), StreamingHandler(request)
    handler.new_file("body", bare_name(name), request.content_type, length)
    try:
        while chunk := request.read(handler.chunk_size):
            handler.receive_data_chunk(chunk, handler.size)
    except StopUpload:
        return None
    except UnreadablePostError as error:
        handler.upload_interrupted()
        raise EOFError from error
    except OSError:
        handler.upload_interrupted()
        raise
    if handler.size != length:
        handler.upload_interrupted()
        raise EOFError
    return handler.file_complete(handler.size)


def bare_name(name: str) -> str:
    """The last part of a path, without what cannot be shown; forms' names are so cleaned by Django."""
    last = "".join(sign for sign in name.replace("\\", "/").rsplit("/", 1)[-1] if sign.isprintable()).strip()
    return "image" if last in ("", ".", "..") else last


def forget(paths: list[Path]) -> None:
    """Remove what is left of uploads."""
    for path in paths:
        path.unlink(missing_ok=True)
