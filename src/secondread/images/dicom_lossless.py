"""Lossless JPEG (ITU-T T.81 Annex H; processes 14 and 14 SV1, the commonest compression of radiographs).

Written here because the usual C++ decoder ends the whole process on damaged files. Huffman decoding is sequential only
in *where* the next symbol begins: the length of the symbol that would begin at every bit is looked up for all bits at
once, a short loop walks from symbol to symbol, and everything else is arithmetic on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secondread.images.decode_types import Refusal

BLOCK = 1 << 16
"""Bytes whose 8 x BLOCK possible symbol starts are looked up at once."""
INVALID = 255
SOF3, DHT, SOS, DRI, EOI = 0xC3, 0xC4, 0xDA, 0xDD, 0xD9


@dataclass(frozen=True)
class HuffmanTable:
    """By the next 16 bits: length of the code, size of the difference, and length of both together."""

    code: NDArray[np.uint8]
    size: NDArray[np.uint8]
    total: NDArray[np.uint8]


@dataclass
class _Frame:
    precision: int = 0
    rows: int = 0
    columns: int = 0
    components: list[int] = field(default_factory=list)
    tables: dict[int, HuffmanTable] = field(default_factory=dict)
    restart: int = 0
    planes: dict[int, NDArray[np.uint16]] = field(default_factory=dict)


def decode_lossless(content: bytes) -> NDArray[np.uint16]:
    """Samples [rows, columns] or [rows, columns, 3] of a lossless JPEG frame; raises `Refusal`."""
    frame, at = _Frame(), 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            raise Refusal("damaged", "the lossless JPEG frame has no marker where one must be")
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
            continue
        if marker == EOI:
            break
        body = content[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
        if marker == SOF3:
            _read_frame(frame, body)
        elif marker == DHT:
            _read_tables(frame, body)
        elif marker == DRI:
            frame.restart = int.from_bytes(body[:2], "big")
        elif marker == SOS:
            at = _read_scan(frame, body, content, at)
        elif 0xC0 <= marker <= 0xCF:
            raise Refusal("unsupported_syntax", "the frame is a JPEG of another process than lossless Huffman")
    missing = [component for component in frame.components if component not in frame.planes]
    if missing or not frame.components:
        raise Refusal("truncated", "the lossless JPEG frame ends before its image does")
    planes = [frame.planes[component] for component in frame.components]
    return planes[0] if len(planes) == 1 else np.dstack(planes)


def _read_frame(frame: _Frame, body: bytes) -> None:
    frame.precision, frame.rows, frame.columns = body[0], *(int.from_bytes(body[k : k + 2], "big") for k in (1, 3))
    parts = [body[6 + 3 * k : 9 + 3 * k] for k in range(body[5])]
    if not 2 <= frame.precision <= 16 or len(parts) not in (1, 3) or any(part[1] != 0x11 for part in parts):
        raise Refusal("unsupported_colour", "the lossless JPEG frame is subsampled or of an unusual layout")
    frame.components = [part[0] for part in parts]


def _read_tables(frame: _Frame, body: bytes) -> None:
    while len(body) >= 17:
        counts = body[1:17]
        values = body[17 : 17 + sum(counts)]
        frame.tables[body[0]] = huffman_table(counts, values)
        body = body[17 + sum(counts) :]


def huffman_table(counts: bytes, values: bytes) -> HuffmanTable:
    """The lookup of a table given as in a DHT segment: how many codes of each length 1-16, then their values."""
    code, size = np.zeros(65536, np.uint8), np.zeros(65536, np.uint8)
    first, used = 0, 0
    for length, count in enumerate(counts, start=1):
        for value in values[used : used + count]:
            span = 1 << (16 - length)
            if value > 16 or first + span > 65536:
                raise Refusal("damaged", "a Huffman table of the lossless JPEG frame is impossible")
            code[first : first + span], size[first : first + span] = length, value
            first += span
        used += count
    total = np.where(size == 16, code, code + size).astype(np.uint8)
    total[code == 0] = INVALID
    return HuffmanTable(code, size, total)


def _read_scan(frame: _Frame, body: bytes, content: bytes, at: int) -> int:
    """Decode one scan into planes; the position behind it."""
    count = body[0]
    wanted = [(body[1 + 2 * k], frame.tables.get(body[2 + 2 * k] >> 4)) for k in range(count)]
    predictor, shift = body[1 + 2 * count], body[3 + 2 * count] & 0x0F
    if not 1 <= predictor <= 7 or shift >= frame.precision:
        raise Refusal("unsupported_syntax", f"lossless JPEG with predictor {predictor} is not read")
    tables = [table for component, table in wanted if table is not None and component in frame.components]
    if len(tables) != count or count not in (1, len(frame.components)):
        raise Refusal("damaged", "a scan of the lossless JPEG frame names what is not there")
    intervals, end = _intervals(content, at)
    rows_each = frame.restart // frame.columns if frame.restart else frame.rows
    if frame.restart and frame.restart % frame.columns:
        raise Refusal("unsupported_syntax", "lossless JPEG with restarts inside a row is not read")
    done = [np.empty((frame.rows, frame.columns), np.uint16) for _ in tables]
    for number, start in enumerate(range(0, frame.rows, max(rows_each, 1))):
        rows = min(rows_each, frame.rows - start)
        if number >= len(intervals):
            raise Refusal("truncated", "the lossless JPEG frame ends before its image does")
        differences = _differences(intervals[number], tables, rows * frame.columns * count)
        for k, plane in enumerate(done):
            part = differences[k::count].reshape(rows, frame.columns)
            plane[start : start + rows] = undo_prediction(part, predictor, 1 << (frame.precision - shift - 1))
    for (component, _), plane in zip(wanted, done, strict=True):
        frame.planes[component] = plane << np.uint16(shift)
    return end


def _intervals(content: bytes, at: int) -> tuple[list[bytes], int]:
    """The entropy-coded stretches between restart markers, without stuffing, and where the next marker is."""
    found, start = [], at
    while True:
        mark = content.find(b"\xff", at)
        if mark < 0 or mark + 1 >= len(content):
            found.append(content[start:].replace(b"\xff\x00", b"\xff"))
            return found, len(content)
        following = content[mark + 1]
        if following == 0:
            at = mark + 2
            continue
        if following == 0xFF:
            at = mark + 1
            continue
        found.append(content[start:mark].replace(b"\xff\x00", b"\xff"))
        if not 0xD0 <= following <= 0xD7:
            return found, mark
        at = start = mark + 2


def _differences(data: bytes, tables: list[HuffmanTable], wanted: int) -> NDArray[np.uint16]:
    """The first `wanted` differences (modulo 2^16) of an entropy-coded stretch, components taking turns."""
    values = np.empty(wanted, np.uint16)
    count, position, turn = 0, 0, 0
    for block in range(0, len(data), BLOCK):
        wide = _wide(data, block)
        walk, position, turn = _walk(wide, tables, position, turn, wanted - count)
        starts, first = np.array(walk, np.int64), (turn - len(walk)) % len(tables)
        for offset in range(len(tables)):
            table = tables[(first + offset) % len(tables)]
            values[count + offset : count + len(walk) : len(tables)] = _values_at(
                wide, starts[offset :: len(tables)], table
            )
        count += len(walk)
        position -= 8 * BLOCK
        if count == wanted:
            return values
    raise Refusal("truncated", "the lossless JPEG frame ends before its image does")


def _wide(data: bytes, block: int) -> NDArray[np.int64]:
    """The 40 bits that begin at each byte of one block; behind the end there are ones, which no code consists of."""
    part = np.frombuffer(data[block : block + BLOCK + 4], np.uint8).astype(np.int64)
    length = min(BLOCK, len(data) - block)
    padded = np.concatenate([part, np.full(max(length + 4 - len(part), 0), 255)])
    wide = padded[:length].copy()
    for ahead in range(1, 5):
        wide = (wide << 8) | padded[ahead : ahead + length]
    return wide


def _walk(
    wide: NDArray[np.int64], tables: list[HuffmanTable], position: int, turn: int, wanted: int
) -> tuple[list[int], int, int]:
    """Bits of this block at which symbols begin, the bit of the first symbol behind it, and whose turn that is."""
    windows = ((wide[:, None] >> np.arange(24, 16, -1)) & 0xFFFF).reshape(-1)
    lengths = [table.total[windows].tobytes() for table in tables]
    last, walk = 8 * len(wide), []
    if len(tables) == 1:
        only = lengths[0]
        while position < last:
            walk.append(position)
            position += only[position]
    else:
        while position < last:
            walk.append(position)
            position += lengths[turn][position]
            turn = (turn + 1) % len(tables)
    beyond = max(len(walk) - wanted, 0)
    return walk[: len(walk) - beyond], position, (turn - beyond) % len(tables)


def _values_at(wide: NDArray[np.int64], starts: NDArray[np.int64], table: HuffmanTable) -> NDArray[np.uint16]:
    """The differences whose symbols begin at these bits (T.81 F.2.2.1 and H.1.2.2), modulo 2^16."""
    bits, within = wide[starts >> 3], starts & 7
    window = (bits >> (24 - within)) & 0xFFFF
    length, size = table.code[window].astype(np.int64), table.size[window].astype(np.int64)
    if not length.all():
        raise Refusal("damaged", "the lossless JPEG frame holds a code that its table does not")
    extra = np.where(size == 16, 0, size)
    raw = (bits >> (40 - within - length - extra)) & ((1 << extra) - 1)
    values = np.where(raw < ((1 << extra) >> 1), raw - (1 << extra) + 1, raw)
    return np.where(size == 16, 32768, values).astype(np.uint16)


def undo_prediction(differences: NDArray[np.uint16], predictor: int, start: int) -> NDArray[np.uint16]:
    """Samples [rows, columns] from their differences to what `predictor` (T.81 Table H.1) says, modulo 2^16."""
    steps = differences.copy()
    steps[:1, 0] += np.uint16(start)  # a slice: arrays wrap around in silence, scalars do not
    if predictor == 1:
        steps[:, 0] = np.cumsum(steps[:, 0], dtype=np.uint16)
        return np.cumsum(steps, axis=1, dtype=np.uint16, out=steps)
    if predictor == 4:
        np.cumsum(steps, axis=0, dtype=np.uint16, out=steps)
        return np.cumsum(steps, axis=1, dtype=np.uint16, out=steps)
    steps[0] = np.cumsum(steps[0], dtype=np.uint16)
    if predictor == 2:
        return np.cumsum(steps, axis=0, dtype=np.uint16, out=steps)
    for row in range(1, len(steps)):
        steps[row] = _row(steps[row].astype(np.int64), steps[row - 1].astype(np.int64), predictor) & 0xFFFF
    return steps


def _row(steps: NDArray[np.int64], above: NDArray[np.int64], predictor: int) -> NDArray[np.int64]:
    """One row (modulo 2^16) under predictor 3, 5, 6 or 7, given the row above it; its first sample follows that row."""
    steps[0] += above[0]
    if predictor == 3:
        steps[1:] += above[:-1]
        return steps
    if predictor == 5:
        steps[1:] += (above[1:] - above[:-1]) >> 1
        return np.asarray(np.cumsum(steps))
    left = int(steps[0]) & 0xFFFF
    made = [left]
    if predictor == 6:
        for step, up, diagonal in zip(steps[1:].tolist(), above[1:].tolist(), above[:-1].tolist(), strict=True):
            left = (up + ((left - diagonal) >> 1) + step) & 0xFFFF
            made.append(left)
    else:
        for step, up in zip(steps[1:].tolist(), above[1:].tolist(), strict=True):
            left = (((left + up) >> 1) + step) & 0xFFFF
            made.append(left)
    return np.array(made, np.int64)
