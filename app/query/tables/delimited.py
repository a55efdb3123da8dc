"""CSV and TSV files → one table; encoding and delimiter are read from the bytes."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.errors import UnreadableDocument
from app.query.tables.raw import RawTable, table_of

MAX_BYTES = 1 << 30
_FIELD_CHARS = 1 << 20
_SAMPLE_BYTES = 1 << 16


def read_delimited(path: Path, name: str, *, max_rows: int, delimiter: str | None = None) -> list[RawTable]:
    """The file's table; [] where it holds none.

    Raises:
        UnreadableDocument: it is larger than can be read, or no text.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise UnreadableDocument(f"table {name!r} has {size} bytes: use files of at most {MAX_BYTES}", code="too_large")
    text = _decoded(path.read_bytes(), name)
    found = table_of(name, _rows(text, delimiter or delimiter_of(text), name), max_rows=max_rows)
    return [] if found is None else [found]


def delimiter_of(text: str) -> str:
    """Of tab, `;`, `,`, `|`: the one that cuts most of the first lines into the same number of cells, two or more."""
    lines = text[:50_000].split("\n")[:60]
    if len(text) > 50_000:
        lines = lines[:-1]
    best, best_score = ",", 0.0
    for delimiter in "\t;,|":
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        multiple = {width: count for width, count in widths.items() if width > 1}
        if not multiple:
            continue
        width, agreeing = max(multiple.items(), key=lambda item: (item[1], item[0]))
        score = agreeing / sum(widths.values()) + width * 1e-3
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _rows(text: str, delimiter: str, name: str) -> Iterator[list[str]]:
    previous = csv.field_size_limit(_FIELD_CHARS)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    except csv.Error as error:
        raise UnreadableDocument(f"table {name!r} can't be read as rows ({error}): save it as CSV again") from None
    finally:
        csv.field_size_limit(previous)


def _decoded(content: bytes, name: str) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, "replace").replace("\x00", "")
    if b"\x00" in content[:_SAMPLE_BYTES]:
        raise UnreadableDocument(f"table {name!r} is no text: save it as CSV in UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        guess = from_bytes(content[:_SAMPLE_BYTES]).best()
        return content.decode(guess.encoding if guess is not None else "cp1252", "replace")
