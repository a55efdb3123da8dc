"""The tables that a question may be asked of: columns with types and sampled values, and the keys that join them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.errors import InvalidInput
from app.query.construction.fields import Field, FieldType
from app.query.construction.value_index import ValueIndex

MAX_TABLES = 100
MAX_COLUMNS = 1_000


@dataclass(frozen=True, slots=True)
class Column:
    """`values`: a bounded sample of a text column's distinct values, as they are written.

    `prose`: sentences rather than names or codes, so that it makes sense to ask what a cell is about.
    """

    name: str
    type: FieldType = "text"
    values: tuple[str, ...] = ()
    prose: bool = False

    def as_field(self) -> Field:
        """The column as a field, for what reads values, times and numbers in a question."""
        return Field(self.name, self.type, values=self.values)


def is_prose(values: Sequence[str]) -> bool:
    """Whether a column's texts are sentences, by their mean length: 4 words or 15 Chinese characters and more."""
    if not values:
        return False
    words = sum(len(value.split()) + sum("\u4e00" <= sign <= "\u9fff" for sign in value) / 4 for value in values)
    return words / len(values) >= 4


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`column` of this table refers to `to_column` of `to_table`."""

    column: str
    to_table: str
    to_column: str


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()

    def get(self, name: str) -> Column | None:
        """The column of that name; letter case ignored, as SQL does."""
        return next((column for column in self.columns if column.name.casefold() == name.casefold()), None)


@dataclass(frozen=True, slots=True)
class Join:
    """`table` joins `other`, which is in the statement already, where `table.column` = `other.other_column`."""

    table: str
    column: str
    other: str
    other_column: str


@dataclass(frozen=True, slots=True)
class SqlSchema:
    """Raises InvalidInput for no table, no column, a name twice, or more than it holds."""

    tables: tuple[Table, ...]
    _edges: dict[str, list[Join]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _indexed: list[ValueIndex] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.tables) <= MAX_TABLES:
            raise InvalidInput(f"schema has {len(self.tables)} tables: give 1 to {MAX_TABLES}")
        columns = sum(len(table.columns) for table in self.tables)
        if columns > MAX_COLUMNS:
            raise InvalidInput(f"schema has {columns} columns: use at most {MAX_COLUMNS}")
        _unique("tables", [table.name for table in self.tables])
        for table in self.tables:
            if not table.columns:
                raise InvalidInput(f"table {table.name!r} has no columns: give at least one")
            _unique(f"columns of {table.name!r}", [column.name for column in table.columns])
            for key in table.foreign_keys:
                other = self.get(key.to_table)
                if table.get(key.column) is None or other is None or other.get(key.to_column) is None:
                    raise InvalidInput(
                        f"foreign key {table.name}.{key.column} → {key.to_table}.{key.to_column} names a table or "
                        "column that the schema does not have: correct or remove it"
                    )
                self._edges.setdefault(other.name, []).append(Join(table.name, key.column, other.name, key.to_column))
                self._edges.setdefault(table.name, []).append(Join(other.name, key.to_column, table.name, key.column))

    def get(self, name: str) -> Table | None:
        """The table of that name; letter case ignored."""
        return next((table for table in self.tables if table.name.casefold() == name.casefold()), None)

    def values(self) -> ValueIndex:
        """The values of all columns, numbered in the order of tables and columns; built at the first use."""
        if not self._indexed:
            columns = tuple(column.values for table in self.tables for column in table.columns)
            self._indexed.append(ValueIndex(columns))
        return self._indexed[0]

    def edges(self, name: str) -> Sequence[Join]:
        """The tables that a key joins to the table, either way."""
        return self._edges.get(name, ())

    def joins(self, first: str, others: list[str]) -> list[Join] | None:
        """What joins `others` to `first` along the fewest foreign keys, in order; None where no keys lead there."""
        joined = {first}
        found: list[Join] = []
        for other in others:
            path = self._path(joined, other)
            if path is None:
                return None
            found += path
            joined |= {join.table for join in path}
        return found

    def _path(self, joined: set[str], goal: str) -> list[Join] | None:
        if goal in joined:
            return []
        queue: deque[tuple[str, list[Join]]] = deque((name, []) for name in sorted(joined))
        seen = set(joined)
        while queue:
            name, path = queue.popleft()
            for join in self._edges.get(name, ()):
                if join.table in seen:
                    continue
                if join.table == goal:
                    return [*path, join]
                seen.add(join.table)
                queue.append((join.table, [*path, join]))
        return None


def _unique(what: str, names: list[str]) -> None:
    folded = [name.casefold() for name in names]
    if twice := sorted({name for name in folded if folded.count(name) > 1}):
        raise InvalidInput(f"schema names the {what} {twice} twice: give each once")
    if any(not name.strip() or "\x00" in name for name in names):
        raise InvalidInput(f"schema has {what} without a name: name each")
