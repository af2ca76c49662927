"""What may be uploaded and how much at once: one source for the checks, the upload page and `/api/limits`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import environ

MEBI = 1 << 20
TYPES = ("PNG", "JPEG", "TIFF", "WebP", "BMP", "DICOM", "zip of these")


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    file_bytes: int = 50 * MEBI
    request_bytes: int = 200 * MEBI
    files: int = 50
    """Files of one request, those inside a zip included."""
    unpacked_bytes: int = 500 * MEBI
    megapixels: int = 40
    decode_seconds: int = 10
    """Processor time of decoding one image."""
    decode_memory: int = 768 * MEBI
    """Address space a decoding process may add to what it starts with."""
    quota_bytes: int = 5120 * MEBI
    """Stored pixels per user."""
    waiting: int = 200
    """Reads waiting for a worker from which on new ones are turned away."""
    uploads: int = 6
    """Requests that one web process takes in at the same moment."""
    lease_seconds: int = 30
    """Silence of a worker after which its read goes to another."""
    read_seconds: int = 600
    """Longest time one reading may take; a worker that needs more is taken to hang."""
    attempts: int = 3
    """Times a read is begun before it is given up."""
    wait_seconds: int = 20
    """Longest time a request waits for its reading."""

    def to_json(self) -> dict[str, object]:
        return {"types": list(TYPES), **asdict(self)}


def limits_of(env: environ.Env) -> Limits:
    """Limits from SECONDREAD_LIMIT_<NAME>; raises `ValueError` for one that is no positive number."""
    chosen = {}
    for name, default in asdict(Limits()).items():
        value = env.int(f"SECONDREAD_LIMIT_{name.upper()}", default=default)
        if value < 1:
            raise ValueError(f"SECONDREAD_LIMIT_{name.upper()} must be at least 1")
        chosen[name] = value
    return Limits(**chosen)
