"""Text-to-Cypher by schema linking: string and structural match on questions over schemas that the rules never saw.

    python benchmarks/text_to_cypher.py --data DIR [--split held] [--limit N] [--show N]

DIR (or ATTEST_DATA_DIR) holds `cypher/text2cypher.jsonl.gz` and `cypher/schemas.jsonl.gz`, which are not part of this
repository: questions over public graphs with Cypher that a language model wrote and that was executed. There is no
graph data, so nothing can be run: what is measured is likeness to that Cypher. Only references that ran and returned
rows are counted. The databases, by the SHA-256 of their names, are split in two: the rules were written looking at the
first eight (`--split seen`); the others (`--split held`) were only measured.

    string      the same statement but for the names of variables, aliases, white space, and quotes
    structural  the same pattern, conditions, order, limit and returned values, as sets; `{a: 1}` is WHERE a = 1, and
                WITH … RETURN is one projection
    asked       as structural, but whatever is returned: the references return a node or its name as it happens
    pattern     the same labels and relationships
    checked     share of the references that the checker takes (the rest uses subqueries, other functions, or walks a
                relationship against its direction): nothing above it can be reached
"""

from __future__ import annotations

import argparse
import collections
import gzip
import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.query.construction.cypher_build import build_cypher
from app.query.construction.cypher_check import DEFAULT_LIMIT, check_cypher
from app.query.construction.cypher_given import read_schema_text
from app.query.construction.cypher_parse import parse_statement
from app.query.construction.cypher_schema import CypherSchema
from app.query.construction.cypher_tree import (
    Binary,
    Call,
    Expression,
    Get,
    ListOf,
    Match,
    Parameter,
    Projection,
    Statement,
    Unary,
    Unwind,
    Value,
    Variable,
    replaced,
    statement_text,
)
from app.query.construction.cypher_tree import (
    Path as Pattern,
)

