"""The tables of a statement with the keys that join them, one of them more than once where a question needs it.

"Papers written by A and B" reads the table of authors twice: one row for A and another one for B, both joined to the
same paper.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import dataclass, field

from app.query.construction.sql_schema import Join, SqlSchema

_MOST = 12  # tables of a statement
_SAID = 0.4  # what a step to a table costs that the question names; to another one 1


@dataclass(frozen=True, slots=True)
class Joined:
    """The table `table`, called `alias`, is joined where `alias.column` = `other.other_column`."""

    alias: str
    table: str
    column: str
    other: str
    other_column: str


@dataclass(slots=True)
class Instances:
    """Grows from `first`. `said`: tables that the question names, through which a path would rather lead."""

    schema: SqlSchema
    first: str
    said: Collection[str] = ()
    joins: list[Joined] = field(default_factory=list)
    _main: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._main.add(self.first)

    @property
    def count(self) -> int:
        """Tables of the statement, those that stand there twice counted twice."""
        return 1 + len(self.joins)

    def connect(self, table: str) -> bool:
        """Joins the table, and those on the way to it; False where no keys lead there."""
        path = self._path(self._main, table)
        if path is None or self.count + len(path) > _MOST:
            return False
        for join in path:
            self._main.add(join.table)
            self.joins.append(Joined(join.table, join.table, join.column, join.other, join.other_column))
        return True

    def again(self, table: str, anchor: str) -> str | None:
        """Joins another row of `table` to the row of `anchor`, with rows of its own on the way; its alias.

        None where no keys lead there. `anchor` is another table, joined already.
        """
        path = self._path({anchor}, table)
        if not path or self.count + len(path) > _MOST:
            return None
        renamed = {anchor: anchor}
        for join in path:
            alias = self._free(join.table)
            renamed[join.table] = alias
            self.joins.append(Joined(alias, join.table, join.column, renamed[join.other], join.other_column))
        return renamed[table]

    def _free(self, table: str) -> str:
        taken = {join.alias.casefold() for join in self.joins} | {known.name.casefold() for known in self.schema.tables}
        return next(name for number in range(2, 99) if (name := f"{table}_{number}").casefold() not in taken)

    def _path(self, start: Collection[str], goal: str) -> list[Join] | None:
        """The cheapest joins from any table of `start` to `goal`; ties go by name, so that the same is built always."""
        if goal in start:
            return []
        queue: list[tuple[float, int, str, tuple[Join, ...]]] = []
        for number, name in enumerate(sorted(start)):
            queue.append((0.0, number, name, ()))
        seen: set[str] = set()
        number = len(queue)
        heapq.heapify(queue)
        while queue:
            cost, _, name, path = heapq.heappop(queue)
            if name == goal:
                return list(path)
            if name in seen:
                continue
            seen.add(name)
            for join in self.schema.edges(name):
                if join.table not in seen and join.table not in start:
                    number += 1
                    step = _SAID if join.table in self.said else 1.0
                    heapq.heappush(queue, (cost + step, number, join.table, (*path, join)))
        return None
