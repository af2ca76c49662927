"""A one-page PDF, written object by object: text in the built-in Helvetica, pictures, boxes and lines.

Enough for a report and nothing else (PDF 1.4, ISO 32000-1 §7-9). Lengths are points from the lower left corner.
Text with letters that Helvetica lacks is drawn as a picture of itself, whose words can be copied and read aloud.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from secondread.images.lettering import letters, printable

WIDTH, HEIGHT = 595.0, 842.0
AVERAGE_WIDTH = 0.5
"""Of a Helvetica letter, per point of size: good enough to break lines by."""
DOTS = 4
"""Pixels of drawn text in a point: 288 to the inch."""
Colour = tuple[float, float, float]
BLACK: Colour = (0.07, 0.1, 0.15)


@dataclass
class PdfPage:
    """A page that is drawn on, then turned into bytes."""

    drawn: list[str] = field(default_factory=list)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)

    def text(
        self, x: float, y: float, words: str, size: float = 10, bold: bool = False, colour: Colour = BLACK
    ) -> None:
        if not _built_in(words):
            self._drawn_text(x, y, words, size, bold, colour)
            return
        font = "F2" if bold else "F1"
        self.drawn.append(f"BT /{font} {size} Tf {_rgb(colour)} rg {x:.2f} {y:.2f} Td ({_escaped(words)}) Tj ET")

    def _drawn_text(self, x: float, y: float, words: str, size: float, bold: bool, colour: Colour) -> None:
        told = letters(round(size * DOTS), bold)
        line = Image.new("L", (math.ceil(told.width(words)) + 1, told.ascent + told.descent), 0)
        told.draw(ImageDraw.Draw(line), 0, 0, words, 255)
        strength = np.asarray(line, np.float32)[..., None] / 255.0
        pixels = np.round(255.0 * (1.0 - strength * (1.0 - np.asarray(colour, np.float32)))).astype(np.uint8)
        self.drawn.append(f"/Span << /ActualText <FEFF{printable(words).encode('utf-16-be').hex()}> >> BDC")
        self.picture(x, y - told.descent / DOTS, line.width / DOTS, line.height / DOTS, pixels)
        # an unseen letter: readers take the words from letters, not from pictures
        self.drawn.append(f"q BT 3 Tr /F1 {size} Tf {x:.2f} {y:.2f} Td (.) Tj ET Q EMC")

    def paragraph(
        self, x: float, y: float, words: str, width: float, size: float = 10, bold: bool = False, floor: float = 0.0
    ) -> float:
        """Text broken into lines, as many as there is room for above `floor`; gives the height left below it."""
        lines = lines_of(words, width, size, bold)
        room = max(0, int((y - floor) / (size * 1.4)) + 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], lines[room - 1] + " …"] if room else []
        for line in lines:
            self.text(x, y, line, size, bold)
            y -= size * 1.4
        return y

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        self.drawn.append(f"{_rgb(colour)} rg {x:.2f} {y:.2f} {width:.2f} {height:.2f} re f")

    def picture(self, x: float, y: float, width: float, height: float, pixels: NDArray[np.uint8]) -> None:
        """Grey [h,w] or colour [h,w,3]."""
        self.pictures.append(np.ascontiguousarray(pixels))
        self.drawn.append(f"q {width:.2f} 0 0 {height:.2f} {x:.2f} {y:.2f} cm /P{len(self.pictures) - 1} Do Q")

    def to_bytes(self, title: str) -> bytes:
        pictures = " ".join(f"/P{at} {8 + at} 0 R" for at in range(len(self.pictures)))
        fonts = "<< /F1 5 0 R /F2 6 0 R >>"
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R /Lang (en) >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH:.0f} {HEIGHT:.0f}] /Contents 4 0 R "
            f"/Resources << /Font {fonts} /XObject << {pictures} >> >> >>".encode(),
            _stream("", "\n".join(self.drawn).encode("cp1252", "replace")),
            *(
                f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode()
                for name in ("Helvetica", "Helvetica-Bold")
            ),
            f"<< /Title ({_escaped(title)}) /Producer (secondread) >>".encode("cp1252", "replace"),
            *(_picture(pixels) for pixels in self.pictures),
        ]
        return _file(objects)


def lines_of(words: str, width: float, size: float, bold: bool = False) -> list[str]:
    """Text in lines of about `width` points."""
    if _built_in(words):
        return broken(words, int(width / (size * AVERAGE_WIDTH)))
    return letters(round(size * DOTS), bold).lines(words, width * DOTS)


def _built_in(words: str) -> bool:
    """Whether Helvetica has every letter."""
    try:
        words.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def broken(words: str, most: int) -> list[str]:
    """Text in lines of at most so many letters."""
    lines, line = [], ""
    for word in (part for whole in words.split() for part in _parts(whole, most)):
        if line and len(line) + 1 + len(word) > most:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def _parts(word: str, most: int) -> list[str]:
    return [word[at : at + most] for at in range(0, len(word), most)]


def _file(objects: list[bytes]) -> bytes:
    content, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    content += b"".join(b"%010d 00000 n \n" % place for place in places)
    return content + b"trailer\n<< /Size %d /Root 1 0 R /Info 7 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        start,
    )


def _stream(entries: str, content: bytes) -> bytes:
    packed = zlib.compress(content, 6)
    return f"<< {entries} /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream"


def _picture(pixels: NDArray[np.uint8]) -> bytes:
    height, width = pixels.shape[:2]
    space = "/DeviceGray" if pixels.ndim == 2 else "/DeviceRGB"
    entries = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace {space} /BitsPerComponent 8"
    return _stream(entries, pixels.tobytes())


def _rgb(colour: Colour) -> str:
    return " ".join(f"{part:.3f}" for part in colour)


def _escaped(words: str) -> str:
    return printable(words).replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
