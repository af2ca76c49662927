"""The lossless JPEG decoder against an encoder written from the definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondread.images.decode import Refusal
from secondread.images.dicom_lossless import decode_lossless

# Codes of the sizes 0-16, of lengths 2 to 14, none of them all ones.
COUNTS = [0, 2, 2, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]


def codes() -> dict[int, str]:
    made, code, value = {}, 0, 0
    for length, count in enumerate(COUNTS, start=1):
        for _ in range(count):
            made[value] = format(code, f"0{length}b")
            code, value = code + 1, value + 1
        code <<= 1
    return made


def predicted(plane: list[list[int]], row: int, column: int, predictor: int, start: int, first_row: int) -> int:
    if row == first_row:
        return start if column == 0 else plane[row][column - 1]
    up = plane[row - 1][column]
    if column == 0:
        return up
    left, corner = plane[row][column - 1], plane[row - 1][column - 1]
    return {1: left, 2: up, 3: corner, 4: left + up - corner, 5: left + ((up - corner) >> 1),
            6: up + ((left - corner) >> 1), 7: (left + up) >> 1}[predictor]  # fmt: skip


def bits_of(difference: int, table: dict[int, str]) -> str:
    difference = (difference + 32768) % 65536 - 32768
    if difference == -32768:
        return table[16]
    size = abs(difference).bit_length()
    value = difference if difference > 0 else difference + (1 << size) - 1
    return table[size] + (format(value, f"0{size}b") if size else "")


def encoded(planes: list[NDArray[np.uint16]], precision: int, predictor: int, restart_rows: int = 0) -> bytes:
    rows, columns = planes[0].shape
    table, start = codes(), 1 << (precision - 1)
    lists = [plane.tolist() for plane in planes]
    count = len(planes)
    frame = bytes([precision]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + bytes([count])
    frame += b"".join(bytes([k + 1, 0x11, 0]) for k in range(count))
    scan = bytes([count]) + b"".join(bytes([k + 1, 0]) for k in range(count)) + bytes([predictor, 0, 0])
    huffman = bytes([0, *COUNTS, *range(sum(COUNTS))])
    parts = [b"\xff\xd8", segment(0xC3, frame), segment(0xC4, huffman)]
    if restart_rows:
        parts.append(segment(0xDD, (restart_rows * columns).to_bytes(2, "big")))
    parts.append(segment(0xDA, scan))
    step = restart_rows or rows
    for number, first in enumerate(range(0, rows, step)):
        bits = "".join(
            bits_of(plane[row][column] - predicted(plane, row, column, predictor, start, first), table)
            for row in range(first, min(first + step, rows))
            for column in range(columns)
            for plane in lists
        )
        bits += "1" * (-len(bits) % 8)
        stretch = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
        parts.append((bytes([0xFF, 0xD0 + (number - 1) % 8]) if number else b"") + stretch)
    return b"".join([*parts, b"\xff\xd9"])


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 9),
    columns=st.integers(1, 11),
    precision=st.sampled_from([2, 8, 12, 16]),
    predictor=st.integers(1, 7),
    samples=st.sampled_from([1, 3]),
    restart=st.integers(0, 3),
)
def test_what_was_encoded_comes_back(
    seed: int, rows: int, columns: int, precision: int, predictor: int, samples: int, restart: int
) -> None:
    draw = np.random.default_rng(seed)
    planes = [draw.integers(0, 1 << precision, (rows, columns)).astype(np.uint16) for _ in range(samples)]
    found = decode_lossless(encoded(planes, precision, predictor, restart))
    expected = planes[0] if samples == 1 else np.dstack(planes)
    np.testing.assert_array_equal(found, expected)


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.images.dicom_lossless.BLOCK", 7)
    draw = np.random.default_rng(3)
    for samples in (1, 3):
        planes = [draw.integers(0, 1 << 16, (13, 17)).astype(np.uint16) for _ in range(samples)]
        expected = planes[0] if samples == 1 else np.dstack(planes)
        np.testing.assert_array_equal(decode_lossless(encoded(planes, 16, 1)), expected)


def test_a_frame_cut_anywhere_is_refused() -> None:
    content = encoded([np.arange(48, dtype=np.uint16).reshape(6, 8) * 900], 16, 1)
    for end in range(2, len(content) - 4, 3):
        with pytest.raises((Refusal, IndexError)):
            decode_lossless(content[:end])