SEEN = 8
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Shape:
    """A statement without its names: what it matches, under which conditions, in which order, returning what."""

    pattern: tuple[str, ...]
    conditions: tuple[str, ...]
    order: tuple[str, ...]
    limit: int | None
    returned: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="holds cypher/")
    parser.add_argument("--split", choices=("seen", "held"), default="held")
    parser.add_argument("--limit", type=int, default=3_000, help="questions, sampled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, help="print so many questions that are wrong")
    arguments = parser.parse_args()
    folder = arguments.data / "cypher" if arguments.data else None
    if folder is None or not (folder / "text2cypher.jsonl.gz").is_file():
        print("give --data DIR (or ATTEST_DATA_DIR) with cypher/text2cypher.jsonl.gz")
        return 2
    schemas = {row["database"]: read_schema_text(row["schema"]) for row in _rows(folder / "schemas.jsonl.gz")}
    rows = _chosen(_rows(folder / "text2cypher.jsonl.gz"), schemas, arguments.split)
    rows = random.Random(arguments.seed).sample(rows, min(arguments.limit, len(rows)))
    report(rows, schemas, arguments.split, arguments.show)
    return 0


def report(rows: list[dict[str, Any]], schemas: dict[str, CypherSchema], split: str, show: int) -> None:
    """Prints one line for all questions and one for each kind."""
    totals: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    shown = 0
    started = time.perf_counter()
    for row in rows:
        scores = _scores(row, schemas[row["db"]])
        for group in ("all", row["type"], f"  {row['db']}"):
            totals[group].update(scores)
            totals[group]["n"] += 1
        if shown < show and not scores["asked"]:
            shown += 1
            print(f"\n{row['question']}\n  {' '.join(row['cypher'].split())}\n  {_built(row, schemas[row['db']])}")
    ms = (time.perf_counter() - started) * 1e3 / len(rows)
    print(f"{split}: {len(rows)} questions, {ms:.2f} ms each (the reading of both statements included)")
    print(f"{'kind':34}{'n':>6}{'built':>9}{'string':>9}{'structural':>12}{'asked':>8}{'pattern':>9}{'checked':>9}")
    for group in sorted(totals, key=lambda each: (each != "all", each)):
        counted = totals[group]
        parts = [
            counted[name] / counted["n"] for name in ("built", "string", "structural", "asked", "pattern", "checked")
        ]
        print(f"{group:34}{counted['n']:>6}" + "".join(
            f"{part:>{width}.1%}" for part, width in zip(parts, (9, 9, 12, 8, 9, 9), strict=True)))  # fmt: skip


def _scores(row: dict[str, Any], schema: CypherSchema) -> dict[str, int]:
    try:
        reference = parse_statement(row["cypher"])
    except InvalidInput:
        reference = None
    built = build_cypher(row["question"], schema)
    scores = dict.fromkeys(("string", "structural", "asked", "pattern"), 0) | {"built": int(bool(built.text))}
    scores["checked"] = int(_passes(row["cypher"], schema))
    if reference is None or not built.text:
        return scores
    ours = _with_values(built.text, built.parameters)
    mine, theirs = shape_of(ours), shape_of(reference)
    scores["string"] = int(statement_text(_renamed(ours)) == statement_text(_renamed(reference)))
    scores["pattern"] = int(mine.pattern == theirs.pattern)
    asked = replace(mine, returned=()) == replace(theirs, returned=())
    scores["asked"] = int(asked)
    scores["structural"] = int(mine == theirs)
    return scores


def _passes(text: str, schema: CypherSchema) -> bool:
    try:
        check_cypher(text, schema)
    except InvalidInput:
        return False
    return True


def _built(row: dict[str, Any], schema: CypherSchema) -> str:
    built = build_cypher(row["question"], schema)
    return statement_text(_with_values(built.text, built.parameters)) if built.text else built.explanation


def _with_values(text: str, parameters: dict[str, Any]) -> Statement:
    """The statement with its parameters' values in place, and without the limit that the checker adds."""
    statement = replaced(
        parse_statement(text), lambda leaf: Value(parameters[leaf.name]) if isinstance(leaf, Parameter) else leaf
    )
    last = statement.returned
    if last.limit == DEFAULT_LIMIT:
        last = replace(last, limit=None)
    return Statement((*statement.clauses[:-1], last))


def shape_of(statement: Statement) -> Shape:
    """The statement's shape; variables stand for their labels and aliases for what they name."""
    named: dict[str, str] = {}
    pattern: list[str] = []
    conditions: list[str] = []
    order: tuple[str, ...] = ()
    limit: int | None = None
    returned: tuple[str, ...] = ()
    for clause in statement.clauses:
        if isinstance(clause, Match):
            _name(clause.paths, named)
            for path in clause.paths:
                pattern += _pattern(path, named)
                conditions += _inline(path, named)
            conditions += _conditions(clause.where, named)
        elif isinstance(clause, Unwind):
            named[clause.alias] = f"each {_shown(clause.items, named)}"
        else:
            aliases = {item.alias: _shown(item.expression, named) for item in clause.items if item.alias}
            seen = {**named, **aliases}
            conditions += _conditions(clause.where, seen)
            if clause.order:
                order = tuple(
                    f"{_shown(by.expression, seen)} {'down' if by.descending else 'up'}" for by in clause.order
                )
            limit = clause.limit if clause.limit is not None else limit
            returned = tuple(sorted(_shown(item.expression, seen) for item in clause.items))
            returned += ("distinct",) if clause.distinct else ()
            named = seen
    kept = (each for each in conditions if not each.endswith("IS NOT NULL"))
    return Shape(tuple(sorted(pattern)), tuple(sorted(kept)), order, limit, returned)


def _name(paths: Iterable[Pattern], named: dict[str, str]) -> None:
    for path in paths:
        for node in path.nodes:
            if node.variable and (node.labels or node.variable not in named):
                named[node.variable] = ":".join(node.labels) or "?"
        for edge in path.edges:
            if edge.variable:
                named[edge.variable] = "|".join(sorted(edge.types)) or "?"


def _pattern(path: Pattern, named: dict[str, str]) -> Iterator[str]:
    labels = [named[node.variable] if node.variable else ":".join(node.labels) for node in path.nodes]
    if not path.edges:
        yield f"({labels[0]})"
    for edge, left, right in zip(path.edges, labels, labels[1:], strict=False):
        start, end = (right, left) if edge.direction == "<-" else (left, right)
        hops = f"*{edge.hops}" if edge.hops else ""
        yield f"({start})-[{'|'.join(sorted(edge.types))}{hops}]-({end})"


def _inline(path: Pattern, named: dict[str, str]) -> Iterator[str]:
    owners = [(node.properties, node.variable, ":".join(node.labels)) for node in path.nodes]
    owners += [(edge.properties, edge.variable, "|".join(sorted(edge.types))) for edge in path.edges]
    for properties, variable, label in owners:
        for name, value in properties:
            yield f"{named[variable] if variable else label}.{name} = {_shown(value, named)}"


def _conditions(where: Expression | None, named: dict[str, str]) -> Iterator[str]:
    if isinstance(where, Binary) and where.operator == "AND":
        yield from _conditions(where.left, named)
        yield from _conditions(where.right, named)
    elif where is not None:
        yield _shown(where, named)


def _shown(expression: Expression, named: dict[str, str]) -> str:
    """The expression with labels for variables; counts of rows are all alike."""
    match expression:
        case Variable(name=name):
            return named.get(name, name)
        case Value(value=value):
            return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)
        case Get(of=of, name=name):
            return f"{_shown(of, named)}.{name}"
        case Call(name=name, arguments=arguments, distinct=distinct):
            if name.lower() == "count" and not distinct:
                return "count"
            inside = ", ".join(_shown(argument, named) for argument in arguments)
            return f"{name.lower()}({'distinct ' if distinct else ''}{inside})"
        case Binary(operator=operator, left=left, right=right):
            if isinstance(left, Value) and operator in _TURNED:
                return f"{_shown(right, named)} {_TURNED[operator]} {_shown(left, named)}"
            return f"{_shown(left, named)} {operator} {_shown(right, named)}"
        case Unary(operator=operator, of=of):
            return f"{_shown(of, named)} {operator}"
        case ListOf(items=items):
            return f"[{', '.join(_shown(item, named) for item in items)}]"
        case Pattern():
            return " ".join(_pattern(expression, {**named, **{n.variable: ":".join(n.labels) for n in expression.nodes
                                                             if n.variable and n.variable not in named}}))  # fmt: skip
    return str(expression)


