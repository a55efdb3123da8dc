"""Single-table text-to-SQL by schema linking: logical-form and execution accuracy on WikiSQL's questions.

    python benchmarks/text_to_sql.py --data DIR [--split dev] [--limit N] [--show N]

DIR (or ATTEST_DATA_DIR) holds `sql/wikisql.jsonl.gz`, which is not part of this repository: questions with their SQL,
but without the tables. So a table's columns are those that its own questions use (the real tables have more), and its
rows are made up here: the literals of its questions plus literals of the same columns elsewhere, in random order. Both
make the task easier than the original, and so does this: a column counts as a number where the reference sums, averages
or compares it, which leaks a little of the reference in both rows. `names` shows what is left when the builder sees no
cells at all. A prediction
is right in logical form when aggregate, column and the set of conditions are the reference's, letter case ignored;
right in execution when it returns the same rows. References that still hold a template's variable are left out.
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
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from app.query.construction.sql_build import build_sql
from app.query.construction.sql_schema import Column, SqlSchema, Table
from app.query.construction.sql_statement import Statement

TABLE = "facts"
TODAY = date(2026, 1, 1)
_REFERENCE = re.compile(r"SELECT (?:(COUNT|MAX|MIN|SUM|AVG) )?(\S+)_FIELD FROM TABLE(?: WHERE (.*?))? ;$")
_CONDITION = re.compile(r"(\S+)_FIELD (=|>|<) (.*)$")
_NUMBER = re.compile(r"[-−+]?\$?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?|[-−+]?\d+(?:\.\d+)?")
_ROWS = 16


@dataclass(frozen=True)
class Reference:
    question: str
    table: str
    aggregate: str | None
    column: str
    conditions: tuple[tuple[str, str, str], ...]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="holds sql/")
    parser.add_argument("--split", default="dev", help="dev is held out: the rules were written looking at train")
    parser.add_argument("--limit", type=int, default=2_000, help="questions, sampled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="wrong ones to print (not of dev, if you mean to tune)")
    arguments = parser.parse_args()
    path = Path(arguments.data or "") / "sql" / "wikisql.jsonl.gz"
    if not path.is_file():
        sys.stderr.write(f"--data {arguments.data}: no sql/wikisql.jsonl.gz in it\n")
        return 2
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    references = [found for row in rows if row["split"] == arguments.split and (found := read(row))]
    pools, tables = gather(references)
    picked = random.Random(arguments.seed).sample(references, min(arguments.limit, len(references)))
    print(f"{len(picked)} of {len(references)} questions of {arguments.split}")
    for cells in (True, False):
        report(picked, tables, pools, cells=cells, show=arguments.show if cells else 0)
    return 0


def read(row: dict[str, str]) -> Reference | None:
    """The reference as parts; None where it is no statement of that form or holds a template's variable."""
    match = _REFERENCE.match(row["sql"])
    if match is None:
        return None
    conditions = []
    for part in re.split(r" AND (?=\S+_FIELD (?:=|>|<) )", match[3] or ""):
        found = _CONDITION.match(part)
        if found is None and part:
            return None
        if found:
            value = found[3].strip().strip('"').strip()
            if re.fullmatch(r"var\d+", value):
                return None
            conditions.append((name(found[1]), found[2], value))
    return Reference(row["question"], row["table"], match[1], name(match[2]), tuple(conditions))


def name(field: str) -> str:
    return field.replace("_", " ").strip()


