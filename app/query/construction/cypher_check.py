"""Whether a statement may run: it parses as one that only reads, names only what the schema has, and has a limit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from app.errors import InvalidInput
from app.query.construction.cypher_parse import parse_statement
from app.query.construction.cypher_schema import CypherSchema, Edge, Label
from app.query.construction.cypher_tree import (
    Binary,
    Call,
    EdgePattern,
    Expression,
    Get,
    ListOf,
    Match,
    NodePattern,
    Parameter,
    Path,
    Projection,
    Statement,
    Unary,
    Unwind,
    Variable,
)

DEFAULT_LIMIT = 100
MAX_SKIP = 100_000
MAX_EDGES = 8
FUNCTIONS = frozenset(
    [
        *("count", "sum", "avg", "min", "max", "collect", "size", "abs", "round", "coalesce", "labels", "label"),
        *("tolower", "toupper", "lower", "upper", "trim", "date", "datetime", "timestamp", "tointeger", "tofloat"),
    ]
)


@dataclass(frozen=True, slots=True)
class _Bound:
    """What a variable is; `names` are a node's labels or an edge's types, empty where any is meant."""

    kind: Literal["node", "edge", "value"]
    names: frozenset[str] = frozenset()


_Scope = dict[str, _Bound]


def check_cypher(
    text: str, schema: CypherSchema, *, limit: int = DEFAULT_LIMIT, parameters: Collection[str] = ()
) -> Statement:
    """The statement as it will run, with a LIMIT of at most `limit`.

    Args:
        text: as a person or a model wrote it.
        schema: the only labels, types and properties that there are.
        limit: rows.
        parameters: the names that are bound; a statement that has others is refused.

    Raises:
        InvalidInput: it is not one reading statement over the schema; the message says what is wrong.
    """
    statement = parse_statement(text)
    scope: _Scope = {}
    edges = 0
    for clause in statement.clauses:
        if isinstance(clause, Match):
            edges += sum(len(path.edges) for path in clause.paths)
            _bind(clause.paths, scope, schema)
            for path in clause.paths:
                _check_path(path, scope, schema, parameters)
            _check(clause.where, scope, schema, parameters)
        elif isinstance(clause, Unwind):
            _check(clause.items, scope, schema, parameters)
            scope[clause.alias] = _Bound("value")
        else:
            scope = _check_projection(clause, scope, schema, parameters)
    if not any(isinstance(clause, Match) for clause in statement.clauses):
        raise InvalidInput("the statement reads nothing: begin with MATCH")
    if edges > MAX_EDGES:
        raise InvalidInput(f"the statement walks {edges} relationships: use at most {MAX_EDGES}")
    return _limited(statement, limit)


def _limited(statement: Statement, limit: int) -> Statement:
    last = statement.returned
    for clause in statement.clauses:
        if isinstance(clause, Projection) and (clause.skip or 0) > MAX_SKIP:
            raise InvalidInput(f"SKIP is {clause.skip}: use at most {MAX_SKIP}")
    asked = limit if last.limit is None else min(limit, last.limit)
    return Statement((*statement.clauses[:-1], replace(last, limit=asked)))


def _bind(paths: Iterable[Path], scope: _Scope, schema: CypherSchema) -> None:
    """Gives the variables of patterns their labels and types; those that are there already gain labels."""
    for path in paths:
        for node in path.nodes:
            for label in node.labels:
                if schema.get(label) is None:
                    raise InvalidInput(
                        f"the label {label[:80]!r} is not in the schema: use one of {_names(schema.labels)}"
                    )
            if node.variable:
                _add(scope, node.variable, _Bound("node", frozenset(node.labels)))
        for edge in path.edges:
            for type_ in edge.types:
                if not schema.edges_of(type_):
                    known = ", ".join(sorted({known.type for known in schema.edges})[:30])
                    raise InvalidInput(f"the relationship {type_[:80]!r} is not in the schema: use one of {known}")
            if edge.variable:
                _add(scope, edge.variable, _Bound("value" if edge.hops else "edge", frozenset(edge.types)))
        if path.variable:
            _add(scope, path.variable, _Bound("value"))


def _add(scope: _Scope, name: str, bound: _Bound) -> None:
    before = scope.get(name)
    if before is None:
        scope[name] = bound
    elif before.kind != bound.kind:
        raise InvalidInput(f"the variable {name!r} is a {before.kind} and a {bound.kind}: use two names")
    else:
        scope[name] = replace(before, names=before.names | bound.names)


def _check_path(path: Path, scope: _Scope, schema: CypherSchema, parameters: Collection[str]) -> None:
    for node in path.nodes:
        labels = _labels(node, scope)
        for name, value in node.properties:
            _check_property(name, _Bound("node", labels), schema)
            _check(value, scope, schema, parameters)
    for edge, left, right in zip(path.edges, path.nodes, path.nodes[1:], strict=False):
        _check_edge(edge, _labels(left, scope), _labels(right, scope), schema)
        for name, value in edge.properties:
            _check_property(name, _Bound("edge", frozenset(edge.types)), schema)
            _check(value, scope, schema, parameters)


def _labels(node: NodePattern, scope: _Scope) -> frozenset[str]:
    bound = scope.get(node.variable) if node.variable else None
    return frozenset(node.labels) | (bound.names if bound else frozenset())


def _check_edge(edge: EdgePattern, left: frozenset[str], right: frozenset[str], schema: CypherSchema) -> None:
    """Whether the schema has such an edge between such nodes; a path of several steps may lead anywhere."""
    if edge.hops is not None:
        return
    candidates = [known for known in schema.edges if not edge.types or known.type in edge.types]
    forwards = any(_fits(known.start, left) and _fits(known.end, right) for known in candidates)
    backwards = any(_fits(known.start, right) and _fits(known.end, left) for known in candidates)
    if {"->": forwards, "<-": backwards, "-": forwards or backwards}[edge.direction]:
        return
    shown = f"({':'.join(sorted(left))})-[:{'|'.join(edge.types)}]-({':'.join(sorted(right))})"
    remedy = "turn its arrow round" if forwards or backwards else "use one that the schema has"
    raise InvalidInput(f"no relationship {shown} of that direction is in the schema: {remedy}")


def _fits(label: str, asked: frozenset[str]) -> bool:
    return not asked or label in asked


def _check_property(name: str, bound: _Bound, schema: CypherSchema) -> None:
    owners: Iterator[Label | Edge]
    if bound.kind == "node":
        owners = (label for label in schema.labels if not bound.names or label.name in bound.names)
    elif bound.kind == "edge":
        owners = (edge for edge in schema.edges if not bound.names or edge.type in bound.names)
    else:
        owners = iter((*schema.labels, *schema.edges))
    if not any(owner.get(name) for owner in owners):
        where = " or ".join(sorted(bound.names)) or f"any {bound.kind}"
        raise InvalidInput(f"the property {name[:80]!r} is not in {where}: use a property of the schema")


def _check_projection(clause: Projection, scope: _Scope, schema: CypherSchema, parameters: Collection[str]) -> _Scope:
    """The variables that there are behind it."""
    after: _Scope = dict(scope) if clause.star else {}
    for item in clause.items:
        _check(item.expression, scope, schema, parameters)
        name = item.alias or (item.expression.name if isinstance(item.expression, Variable) else None)
        if name is None and not clause.last:
            raise InvalidInput("WITH holds an expression without a name: write … AS name")
        if name is not None:
            own = scope.get(item.expression.name) if isinstance(item.expression, Variable) else None
            after[name] = own or _Bound("value")
    for by in clause.order:
        _check(by.expression, {**scope, **after}, schema, parameters)
    _check(clause.where, {**scope, **after}, schema, parameters)
    return after


def _check(
    expression: Expression | None, scope: Mapping[str, _Bound], schema: CypherSchema, parameters: Collection[str]
) -> None:
    match expression:
        case Variable(name=name):
            if name not in scope:
                raise InvalidInput(f"the variable {name[:80]!r} is not defined: name it in a MATCH before")
        case Parameter(name=name):
            if name not in parameters:
                raise InvalidInput(f"the parameter ${name[:80]} has no value: write the value itself")
        case Get(of=of, name=name):
            _check(of, scope, schema, parameters)
            bound = scope[of.name] if isinstance(of, Variable) else _Bound("value")
            _check_property(name, bound, schema)
        case Call(name=name, arguments=arguments, star=star):
            if name.lower() not in FUNCTIONS or (star and name.lower() != "count"):
                raise InvalidInput(
                    f"the function {name[:80]}() is not allowed: use one of {', '.join(sorted(FUNCTIONS))}"
                )
            for argument in arguments:
                _check(argument, scope, schema, parameters)
        case Binary(left=left, right=right):
            _check(left, scope, schema, parameters)
            _check(right, scope, schema, parameters)
        case Unary(of=of):
            _check(of, scope, schema, parameters)
        case ListOf(items=items):
            for item in items:
                _check(item, scope, schema, parameters)
        case Path():
            inner = dict(scope)
            _bind([expression], inner, schema)
            _check_path(expression, inner, schema, parameters)
        case _:
            pass  # a value, or nothing


def _names(labels: Iterable[Label]) -> str:
    return ", ".join([label.name for label in labels][:30])
