"""Text-to-SQL over databases of many tables that the rules never saw: execution accuracy, by kind of question.

    python -m benchmarks.text_to_sql_databases --data DIR [--half held-out] [--per-database 60] [--seed 0] [--show 0]
    python -m benchmarks.text_to_sql_databases --speed

DIR (or ATTEST_DATA_DIR) holds `sql/text2sql_8dbs.jsonl.gz` and `sql/text2sql_schemas.jsonl.gz`, which are not part of
this repository: questions with their SQL and the databases' tables, but without rows. Rows are made up here: for every
picked question the rows that its own conditions and joins ask for, so that the reference finds something, among random
ones of the same columns. A prediction is right when it returns the rows of the reference, in any order, columns in any
order; references that find nothing, or can't be run by SQLite, are left out and counted. The rules for several tables
were written looking at the databases of `DEVELOPED_ON`; the others are held out, and `--half` says which are asked.
`built` is the share of questions with a statement at all, `taken` of those whose statement a route would run: sure
enough, and leaving out no name or number of the question. The others fall back to text retrieval.

`--speed` needs no data: it times one question over made-up schemas of growing size, the first time (when the index of
their values is built) and the median of ten more.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import os
import random
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlglot
from sqlglot import exp

from app.errors import AttestError
from app.query.construction.sql_build import build_sql
from app.query.construction.sql_schema import Column, SqlSchema, Table
from app.query.construction.sql_source import SqlSource
from app.query.routing.targets import MIN_CONFIDENCE
from app.query.routing.unheard import unheard

TODAY = date(2026, 1, 1)
DEVELOPED_ON = ("academic", "advising", "geography")
_NUMBER = r"int|tinyint|smallint|bigint|float|double|decimal|number|real|year"
_IS_NUMBER = re.compile(rf"^(?:{_NUMBER})", re.IGNORECASE)
_IS_TYPE = re.compile(rf"^(?:{_NUMBER}|varchar|char|text|date|time|enum)", re.IGNORECASE)
_ROWS = 30


@dataclass(frozen=True)
class Asked:
    question: str
    reference: str  # SQLite
    kind: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="holds sql/")
    parser.add_argument("--per-database", type=int, default=60, help="questions, sampled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", choices=("dev", "held-out", "both"), default="held-out", help="databases to ask")
    parser.add_argument("--show", type=int, default=0, help="wrong ones to print, with --half dev only")
    parser.add_argument("--speed", action="store_true", help="only time a question over large schemas")
    arguments = parser.parse_args()
    if arguments.show and arguments.half != "dev":
        parser.error("--show needs --half dev: what was looked at is held out no more")
    if arguments.speed:
        return speed(random.Random(arguments.seed))
    folder = Path(arguments.data or "") / "sql"
    if not (folder / "text2sql_8dbs.jsonl.gz").is_file():
        sys.stderr.write(f"--data {arguments.data}: no sql/text2sql_8dbs.jsonl.gz in it\n")
        return 2
    told = {row["db"]: row for row in rows_of(folder / "text2sql_schemas.jsonl.gz")}
    schemas = {name: tables_of(row) for name, row in told.items()}
    asked: dict[str, list[Asked]] = collections.defaultdict(list)
    for row in rows_of(folder / "text2sql_8dbs.jsonl.gz"):
        found = read(row)
        mine = arguments.half == "both" or (row["db"] in DEVELOPED_ON) == (arguments.half == "dev")
        if found is not None and mine:
            asked[row["db"]].append(found)
    total: collections.Counter[str] = collections.Counter()
    right: collections.Counter[str] = collections.Counter()
    built: collections.Counter[str] = collections.Counter()
    taken: collections.Counter[str] = collections.Counter()
    right_taken: collections.Counter[str] = collections.Counter()
    left_out = 0
    seconds: list[float] = []
    for name in sorted(asked):
        picked = random.Random(arguments.seed).sample(asked[name], min(arguments.per_database, len(asked[name])))
        with TemporaryDirectory(prefix="attest-text-to-sql-") as home:
            path = Path(home) / f"{name}.db"
            fill(path, schemas[name], primary_keys(told[name]), picked, random.Random(arguments.seed))
            source = SqlSource(name, path, time_limit_ms=5_000, row_limit=1_000)
            schema = source.schema()
            for one in picked:
                wanted = run(path, one.reference)
                if not wanted or wanted == [(0,)]:
                    left_out += 1
                    continue
                started = time.perf_counter()
                statement = build_sql(one.question, schema, today=TODAY)
                seconds.append(time.perf_counter() - started)
                got: list[tuple[Any, ...]] = []
                if statement.text:
                    try:
                        got = list(source.execute(statement.text, statement.parameters).rows)
                    except AttestError:
                        got = []
                correct = bool(got) and same(got, wanted)
                sure = bool(statement.text) and statement.confidence >= MIN_CONFIDENCE
                sure = sure and bool(got) and not unheard(one.question, statement)
                for kind in ("all", f"database {name}", one.kind):
                    total[kind] += 1
                    right[kind] += correct
                    built[kind] += bool(statement.text)
                    taken[kind] += sure
                    right_taken[kind] += sure and correct
                if arguments.show > 0 and not correct:
                    arguments.show -= 1
                    print(f"  {one.question}\n    want {one.reference[:200]}")
                    print(f"    got  {statement.text[:200]} {statement.parameters}")
    print(f"{left_out} references without rows left out; median {1e3 * statistics.median(seconds):.1f} ms")
    print(f"{'':32}{'n':>6}{'built':>8}{'right':>8}{'of built':>10}{'taken':>8}{'right of taken':>16}")
    for kind in sorted(total):
        shares = (built[kind] / total[kind], right[kind] / total[kind], right[kind] / max(1, built[kind]))
        of_taken = (taken[kind] / total[kind], right_taken[kind] / max(1, taken[kind]))
        print(f"{kind:32}{total[kind]:>6}{shares[0]:>8.3f}{shares[1]:>8.3f}{shares[2]:>10.3f}", end="")
        print(f"{of_taken[0]:>8.3f}{of_taken[1]:>16.3f}")
    return 0


def speed(rng: random.Random) -> int:
    """Milliseconds of computing for one question, by the number of values that it could name."""

    def word() -> str:
        return "".join(rng.choice("bcdfgklmnprstv") + rng.choice("aeiou") for _ in range(rng.randint(2, 4)))

    def column(number: int) -> Column:
        values = tuple(f"{word().title()} {word().title()}" for _ in range(500)) if number % 2 else ()
        return Column(f"{word()}_{word()}{number}", "text" if values else "number", values)

    print(f"{'tables':>8}{'columns':>9}{'values':>9}{'first ms':>10}{'later ms':>10}")
    for count in (1, 10, 100):
        tables = tuple(Table(f"{word()}{n}", tuple(column(c) for c in range(10))) for n in range(count))
        schema = SqlSchema(tables)
        named = tables[-1].columns
        question = f"What is the {named[2].name} of {named[1].values[7]} with {named[4].name} over 12?"
        times = []
        for _ in range(11):
            started = time.process_time()
            statement = build_sql(question, schema, today=TODAY)
            times.append(1e3 * (time.process_time() - started))
        assert named[1].values[7] in statement.parameters.values()
        later = statistics.median(times[1:])
        print(f"{count:>8}{10 * count:>9}{2_500 * count:>9}{times[0]:>10.1f}{later:>10.1f}")
    return 0


def rows_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def tables_of(row: dict[str, Any]) -> dict[str, dict[str, bool]]:
    """Table → column → whether it holds numbers, as the set's own list of fields says, however it is laid out."""
    tables: dict[str, dict[str, bool]] = collections.defaultdict(dict)
    for cells in row["rows"]:
        told = next((cell for cell in cells[2:] if _IS_TYPE.match(cell)), None)
        if told is not None and cells[0] != "-":
            tables[cells[0].upper()][cells[1].upper()] = bool(_IS_NUMBER.match(told))
    return dict(tables)


