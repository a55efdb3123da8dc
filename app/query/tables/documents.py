"""The documents of a collection that are tables, as a source: their bytes are read again, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

from app.errors import AttestError
from app.index.table_documents import TableVersion
from app.query.construction.sql_schema import MAX_TABLES
from app.query.tables.files import MAX_ROWS, read_tables
from app.query.tables.loaded import Contents
from app.query.tables.table_file import Placed

MEDIA_TYPES = (
    "text/csv",
    "text/tab-separated-values",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)
MAX_BYTES = 256 << 20
"""Of all files of one collection together; later ones are left out, which is said."""

Versions = tuple[Sequence[TableVersion], int]


def documents_of(
    versions: Callable[[int], Versions],
    texts: Callable[[Sequence[int]], dict[int, str]],
    blob: Callable[[str], Path],
) -> Contents:
    """What a collection's table documents hold now.

    Args:
        versions: the newest so many of them that serve, and how many there are.
        texts: extracted text by version id.
        blob: where the bytes with a sha256 are.
    """
    found, total = versions(MAX_TABLES)

    def load() -> tuple[Sequence[Placed], Sequence[str]]:
        tables: list[Placed] = []
        missing = [f"only the newest {len(found)} of {total} tables were taken"] if total > len(found) else []
        room = MAX_BYTES
        for entry in found:
            if entry.bytes > room:
                missing.append(f"{entry.title!r} was left out: a collection's tables hold at most {MAX_BYTES} bytes")
                continue
            room -= entry.bytes
            text = texts([entry.version_id]).get(entry.version_id)
            name = PurePath(entry.filename or entry.title).stem or entry.title
            try:
                read = read_tables(blob(entry.sha256), name, media_type=entry.media_type, max_rows=MAX_ROWS)
            except AttestError as error:
                missing.append(error.message)
            except OSError as error:
                missing.append(f"{name!r} can't be read ({type(error).__name__})")
            else:
                tables += [Placed(raw, entry.version_id, text) for raw in read]
        return tables, missing

    return Contents(tuple((entry.version_id, entry.sha256, entry.title) for entry in found), load)
