"""Cypher as a tree, as far as reading goes, and the tree as text again: nothing that writes can be said with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

_PLAIN = re.compile(r"[A-Za-z_\u00c0-\uffff][A-Za-z0-9_\u00c0-\uffff]*")
KEYWORDS = frozenset(
    [
        *("MATCH", "OPTIONAL", "WHERE", "RETURN", "WITH", "ORDER", "BY", "SKIP", "LIMIT", "UNWIND", "AS", "DISTINCT"),
        *("AND", "OR", "XOR", "NOT", "IN", "IS", "NULL", "TRUE", "FALSE", "CONTAINS", "STARTS", "ENDS", "ASC", "DESC"),
        *("CASE", "WHEN", "THEN", "ELSE", "END", "UNION", "ALL", "TABLE", "COLUMN", "EXISTS", "CALL", "CREATE"),
        *("DELETE", "DETACH", "SET", "REMOVE", "MERGE", "ON", "COPY", "LOAD", "FROM", "GROUP", "PRIMARY", "MACRO"),
    ]
)
_RANK = {
    "OR": 1, "XOR": 2, "AND": 3, "NOT": 4, "=": 5, "<>": 5, "<": 5, "<=": 5, ">": 5, ">=": 5, "IN": 6, "CONTAINS": 6,
    "STARTS WITH": 6, "ENDS WITH": 6, "IS NULL": 6, "IS NOT NULL": 6, "+": 7, "-": 7, "*": 8, "/": 8, "%": 8, "neg": 9,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    name: str


@dataclass(frozen=True, slots=True)
class Get:
    """`of.name`"""

    of: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`; `star` for `count(*)`."""

    name: str
    arguments: tuple[Expression, ...] = ()
    distinct: bool = False
    star: bool = False


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Unary:
    """NOT, neg, IS NULL, IS NOT NULL."""

    operator: str
    of: Expression


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class NodePattern:
    variable: str | None = None
    labels: tuple[str, ...] = ()
    properties: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True, slots=True)
class EdgePattern:
    """`hops` is (least, most) of a path of variable length, None for a single edge."""

    variable: str | None = None
    types: tuple[str, ...] = ()
    properties: tuple[tuple[str, Expression], ...] = ()
    direction: Literal["->", "<-", "-"] = "->"
    hops: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """Nodes and the edges between them; `nodes` has one more than `edges`."""

    nodes: tuple[NodePattern, ...]
    edges: tuple[EdgePattern, ...] = ()
    variable: str | None = None


Expression = Value | Parameter | Variable | Get | Call | Binary | Unary | ListOf | Path


@dataclass(frozen=True, slots=True)
class Match:
    paths: tuple[Path, ...]
    where: Expression | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Unwind:
    items: Expression
    alias: str


@dataclass(frozen=True, slots=True)
class Item:
    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    expression: Expression
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Projection:
    """RETURN, or WITH where `last` is false; `star` passes everything on."""

    items: tuple[Item, ...]
    last: bool = True
    distinct: bool = False
    star: bool = False
    order: tuple[Order, ...] = ()
    skip: int | None = None
    limit: int | None = None
    where: Expression | None = None


Clause = Match | Unwind | Projection


@dataclass(frozen=True, slots=True)
class Statement:
    clauses: tuple[Clause, ...]

    @property
    def returned(self) -> Projection:
        """The RETURN that every statement ends with."""
        last = self.clauses[-1]
        assert isinstance(last, Projection)
        return last


def name_text(name: str) -> str:
    """The name as it stands in a statement, quoted where it has to be."""
    if _PLAIN.fullmatch(name) and name.upper() not in KEYWORDS:
        return name
    return "`" + name.replace("`", "``") + "`"


def statement_text(statement: Statement) -> str:
    """The statement as text that parses to an equal tree."""
    return " ".join(_clause(clause) for clause in statement.clauses)


def replaced(statement: Statement, change: Callable[[Expression], Expression]) -> Statement:
    """The statement with `change` applied, in order, to the values, parameters and variables of its expressions."""

    def expression(each: Expression) -> Expression:
        match each:
            case Get():
                return replace(each, of=expression(each.of))
            case Call():
                return replace(each, arguments=tuple(map(expression, each.arguments)))
            case Binary():
                return replace(each, left=expression(each.left), right=expression(each.right))
            case Unary():
                return replace(each, of=expression(each.of))
            case ListOf():
                return replace(each, items=tuple(map(expression, each.items)))
            case Path():
                return path(each)
            case _:
                return change(each)

    def properties(given: tuple[tuple[str, Expression], ...]) -> tuple[tuple[str, Expression], ...]:
        return tuple((name, expression(value)) for name, value in given)

    def path(each: Path) -> Path:
        nodes = tuple(replace(node, properties=properties(node.properties)) for node in each.nodes)
        edges = tuple(replace(edge, properties=properties(edge.properties)) for edge in each.edges)
        return replace(each, nodes=nodes, edges=edges)

    def clause(each: Clause) -> Clause:
        if isinstance(each, Unwind):
            return replace(each, items=expression(each.items))
        if isinstance(each, Match):
            paths = tuple(map(path, each.paths))
            return replace(each, paths=paths, where=expression(each.where) if each.where is not None else None)
        items = tuple(replace(item, expression=expression(item.expression)) for item in each.items)
        order = tuple(replace(by, expression=expression(by.expression)) for by in each.order)
        where = expression(each.where) if each.where is not None else None
        return replace(each, items=items, order=order, where=where)

    return Statement(tuple(clause(each) for each in statement.clauses))