def read(row: dict[str, Any]) -> Asked | None:
    """The question with its reference in SQLite's words; None where sqlglot can't read it."""
    try:
        tree = sqlglot.parse_one(row["sql"].rstrip("; "), dialect="mysql")
    except sqlglot.errors.SqlglotError:
        return None
    if not isinstance(tree, exp.Select) or re.search(r"\bvar\d+\b", row["sql"]):
        return None
    tables = len(list(tree.find_all(exp.Table)))
    if len(list(tree.find_all(exp.Select))) > 1:
        kind = "kind nested"
    else:
        shape = "1 table" if tables == 1 else "2 tables" if tables == 2 else "3 or more tables"
        kind = f"kind {shape}{', aggregate' if tree.find(exp.AggFunc, exp.Group) else ''}"
    return Asked(row["question"], tree.sql(dialect="sqlite"), kind)


def fill(
    path: Path, tables: dict[str, dict[str, bool]], primary: dict[str, str], picked: Sequence[Asked], rng: random.Random
) -> None:
    """A database with the rows that the picked questions ask for, and random ones of the same values."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables}
    for one in picked:
        for name, row in planted(one.reference, tables, rng):
            rows[name].append(row)
    pools: dict[tuple[str, str], list[Any]] = collections.defaultdict(list)
    for name, found in rows.items():
        for row in found:
            for column, value in row.items():
                pools[name, column].append(value)
    with closing(sqlite3.connect(path)) as connection, connection:
        for name, columns in tables.items():
            told = ", ".join(f'"{column}" {"NUMERIC" if number else "TEXT"}' for column, number in columns.items())
            opened = keys_of(name, tables, primary)
            keys = "".join(f', FOREIGN KEY ("{column}") REFERENCES "{other}" ("{column}")' for column, other in opened)
            connection.execute(f'CREATE TABLE "{name}" ({told}{keys})')
            known = [column for column in columns if pools[name, column]]
            made = [{column: rng.choice(pools[name, column]) for column in known} for _ in range(_ROWS)]
            for row in rows[name] + made:
                values = [row.get(column, random_value(column, number, rng)) for column, number in columns.items()]
                connection.execute(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(values))})', values)


def primary_keys(row: dict[str, Any]) -> dict[str, str]:
    """Column → the table whose whole primary key it is, as the set's own list of fields says."""
    at = row["header"].index("Is Primary Key")
    found: dict[str, list[str]] = collections.defaultdict(list)
    for cells in row["rows"]:
        if len(cells) > at and cells[at].casefold() in ("y", "yes", "true", "pri"):
            found[cells[0].upper()].append(cells[1].upper())
    return {columns[0]: table for table, columns in reversed(found.items()) if len(columns) == 1}


