"""RTF: its text; tables become rows, embedded pictures and objects are left out."""

from __future__ import annotations

import re
from pathlib import Path

from app.types import LoadedDocument
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.text import read_text

_TOKEN = re.compile(
    r"\\([a-z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.I
)
_DESTINATIONS_TEXT = """
    fonttbl colortbl stylesheet info pict object objdata themedata colorschememapping datastore latentstyles listtable
    listoverridetable rsidtbl generator header headerl headerr headerf footer footerl footerr footerf fldinst xmlnstbl
    filetbl revtbl bkmkstart bkmkend nonshppict mmathpr wgrffmtfilter pnseclvl pntxta pntxtb datafield
"""
_DESTINATIONS = frozenset(_DESTINATIONS_TEXT.split())
_SPECIAL = {
    "par": "\n\n", "sect": "\n\n", "page": "\n\n", "line": "\n", "tab": "\t", "cell": "\x1f", "row": "\x1e",
    "emdash": "—", "endash": "–", "emspace": " ", "enspace": " ", "bullet": "•", "lquote": "‘", "rquote": "’",
    "ldblquote": "“", "rdblquote": "”", "nestcell": "\x1f", "nestrow": "\x1e",
}  # fmt: skip


def load_rtf(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Paragraphs and table rows of the document."""
    source, _, _ = read_text(path, "RTF", limits, "latin-1")
    builder = TextBuilder("RTF", limits)
    for paragraph in re.split(r"\n\n+", _text(source)):
        for row in paragraph.split("\x1e"):
            if "\x1f" in row:
                builder.add(
                    "table_row", " | ".join(cell for cell in (" ".join(c.split()) for c in row.split("\x1f")) if cell)
                )
            else:
                builder.add("paragraph", row)
    return builder.build(media_type)


def _text(source: str) -> str:
    codec = "cp1252"
    out: list[str] = []
    pending = bytearray()  # \'hh bytes of one multi-byte character
    stack: list[tuple[bool, int]] = []
    skipping, after_unicode, to_skip = False, 1, 0

    def flush() -> None:
        if pending:
            out.append(pending.decode(codec, "replace"))
            pending.clear()

    for match in _TOKEN.finditer(source):
        word, number, byte, symbol, brace, run = match.groups()
        if byte is not None:
            if to_skip:
                to_skip -= 1
            elif not skipping:
                pending.append(int(byte, 16))
            continue
        if brace is None and word is None and symbol is None and run is None:
            continue
        flush()
        if brace == "{":
            stack.append((skipping, after_unicode))
        elif brace == "}":
            skipping, after_unicode = stack.pop() if stack else (False, 1)
            to_skip = 0
        elif symbol is not None:
            if symbol == "*":
                skipping = True
            elif not skipping:
                out.append({"~": "\u00a0", "_": "-", "\n": "\n\n"}.get(symbol, symbol if symbol in "\\{}" else ""))
        elif word is not None:
            name = word.lower()
            if name in _DESTINATIONS:
                skipping = True
            elif name == "ansicpg" and number:
                codec = _codec(number)
            elif name == "uc" and number:
                after_unicode = int(number)
            elif name == "u" and number:
                if not skipping:
                    out.append(chr(int(number) % 0x10000))
                to_skip = after_unicode
            elif not skipping and name in _SPECIAL:
                out.append(_SPECIAL[name])
        elif run is not None:
            cut = min(to_skip, len(run))
            to_skip -= cut
            if not skipping:
                out.append(run[cut:])
    flush()
    return "".join(out)


def _codec(page: str) -> str:
    try:
        b"a".decode(f"cp{page}")
    except LookupError:
        return "cp1252"
    return f"cp{page}"
