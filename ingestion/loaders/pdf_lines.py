"""A PDF page as lines of text with their place, size and weight, in the order of the page's content."""

from __future__ import annotations

import ctypes
import math
import re
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium_c

_BREAK = re.compile("\r\n|[\r\n\ufffe]")  # U+FFFE: a hyphen at the end of a line, after which pdfium puts no break
_BOLD = re.compile(r"bold|black|heavy|semibold|demi|-bd\b|黑体|simhei", re.I)
_WIDE = re.compile("[\u2e80-\uffdc]")
_NAME_BYTES = 128


@dataclass(slots=True)
class Line:
    """One line; coordinates and `size`, that of its type, are points, from the page's lower left.

    `hyphenated`: its last word goes on in the next line.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    size: float
    bold: bool
    hyphenated: bool = False
    cells: int = 1  # columns that were joined into this line
    first_left: float = -1.0  # where its last cell starts
    sparse: bool = False  # much wider than its characters: columns with wide gaps between them

    @property
    def height(self) -> float:
        return self.top - self.bottom


def page_lines(textpage: Any) -> list[Line]:
    """Lines of a pypdfium2 text page that hold a visible character."""
    text = textpage.get_text_range()
    count = textpage.count_chars()
    if len(text) != count:  # characters without a meaning are left out of the text: rebuild it one to one
        text = "".join(chr(pdfium_c.FPDFText_GetUnicode(textpage.raw, index)) for index in range(count))
    probe = _Probe(textpage)
    lines: list[Line] = []
    start = 0
    for match in [*_BREAK.finditer(text), None]:
        end = match.start() if match else len(text)
        raw = text[start:end]
        bare = raw.strip(" \t\0\u00a0\u3000")
        if bare:
            first = start + raw.index(bare[0])
            last = first + len(raw[first - start :].rstrip(" \t\0\u00a0\u3000")) - 1
            left, bottom, right, top = probe.box(first)
            left_end, bottom_end, right_end, top_end = probe.box(last)  # left of the first in Hebrew and Arabic
            size = probe.size(first, last)
            lines.append(
                Line(
                    bare.replace("\0", ""),
                    min(left, left_end),
                    min(bottom, bottom_end),
                    max(right, right_end),
                    max(top, top_end),
                    size,
                    probe.bold(first),
                    hyphenated=match is not None and match[0] == "\ufffe",
                    first_left=min(left, left_end),
                    sparse=_is_sparse(bare, max(right, right_end) - min(left, left_end), size),
                )
            )
        start = match.end() if match else end
    return lines


def _is_sparse(text: str, width: float, size: float) -> bool:
    set_solid = size * (0.52 * len(text) + 0.48 * len(_WIDE.findall(text)))
    return width > 1.3 * set_solid and width - set_solid > 4 * size


class _Probe:
    """Boxes and fonts of single characters, with the C buffers made once."""

    def __init__(self, textpage: Any) -> None:
        self._raw = textpage.raw
        self._rect = pdfium_c.FS_RECTF()
        self._matrix = pdfium_c.FS_MATRIX()
        self._name = ctypes.create_string_buffer(_NAME_BYTES)
        self._flags = ctypes.c_int()

    def box(self, index: int) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of a character, the height that of its font."""
        if not pdfium_c.FPDFText_GetLooseCharBox(self._raw, index, self._rect):
            return 0.0, 0.0, 0.0, 0.0
        return self._rect.left, self._rect.bottom, self._rect.right, self._rect.top

    def size(self, first: int, last: int) -> float:
        """Type size in points as it shows on the page: the smaller of two characters', to the half point."""
        sizes: list[float] = []
        for index in (first, last):
            scale = 1.0
            if pdfium_c.FPDFText_GetMatrix(self._raw, index, self._matrix):
                scale = math.hypot(self._matrix.c, self._matrix.d) or 1.0
            sizes.append(pdfium_c.FPDFText_GetFontSize(self._raw, index) * scale)
        return max(1.0, round(min(sizes) * 2) / 2)

    def bold(self, index: int) -> bool:
        size = pdfium_c.FPDFText_GetFontInfo(self._raw, index, self._name, _NAME_BYTES, self._flags)
        if size and _BOLD.search(self._name.value.decode("utf-8", "replace")):
            return True
        return bool(pdfium_c.FPDFText_GetFontWeight(self._raw, index) >= 600)