def parameterized(statement: Statement, *, taken: Collection[str] = ()) -> tuple[Statement, dict[str, Any]]:
    """The statement with every value as a bound parameter `$p1`, `$p2`, …; null, true and false stay as they are.

    Names in `taken` are bound already and not given out again.
    """
    parameters: dict[str, Any] = {}
    names = (name for name in (f"p{n}" for n in count(1)) if name not in taken)

    def change(leaf: Expression) -> Expression:
        if not isinstance(leaf, Value) or leaf.value is None or isinstance(leaf.value, bool):
            return leaf
        name = next(names)
        parameters[name] = leaf.value
        return Parameter(name)

    return replaced(statement, change), parameters


def _clause(clause: Clause) -> str:
    if isinstance(clause, Unwind):
        return f"UNWIND {expression_text(clause.items)} AS {name_text(clause.alias)}"
    where = f" WHERE {expression_text(clause.where)}" if clause.where is not None else ""
    if isinstance(clause, Match):
        return ("OPTIONAL MATCH " if clause.optional else "MATCH ") + ", ".join(map(_path, clause.paths)) + where
    items = ["*"] if clause.star else []
    for item in clause.items:
        alias = f" AS {name_text(item.alias)}" if item.alias is not None else ""
        items.append(expression_text(item.expression) + alias)
    text = ("RETURN " if clause.last else "WITH ") + ("DISTINCT " if clause.distinct else "") + ", ".join(items)
    if clause.order:
        by = [expression_text(each.expression) + (" DESC" if each.descending else "") for each in clause.order]
        text += " ORDER BY " + ", ".join(by)
    text += f" SKIP {clause.skip}" if clause.skip is not None else ""
    text += f" LIMIT {clause.limit}" if clause.limit is not None else ""
    return text + where


def expression_text(expression: Expression, above: int = 0) -> str:
    """The expression as text, in brackets where what stands around it binds closer than `above`."""
    match expression:
        case Value(value=str() as value):
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
        case Value(value=value):
            return json.dumps(value)
        case Parameter(name=name):
            return f"${name}"
        case Variable(name=name):
            return name_text(name)
        case Get(of=of, name=name):
            return f"{expression_text(of, 10)}.{name_text(name)}"
        case Call():
            inside = "*" if expression.star else ", ".join(map(expression_text, expression.arguments))
            return f"{expression.name}({'DISTINCT ' if expression.distinct else ''}{inside})"
        case ListOf(items=items):
            return f"[{', '.join(map(expression_text, items))}]"
        case Path():
            return _path(expression)
        case Binary(operator=operator):
            rank = _RANK[operator]
            text = f"{expression_text(expression.left, rank)} {operator} {expression_text(expression.right, rank + 1)}"
        case Unary(operator=operator, of=of):
            rank = _RANK[operator]
            inner = expression_text(of, rank + 1)
            text = f"-{inner}" if operator == "neg" else f"NOT {inner}" if operator == "NOT" else f"{inner} {operator}"
    return f"({text})" if rank < above else text


def _path(path: Path) -> str:
    text = f"{name_text(path.variable)} = " if path.variable else ""
    text += _node(path.nodes[0])
    for edge, node in zip(path.edges, path.nodes[1:], strict=True):
        text += _edge(edge) + _node(node)
    return text


def _node(node: NodePattern) -> str:
    labels = "".join(f":{name_text(label)}" for label in node.labels)
    return f"({name_text(node.variable) if node.variable else ''}{labels}{_properties(node.properties)})"


def _edge(edge: EdgePattern) -> str:
    types = ":" + "|".join(map(name_text, edge.types)) if edge.types else ""
    hops = f"*{edge.hops[0]}..{edge.hops[1]}" if edge.hops else ""
    inside = f"{name_text(edge.variable) if edge.variable else ''}{types}{hops}{_properties(edge.properties)}"
    body = f"-[{inside}]-" if inside else "--"
    return ("<" if edge.direction == "<-" else "") + body + (">" if edge.direction == "->" else "")


def _properties(properties: tuple[tuple[str, Expression], ...]) -> str:
    if not properties:
        return ""
    return " {" + ", ".join(f"{name_text(name)}: {expression_text(value)}" for name, value in properties) + "}"