def keys_of(name: str, tables: dict[str, dict[str, bool]], primary: dict[str, str]) -> Iterable[tuple[str, str]]:
    """Columns called like the primary key of another table: the keys that the database declares."""
    for column in tables[name]:
        other = primary.get(column)
        if other is not None and other != name and other in tables:
            yield column, other


def random_value(column: str, number: bool, rng: random.Random) -> Any:
    return rng.randrange(1, 2_000) if number else f"{column.lower()} {rng.randrange(1_000)}"


def planted(reference: str, tables: dict[str, dict[str, bool]], rng: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """One row for each table of the reference, with the values that its equalities, comparisons and joins want."""
    tree = sqlglot.parse_one(reference, dialect="sqlite")
    names = {table.alias_or_name.upper(): table.name.upper() for table in tree.find_all(exp.Table)}
    values: dict[tuple[str, str], Any] = {}
    joined: list[tuple[tuple[str, str], tuple[str, str]]] = []
    for node in tree.find_all(exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like):
        left, right = node.this, node.expression
        if isinstance(left, exp.Column) and isinstance(right, exp.Column):
            joined.append((place(left, names, tables), place(right, names, tables)))
        elif isinstance(left, exp.Column) and isinstance(right, exp.Literal):
            value: Any = right.name.strip("%") if right.is_string else float(right.name)
            if not right.is_string:
                value += {"gt": 1, "lt": -1}.get(node.key, 0)
                value = int(value) if float(value).is_integer() else value
            values.setdefault(place(left, names, tables), value)
    for _ in range(len(joined) + 1):  # what is joined has one value
        for one, other in joined:
            if one in values or other in values:
                shared = values.get(one, values.get(other))
                values[one] = values[other] = shared
    for one, other in joined:
        if one not in values:
            number = tables.get(names.get(one[0], ""), {}).get(one[1], False)
            values[one] = values[other] = random_value(one[1], number, rng)

    def row(alias: str) -> dict[str, Any]:
        own = tables[names[alias]]
        return {column: value for (owner, column), value in values.items() if owner == alias and column in own}

    return [(name, row(alias)) for alias, name in names.items() if name in tables]


def place(column: exp.Column, names: dict[str, str], tables: dict[str, dict[str, bool]]) -> tuple[str, str]:
    """(alias, column): the alias is the only one whose table has it, where none is written."""
    owner = column.table.upper()
    if not owner:
        owner = next((alias for alias, name in names.items() if column.name.upper() in tables.get(name, {})), "")
    return owner, column.name.upper()


def run(path: Path, text: str) -> list[tuple[Any, ...]] | None:
    """The rows of the reference; None where SQLite can't run it."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            deadline = time.monotonic() + 5.0
            connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
            return connection.execute(text).fetchmany(1_000)
    except sqlite3.Error:
        return None


def same(got: Sequence[tuple[Any, ...]], wanted: Sequence[tuple[Any, ...]]) -> bool:
    """Whether both hold the same set of rows, whatever the order of rows and columns, letter case aside."""

    def cell(value: Any) -> str:
        return f"{value:g}" if isinstance(value, float) else str(value).casefold()

    def plain(rows: Sequence[tuple[Any, ...]]) -> set[tuple[str, ...]]:
        return {tuple(sorted(map(cell, row))) for row in rows}

    return plain(got) == plain(wanted)


if __name__ == "__main__":
    sys.exit(main())