def gather(references: list[Reference]) -> tuple[dict[str, list[str]], dict[str, dict[str, list[str]]]]:
    """Column name → literals anywhere; table → column → its own literals (and whether it is summed or compared)."""
    pools: dict[str, list[str]] = collections.defaultdict(list)
    tables: dict[str, dict[str, list[str]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for reference in references:
        tables[reference.table][reference.column]
        for column, _, value in reference.conditions:
            tables[reference.table][column].append(value)
            pools[column.casefold()].append(value)
    return pools, tables


def made_table(
    own: dict[str, list[str]], numeric: set[str], pools: dict[str, list[str]], seed: str
) -> tuple[tuple[Column, ...], list[tuple[Any, ...]]]:
    """Columns with types, and rows: the table's own literals among others of the same columns."""
    rng = random.Random(seed)
    cells: list[list[Any]] = []
    columns = []
    for column in sorted(own):
        literals = list(dict.fromkeys(own[column]))
        others = [value for value in pools.get(column.casefold(), ()) if value not in literals]
        literals += rng.sample(others, min(len(others), _ROWS - 4))
        is_number = column in numeric or (bool(literals) and all(_NUMBER.fullmatch(value) for value in literals))
        if is_number:
            values: list[Any] = [number(value) for value in literals if _NUMBER.fullmatch(value)]
            values += [rng.randrange(1, 100) for _ in range(_ROWS - len(values))]
        else:
            values = literals or [f"{column} {index}" for index in range(4)]
        shown = () if is_number else tuple(dict.fromkeys(map(str, values)))
        columns.append(Column(column, "number" if is_number else "text", shown))
        cells.append([rng.choice(values) for _ in range(4 * _ROWS)])
    return tuple(columns), list(zip(*cells, strict=True))


def number(text: str) -> float:
    return float(re.sub(r"[,$%+]", "", text).replace("−", "-"))


def report(
    picked: list[Reference],
    tables: dict[str, dict[str, list[str]]],
    pools: dict[str, list[str]],
    *,
    cells: bool,
    show: int,
) -> None:
    """One line of accuracies, by kind of question."""
    numeric: dict[str, set[str]] = collections.defaultdict(set)
    for reference in picked:
        if reference.aggregate in ("SUM", "AVG"):
            numeric[reference.table].add(reference.column)
        for column, operator, _ in reference.conditions:
            if operator != "=":
                numeric[reference.table].add(column)
    right: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    seconds = []
    for reference in picked:
        columns, rows = made_table(tables[reference.table], numeric[reference.table], pools, reference.table)
        shown = columns if cells else tuple(Column(column.name, column.type) for column in columns)
        started = time.perf_counter()
        statement = build_sql(reference.question, SqlSchema((Table(TABLE, shown),)), today=TODAY)
        seconds.append(time.perf_counter() - started)
        form = logical_form(statement)
        wanted = (
            reference.aggregate,
            reference.column.casefold(),
            frozenset(
                (column.casefold(), operator, literal(value)) for column, operator, value in reference.conditions
            ),
        )
        executed = same_rows(statement, reference, columns, rows)
        exact = form == wanted
        kinds = ["all", "aggregate" if reference.aggregate else "lookup", f"{len(reference.conditions)} conditions"]
        for kind in kinds:
            total[kind] += 1
            right[f"{kind} form"] += exact
            right[f"{kind} execution"] += executed
        if form is not None:
            total["built"] += 1
            right["built form"] += exact
            right["aggregate part"] += form[0] == wanted[0]
            right["column part"] += form[1] == wanted[1]
            right["conditions part"] += form[2] == wanted[2]
        if show > 0 and not exact:
            show -= 1
            print(f"  Q {reference.question}\n    want {wanted}\n    got  {form}  columns {[c.name for c in columns]}")
    count = total["all"]
    parts = ", ".join(f"{part} {right[f'{part} part'] / count:.3f}" for part in ("aggregate", "column", "conditions"))
    print(f"\n{'names and cells' if cells else 'names only'}: built {total['built'] / count:.3f}; parts: {parts}; "
          f"median {1e3 * sorted(seconds)[count // 2]:.2f} ms")  # fmt: skip
    for kind in sorted(total):
        if kind != "built":
            form_share, run_share = right[f"{kind} form"] / total[kind], right[f"{kind} execution"] / total[kind]
            print(f"  {kind:<14} n {total[kind]:>5}  logical form {form_share:.3f}  execution {run_share:.3f}")


def logical_form(statement: Statement) -> tuple[str | None, str, frozenset[tuple[str, str, Any]]] | None:
    """(aggregate, column, conditions) of a statement of ours; None where none was built or it has another form."""
    if not statement.text:
        return None
    tree = sqlglot.parse_one(statement.text, dialect="sqlite")
    selected = tree.expressions[0]
    aggregate = selected.key.upper() if isinstance(selected, exp.AggFunc) else None
    column = selected.find(exp.Column)
    conditions = []
    where = tree.args.get("where")
    for node in where.find_all(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between) if where else ():
        operator = {"eq": "=", "gt": ">", "lt": "<"}.get(node.key, node.key)
        bound = node.find(exp.Placeholder)
        conditions.append((node.find(exp.Column).name.casefold(), operator, literal(statement.parameters[bound.name])))
    if tree.args.get("order") or tree.args.get("group"):
        aggregate = "OTHER"
    return aggregate, column.name.casefold() if column else "*", frozenset(conditions)


def literal(value: Any) -> Any:
    """A literal as it is compared: numbers as numbers, text without case, quotes and runs of white space."""
    text = str(value).strip()
    if _NUMBER.fullmatch(text):
        return number(text)
    return re.sub(r"\s+", " ", text.strip("\"' ").casefold())


def same_rows(
    statement: Statement, reference: Reference, columns: tuple[Column, ...], rows: list[tuple[Any, ...]]
) -> bool:
    """Whether both return the same rows, in any order, on the table that was made up."""
    if not statement.text:
        return False
    connection = sqlite3.connect(":memory:")
    try:
        quoted = ", ".join('"' + column.name.replace('"', '""') + '"' for column in columns)
        connection.execute(f"CREATE TABLE {TABLE} ({quoted})")
        connection.executemany(f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(columns))})", rows)
        got = connection.execute(statement.text, statement.parameters).fetchall()
        picked = '"' + reference.column.replace('"', '""') + '"'
        picked = f"{reference.aggregate}({picked})" if reference.aggregate else picked
        conditions, bound = [], []
        for column, operator, value in reference.conditions:
            quoted_column = column.replace('"', '""')
            conditions.append(f'"{quoted_column}" COLLATE NOCASE {operator} ?')
            kind = next(entry.type for entry in columns if entry.name == column)
            bound.append(number(value) if kind == "number" and _NUMBER.fullmatch(value) else value)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        wanted = connection.execute(f"SELECT {picked} FROM {TABLE}{where} LIMIT 100", bound).fetchall()
        return sorted(map(repr, got)) == sorted(map(repr, wanted))
    except sqlite3.Error:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
