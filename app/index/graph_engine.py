"""The graph database itself (ladybug, embedded): written once from facts, then only ever read.

The only module that knows the engine. It is an optional package: without it nothing else of Attest changes.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, MissingPackage, Unavailable
from app.index.graph_facts import VersionFacts
from app.index.graph_schema import NODES, RELATIONSHIPS

REMEDY = "install it with `pip install 'attest-rag[graph]'`"
_BUILD_BUFFER_BYTES = 512 * 2**20
_MAX_CELL_CHARS = 10_000
_LEFT_OVERS = re.compile(r"[\x00\ufffe\uffff\ud800-\udfff]")


def is_installed() -> bool:
    """Whether the graph engine can be imported here."""
    return importlib.util.find_spec("ladybug") is not None


def _engine() -> Any:
    try:
        import ladybug
    except ImportError as error:
        raise MissingPackage(f"a knowledge graph needs the package ladybug ({error}): {REMEDY}") from None
    return ladybug


@dataclass(frozen=True, slots=True)
class GraphRows:
    """What a statement returned; `truncated` where the row limit was reached: there may be more."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


def build_database(folder: Path, versions: Iterable[VersionFacts], *, name: str = "graph") -> Path:
    """A finished database in `folder` that holds these versions; the rows are streamed through files beside it.

    Raises:
        MissingPackage: the engine is not installed.
    """
    engine = _engine()
    _write_rows(folder, versions)
    path = folder / f"{name}.lbug"
    database = engine.Database(str(path), buffer_pool_size=_BUILD_BUFFER_BYTES, max_num_threads=1)
    connection = engine.Connection(database, num_threads=1)
    try:
        options = "(header=false, auto_detect=false, parallel=false, delim=',', quote='\"', escape='\"')"
        for table in NODES:
            columns = ", ".join(f"`{name}` {kind}" for name, kind in table.properties)
            connection.execute(f"CREATE NODE TABLE `{table.label}`({columns}, PRIMARY KEY(`id`))")
        for edge in RELATIONSHIPS:
            columns = "".join(f", `{name}` {kind}" for name, kind in edge.properties)
            connection.execute(f"CREATE REL TABLE `{edge.type}`(FROM `{edge.start}` TO `{edge.end}`{columns})")
        for filled in [*(table.label for table in NODES), *(edge.type for edge in RELATIONSHIPS)]:
            rows = folder / f"{filled}.csv"
            if rows.stat().st_size:
                quoted = str(rows).replace("\\", "\\\\").replace("'", "\\'")
                connection.execute(f"COPY `{filled}` FROM '{quoted}' {options}")
            rows.unlink()
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
        database.close()
    return path


