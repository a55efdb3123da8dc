"""Keys that a schema does not declare, by the names of its columns: `order.customer_id` opens `customer`.

A name alone is a guess: where there are rows, `SqlSource` keeps a guess only if the two columns have values in common.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from app.query.construction.fields import stem
from app.query.construction.sql_mentions import name_stems
from app.query.construction.sql_schema import Column, ForeignKey, Table

KEY_WORDS = frozenset(stem(word) for word in ("id", "code", "key", "uid", "guid", "编号", "代码"))
_SHORT = re.compile(r"^(?P<letters>[a-z]{1,3})id$")
_COUNTS = frozenset(map(stem, ("num", "number", "no", "count", "cnt", "total", "avg", "max", "min", "has", "is")))
_LEAST = 2.0  # from which on a table's name speaks for its owning a column
_MOST = 300

Shares = Callable[[str, str, str, str], bool]
"""Whether `table.column` and `table.column` have a value in common, or one of them none at all."""


def is_key(column: Column) -> bool:
    """Whether the column is named like one that identifies rows rather than tells of them."""
    name = column.name.casefold()
    return bool(_SHORT.match(name)) or name_stems(column.name)[-1] in KEY_WORDS


def inferred_keys(tables: Sequence[Table], shares: Shares | None = None) -> dict[str, tuple[ForeignKey, ...]]:
    """Table → the keys that its columns' names make likely, without those of columns that have a declared one.

    Args:
        tables: with their declared keys.
        shares: looks at the rows; None where there are none to look at.
    """
    found: dict[str, list[ForeignKey]] = defaultdict(list)
    declared = {(table.name, key.column.casefold()) for table in tables for key in table.foreign_keys}
    tried = 0
    for table, column, owner, key in _guesses(tables):
        if (table.name, column.name.casefold()) in declared:
            continue
        tried += 1
        if tried > _MOST:
            break
        if shares is None or shares(table.name, column.name, owner.name, key.name):
            declared.add((table.name, column.name.casefold()))
            found[table.name].append(ForeignKey(column.name, owner.name, key.name))
    return {name: tuple(keys) for name, keys in found.items()}


def _guesses(tables: Sequence[Table]) -> Iterator[tuple[Table, Column, Table, Column]]:
    """(table, column, the table that it opens, the key there), the surest first for each column."""
    holders: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        for column in table.columns:
            if is_key(column):
                holders[column.name.casefold()].append(table)
    owners = {name: owner for name, having in holders.items() if (owner := _owner(name, having)) is not None}
    for table in tables:
        for column in table.columns:
            name = column.name.casefold()
            owner = owners.get(name)
            if owner is not None and owner.name != table.name:
                key = owner.get(name)
                assert key is not None
                yield table, column, owner, key
                continue
            for other in tables:
                if other.name != table.name and (opened := _opened(column, other)) is not None:
                    yield table, column, other, opened


def _owner(name: str, having: Sequence[Table]) -> Table | None:
    """The table that a key belongs to of those that have it; None where no table's name says so."""
    if len(having) < 2:
        return None
    scored = sorted(((_owns(name, table), -number) for number, table in enumerate(having)), reverse=True)
    best, number = scored[0]
    return having[-number] if best >= _LEAST else None


def _owns(name: str, table: Table) -> float:
    parts = tuple(part for part in name_stems(name) if part not in KEY_WORDS)
    words = name_stems(table.name)
    short = _SHORT.match(name)
    score = 0.0
    if parts and parts == words:
        score = 4.0
    elif short:  # "aid" opens author, "poid" purchase_order
        letters = words[0][: len(short["letters"])] if len(words) == 1 else "".join(word[0] for word in words)
        score = 3.0 if letters == short["letters"] else 0.0
    others = [column for column in table.columns if column.name.casefold() != name]
    keys = sum(is_key(column) for column in others)
    return score - keys / max(1, len(others)) + (0.5 if table.columns[0].name.casefold() == name else 0.0)


def _opened(column: Column, other: Table) -> Column | None:
    """The key of `other` that the column holds: `author_id` `author.id`, `home_airport` `airport.airport_code`."""
    parts = name_stems(column.name)
    words = name_stems(other.name)
    plain = tuple(part for part in parts if part not in KEY_WORDS)
    if not plain or plain[-len(words) :] != words or plain[0] in _COUNTS:
        return None
    role_only = plain == parts  # no key word in the name: what it holds must at least be of the key's type
    for key in other.columns:
        own = name_stems(key.name)
        if not is_key(key):
            continue
        if role_only and own[: len(words)] == words and key.type == column.type:
            return key
        if not role_only and len(own) == 1 and own[0] == parts[-1]:
            return key
    return None
