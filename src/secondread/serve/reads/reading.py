"""One read: from stored pixels through a bundle to what the row keeps."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from typing import Any

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from secondread.images.decode import DECODER_VERSION
from secondread.models.bundle import Bundle, Reading
from secondread.serve.reads.models import Read, State
from secondread.serve.reads.pixels import StoredPixels
from secondread.serve.reads.places import image_path
from secondread.serve.reads.queue import Result

STATES = {"read": State.READ, "uncertain": State.UNCERTAIN, "refused": State.REFUSED}
SEPARATOR = " | "


def read_image(bundle: Bundle, read: Read) -> Result:
    """Read one stored image; raises `OSError` and `ValueError` when its file is gone or damaged."""
    with StoredPixels(image_path(read.image_id)) as stored:
        pixels = stored.model_input(bundle.pixels)
    started = time.perf_counter()
    outputs = bundle.run(pixels[None], heatmaps=True)
    seconds = time.perf_counter() - started
    reading = bundle.judge(outputs)[0]
    decided = reading.decision if isinstance(reading.decision, list) else [reading.decision] if reading.decision else []
    result = {
        "status": reading.status,
        "decision": reading.decision,
        "probabilities": reading.probabilities,
        "logits": dict(zip(bundle.card.classes, (float(x) for x in outputs.logits[0]), strict=True)),
        "gate_distance": reading.gate_distance,
        "seconds": round(seconds, 4),
        "made_with": made_with(settings.ENGINE),
    }
    heat, told = packed_heat(reading)
    return Result(STATES[reading.status], reading.reason, SEPARATOR.join(decided), _finite(result | told), heat)


def made_with(engine: str) -> dict[str, str]:
    """Versions that the numbers depend on; what ran the graph stands first."""
    return {
        engine: importlib.metadata.version(engine),
        "decoder": DECODER_VERSION,
        "cpu": platform.processor() or platform.machine(),
    }


def packed_heat(reading: Reading) -> tuple[bytes | None, dict[str, Any]]:
    """The maps as float16, 1 at the strongest of all, and what is needed to unpack them."""
    if not reading.heat:
        return None, {}
    maps_Khw = np.stack(list(reading.heat.values()))
    top = float(maps_Khw.max())
    scaled = maps_Khw / top if top > 0 else maps_Khw
    return scaled.astype(np.float16).tobytes(), {"heat": {"shape": list(maps_Khw.shape), "top": top}}


def unpacked_heat(read: Read) -> NDArray[np.float32] | None:
    """The maps [K,h,w], 1 at the strongest, or None where the read has none."""
    if not read.heat or not read.result or "heat" not in read.result:
        return None
    shape = read.result["heat"]["shape"]
    return np.frombuffer(bytes(read.heat), np.float16).reshape(shape).astype(np.float32)


def _finite(value: Any) -> Any:
    """NaN and infinities do not fit into JSON; they become null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