def _write_rows(folder: Path, versions: Iterable[VersionFacts]) -> None:
    """One CSV file a table. Documents are written as they come; entities and metadata values are gathered."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    acronyms: dict[str, str] = {}
    values: dict[str, tuple[str, str]] = {}
    with ExitStack() as files:
        tables = [*(table.label for table in NODES), *(edge.type for edge in RELATIONSHIPS)]
        write = {
            table: csv.writer(
                files.enter_context((folder / f"{table}.csv").open("w", encoding="utf-8", newline="")),
                quoting=csv.QUOTE_ALL,
                lineterminator="\n",
            )
            for table in tables
        }

        def add(table: str, *cells: str | int) -> None:
            write[table].writerow([_LEFT_OVERS.sub("", cell) if isinstance(cell, str) else cell for cell in cells])

        for facts in versions:
            own, number = facts.document_id, facts.version
            add("Document", own, facts.title, number, facts.media_type, facts.source_url, facts.chars)
            for n, section in enumerate(facts.sections):
                id_ = f"{own}#section-{n}"
                add("Section", id_, section.title, section.level, own, number, section.char_start, section.char_end)
                add("HAS_SECTION", own, id_)
            for n, table in enumerate(facts.tables):
                id_ = f"{own}#table-{n}"
                columns = "; ".join(table.columns)
                add("Table", id_, table.title, columns, table.rows, own, number, table.char_start, table.char_end)
                add("HAS_TABLE", own, id_)
            for key, value in dict.fromkeys(facts.metadata):
                values[f"{key}={value}"] = (key, value)
                add("HAS_METADATA", own, f"{key}={value}")
            for seen in facts.mentions:
                names[seen.key][seen.name] += 1
                kinds[seen.key][seen.kind] += 1
                if seen.acronym:
                    acronyms.setdefault(seen.key, seen.acronym)
                add("MENTIONS", own, seen.key, own, number, seen.char_start, seen.char_end)
            for pair in facts.co_occurrences:
                add("CO_OCCURS", pair.first, pair.second, own, number, pair.char_start, pair.char_end, pair.count)
            for edge in facts.relations:
                add("RELATION", edge.subject, edge.object, own, number, edge.char_start, edge.char_end, edge.name)
        for id_, (key, value) in values.items():
            add("Metadata", id_, key, value)
        for key, spellings in names.items():
            name = min(spellings, key=lambda each: (-spellings[each], each))
            kind = min(kinds[key], key=lambda each: (-kinds[key][each], each))
            add("Entity", key, name, kind, acronyms.get(key, ""))


class GraphDatabase:
    """A finished database, opened to be read; use it in a `with` and in one thread.

    Args:
        path: what `build_database` made.
        buffer_bytes: the most memory that a statement's pages may take.

    Raises:
        FileNotFoundError: there is no such file (any more).
        MissingPackage: the engine is not installed.
        Unavailable: the file is none of this engine's version.
    """

    def __init__(self, path: Path, *, buffer_bytes: int = 256 * 2**20) -> None:
        engine = _engine()
        if not path.exists():
            raise FileNotFoundError(path)
        try:
            self._database = engine.Database(
                str(path), read_only=True, buffer_pool_size=buffer_bytes, max_num_threads=1
            )
            self._connection = engine.Connection(self._database, num_threads=1)
        except RuntimeError as error:
            if not path.exists():
                raise FileNotFoundError(path) from None
            raise Unavailable(f"the graph can't be opened ({str(error)[:200]}): remove it, it is built anew") from None

    def __enter__(self) -> GraphDatabase:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()
        self._database.close()

    def run(self, text: str, parameters: Mapping[str, Any], *, row_limit: int, time_limit_ms: float) -> GraphRows:
        """The rows of a statement that was checked before.

        The engine alone is no wall: `COPY (…) TO` and `EXPORT DATABASE` write files on a read-only connection too.

        Raises:
            InvalidInput: the engine refuses it. Unavailable: it took too long or too much memory.
        """
        self._connection.set_query_timeout(max(1, math.ceil(time_limit_ms)))
        # the engine's clock begins with the execution: a watch of our own covers planning
        watch = threading.Timer(2 * time_limit_ms / 1e3, self._connection.interrupt)
        watch.start()
        try:
            result = self._connection.execute(text, dict(parameters))
            if isinstance(result, list):
                raise InvalidInput("the text holds more than one statement: write exactly one")
            columns = tuple(result.get_column_names())
            rows: list[tuple[Any, ...]] = []
            while len(rows) < row_limit and result.has_next():
                rows.append(tuple(_cell(value) for value in result.get_next()))
            truncated = bool(result.has_next()) or len(rows) >= row_limit
            result.close()
        except RuntimeError as error:
            raise _refusal(str(error), time_limit_ms) from None
        finally:
            watch.cancel()
        return GraphRows(columns, tuple(rows), truncated)


def _refusal(told: str, time_limit_ms: float) -> InvalidInput | Unavailable:
    if "Interrupted" in told:
        return Unavailable(f"the statement took longer than {time_limit_ms:.0f} ms on the graph: ask for less")
    if "buffer" in told.lower() and "memory" in told.lower():
        return Unavailable("the statement needs more memory than it may take on the graph: ask for less")
    return InvalidInput(f"the graph refuses the statement: {told[:200]}")


def _cell(value: Any) -> Any:
    """A cell as JSON can say it; of nodes and edges only their own properties, long texts cut."""
    if isinstance(value, str):
        return value[:_MAX_CELL_CHARS]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _cell(each) for key, each in value.items() if not str(key).startswith("_")}
    if isinstance(value, list | tuple | set):
        return [_cell(each) for each in value]
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
