"""The size inside a compressed frame, read from its own header before any decoder sees it."""

from __future__ import annotations

from dataclasses import dataclass

from secondread.images.decode_types import Refusal

# Frame headers of JPEG (SOF0..SOF15 without the three that mean something else) and of JPEG-LS.
FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
STANDALONE = {0x01, *range(0xD0, 0xD9)}
MAX_TILES = 16_384


@dataclass(frozen=True)
class CodestreamFacts:
    rows: int
    columns: int
    samples: int
    bits: int


def codestream_facts(frame: bytes) -> CodestreamFacts:
    """Rows, columns, samples and bits of a JPEG, JPEG-LS or JPEG 2000 codestream; raises `Refusal`."""
    if frame.startswith(b"\xff\xd8"):
        return _jpeg(frame)
    if frame.startswith(b"\xff\x4f\xff\x51"):
        return _jpeg_2000(frame)
    if frame.startswith(b"\x00\x00\x00\x0c\x6a\x50\x20\x20"):
        raise Refusal("unsupported_syntax", "the frame is a JP2 file where DICOM calls for a bare codestream")
    raise Refusal("damaged", "the compressed frame does not begin like one")


def _jpeg(frame: bytes) -> CodestreamFacts:
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            break
        marker = frame[at + 1]
        if marker == 0xFF or marker in STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in FRAME_MARKERS and at + 10 <= len(frame):
            body = frame[at + 4 : at + 10]
            return CodestreamFacts(int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5], body[0])
        at += 2 + max(length, 2)
    raise Refusal("damaged", "the JPEG frame has no frame header")


def _jpeg_2000(frame: bytes) -> CodestreamFacts:
    if len(frame) < 45:
        raise Refusal("truncated", "the JPEG 2000 frame is cut short")
    right, bottom, left, top, tile_width, tile_height = (
        int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20, 24, 28)
    )
    samples = int.from_bytes(frame[40:42], "big")
    if left >= right or top >= bottom or not tile_width or not tile_height:
        raise Refusal("damaged", "the JPEG 2000 frame has no extent")
    if -(-right // tile_width) * -(-bottom // tile_height) > MAX_TILES:
        raise Refusal("too_large", "the JPEG 2000 frame is cut into too many tiles")
    if not 1 <= samples <= 4 or len(frame) < 42 + 3 * samples:
        raise Refusal("damaged", f"the JPEG 2000 frame has {samples} components")
    components = [frame[42 + 3 * k : 45 + 3 * k] for k in range(samples)]
    if any(component[1:] != b"\x01\x01" for component in components):
        raise Refusal("unsupported_colour", "the JPEG 2000 frame is subsampled")
    return CodestreamFacts(bottom - top, right - left, samples, max((c[0] & 0x7F) + 1 for c in components))