def _renamed(statement: Statement) -> Statement:
    """The statement with its variables numbered as they come, and without aliases that only name what is returned."""
    names: dict[str, str] = {}

    def new(name: str | None) -> str | None:
        return None if name is None else names.setdefault(name, f"v{len(names) + 1}")

    used = collections.Counter(_variables(statement))
    clauses: list[Any] = []
    for clause in statement.clauses:
        if isinstance(clause, Match):
            paths = tuple(
                replace(
                    path,
                    nodes=tuple(
                        replace(n, variable=new(n.variable if used[n.variable] > 1 else None)) for n in path.nodes
                    ),
                    edges=tuple(
                        replace(e, variable=new(e.variable if used[e.variable] > 1 else None)) for e in path.edges
                    ),
                )
                for path in clause.paths
            )
            clauses.append(replace(clause, paths=paths))
        elif isinstance(clause, Projection):
            items = tuple(
                replace(item, alias=new(item.alias) if item.alias and used[item.alias] > 1 else None)
                for item in clause.items
            )
            clauses.append(replace(clause, items=items))
        else:
            clauses.append(clause)
    return replaced(
        Statement(tuple(clauses)),
        lambda leaf: Variable(names.get(leaf.name, leaf.name)) if isinstance(leaf, Variable) else leaf,
    )


def _variables(statement: Statement) -> list[str | None]:
    found: list[str | None] = []

    def note(leaf: Expression) -> Expression:
        if isinstance(leaf, Variable):
            found.append(leaf.name)
        return leaf

    replaced(statement, note)
    for clause in statement.clauses:
        if isinstance(clause, Match):
            found += [each.variable for path in clause.paths for each in (*path.nodes, *path.edges)]
        elif isinstance(clause, Projection):
            found += [item.alias for item in clause.items]
    return found


def _chosen(rows: Iterable[dict[str, Any]], schemas: dict[str, CypherSchema], split: str) -> list[dict[str, Any]]:
    known = list(rows)
    names = sorted({row["db"] for row in known}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    wanted = set(names[:SEEN] if split == "seen" else names[SEEN:])
    return [row for row in known if row["db"] in wanted & schemas.keys() and row["ok"] and row["returns_results"]]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


if __name__ == "__main__":
    sys.exit(main())
