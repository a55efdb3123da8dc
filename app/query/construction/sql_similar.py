"""`similar(column, 'phrase')` in a WHERE: relational conditions first, then the meaning of what is left of the rows.

The plan of `SELECT … WHERE amount > 100 AND similar(comment, 'late delivery') LIMIT 5`:

1. the relational part alone runs on the source, with the column's text beside what is asked, up to `MAX_ROWS` rows;
2. phrase and distinct texts are embedded, up to `MAX_TEXTS` of them; a row's similarity is the cosine of the two;
3. rows under the floor fall out, the others are ordered by similarity (ties by their order) unless the statement has an
   ORDER BY of its own, and the limit applies.

Under an aggregate or a GROUP BY the rows that pass go back into the statement by their ids, so COUNT and AVG are the
database's own. The floor decides membership there; where rows are only ranked, it merely cuts the tail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from app.errors import Cancelled, InvalidInput
from app.protocols import Encoder
from app.query.construction.sql_check import check_statement
from app.query.construction.sql_engine import Rows, SqlEngine
from app.query.construction.sql_rows import is_plain
from app.query.construction.sql_schema import SqlSchema

FUNCTION = "SIMILAR"
MAX_ROWS = 5_000
MAX_TEXTS = 2_000
FLOOR = 0.3
"""Cosine under which a text is not about the phrase; a third argument of `similar` takes its place."""
_TEXT_CHARS = 1_000
_MAX_PHRASE_CHARS = 500
_BATCH = 128

Nearest = Callable[[str, str], Sequence[int]]
"""(table, phrase) → rowids of the rows in the chunks that are nearest to the phrase, best first; () where unknown."""


@dataclass(frozen=True, slots=True)
class Similar:
    """The predicate: `column` of `table` (its name or alias in the statement) near `phrase`, at least `floor`."""

    table: str
    column: str
    phrase: str
    floor: float


@dataclass(frozen=True, slots=True)
class SemanticRows:
    """`similarities`: of each row, where rows are ranked. `explanation`: the plan with what each step left over.

    `behind`: (table, rowid) pairs of the rows that an aggregate was computed from, most similar first.
    """

    rows: Rows
    similarities: tuple[float, ...]
    explanation: str
    behind: tuple[tuple[tuple[str, int], ...], ...] = ()


def has_similar(text: str) -> bool:
    """Whether the statement may hold the predicate; `split_similar` says for certain."""
    return "similar" in text.lower()


def split_similar(
    text: str, schema: SqlSchema, parameters: Mapping[str, Any], *, limit: int
) -> tuple[str, Similar | None]:
    """(the checked statement without the predicate, the predicate); the statement as it was checked without one.

    Raises:
        InvalidInput: the rest of the statement may not run, or the predicate stands where it can't be planned: it must
            be the only one, a condition of WHERE by itself or joined by AND, over a text column of the schema.
    """
    if not has_similar(text):
        return check_statement(text, schema, limit=limit), None
    try:
        tree = sqlglot.parse_one(text, dialect="sqlite")
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError) as error:
        raise InvalidInput(f"the statement can't be parsed as SQL ({str(error)[:120]}): write one SELECT") from None
    calls = [call for call in tree.find_all(exp.Anonymous) if str(call.this).upper() == FUNCTION]
    if not calls:
        return check_statement(text, schema, limit=limit), None
    where = tree.args.get("where") if isinstance(tree, exp.Select) else None
    conditions = (
        list(where.this.flatten()) if where and isinstance(where.this, exp.And) else [where.this] if where else []
    )
    bare = [_bare(condition) for condition in conditions]
    if len(calls) != 1 or not any(condition is calls[0] for condition in bare):
        raise InvalidInput(
            f"similar(column, 'phrase') stands {len(calls)} times or not as a condition of its own: use it once, in "
            "WHERE, joined to others by AND"
        )
    arguments = calls[0].expressions
    column = arguments[0] if arguments else None
    if len(arguments) not in (2, 3) or not isinstance(column, exp.Column):
        raise InvalidInput("similar takes a column, a phrase and perhaps a least similarity: similar(comment, 'late')")
    rest = [condition for condition, inner in zip(conditions, bare, strict=True) if inner is not calls[0]]
    tree.set("where", exp.Where(this=exp.and_(*rest, copy=False)) if rest else None)
    checked = check_statement(tree.sql(dialect="sqlite"), schema, limit=limit)
    phrase = _argument(arguments[1], parameters)
    floor = _argument(arguments[2], parameters) if len(arguments) == 3 else FLOOR
    if not isinstance(phrase, str) or not phrase.strip() or len(phrase) > _MAX_PHRASE_CHARS:
        raise InvalidInput(f"the phrase of similar must be text of 1 to {_MAX_PHRASE_CHARS} characters")
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not -1 <= floor <= 1:
        raise InvalidInput(f"the least similarity {str(floor)[:20]!r} must be a number from -1 to 1")
    table = _owner(checked, column, schema)
    return checked, Similar(table, column.name, phrase.strip(), float(floor))


def execute_similar(
    engine: SqlEngine,
    encoder: Encoder,
    text: str,
    parameters: Mapping[str, Any],
    *,
    row_ids: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    nearest: Nearest | None = None,
) -> SemanticRows:
    """The rows of a statement with or without the predicate.

    Args:
        engine: what holds the tables.
        encoder: embeds phrase and texts.
        text: the statement.
        parameters: bound to its names.
        row_ids: as of `SqlEngine.execute`.
        cancelled: asked between two batches of texts.
        nearest: the vector index, for tables whose rows stand in its chunks; asked where the relational conditions
            leave more rows than can be embedded. None: only the first `MAX_ROWS` of them are looked at.

    Raises:
        InvalidInput: as `split_similar`, or an aggregate over a source without row ids.
        Unavailable: as `SqlEngine.execute`. Cancelled: `cancelled()` was true.
    """
    checked, similar = split_similar(text, engine.schema(), parameters, limit=engine.row_limit)
    if similar is None:
        rows = engine.execute(checked, parameters, row_ids=row_ids)
        return SemanticRows(rows, (), "")
    started = time.monotonic()
    tree = sqlglot.parse_one(checked, dialect="sqlite")
    assert isinstance(tree, exp.Select)
    plain = is_plain(tree)
    candidates = _candidates(tree, similar, plain=plain)
    # ids are only needed to go back under an aggregate, or where the caller cites rows
    found = engine.execute(candidates, _used(candidates, parameters), limit=MAX_ROWS, row_ids=row_ids or not plain)
    narrowed = nearest(_table_of(tree, similar), similar.phrase) if nearest is not None and found.truncated else ()
    if narrowed:
        only = (similar.table, narrowed[:MAX_ROWS])
        used = _used(candidates, parameters)
        found = engine.execute(candidates, used, limit=MAX_ROWS, row_ids=row_ids or not plain, only=only)
    scores, dropped = _scores(encoder, similar, [row[-1] for row in found.rows], cancelled)
    passing = [place for place, score in enumerate(scores) if score is not None and score >= similar.floor]
    told = _told(similar, found, len(passing), dropped, len(narrowed))
    if not plain:
        ids = [row_id for place in passing for table, row_id in found.row_ids[place] if _is(table, tree, similar)]
        rows = engine.execute(checked, _used(checked, parameters), only=(similar.table, sorted(set(ids))))
        ranked = sorted(passing, key=lambda place: -(scores[place] or 0.0))
        return SemanticRows(rows, (), told, tuple(found.row_ids[place] for place in ranked))
    if not tree.args.get("order"):
        passing.sort(key=lambda place: (-(scores[place] or 0.0), place))
        told += " The most similar come first."
    limit = int(tree.args["limit"].expression.name)
    offset = int(tree.args["offset"].expression.name) if tree.args.get("offset") else 0
    kept = passing[offset : offset + limit]
    rows = Rows(
        found.columns[:-1],
        tuple(found.rows[place][:-1] for place in kept),
        len(passing) > offset + limit or found.truncated,
        (time.monotonic() - started) * 1e3,
        tuple(found.row_ids[place] for place in kept) if row_ids and found.row_ids else (),
    )
    return SemanticRows(rows, tuple(round(scores[place] or 0.0, 4) for place in kept), told)


def _candidates(tree: exp.Select, similar: Similar, *, plain: bool) -> str:
    """The relational part: what is asked and the text where rows are ranked, the text alone under an aggregate."""
    text = exp.column(
        exp.to_identifier(similar.column, quoted=True), table=exp.to_identifier(similar.table, quoted=True)
    )
    base = tree.copy()
    for part in ("limit", "offset", *(() if plain else ("group", "having", "distinct", "order"))):
        base.set(part, None)
    if not plain:
        base.set("expressions", [])
    return base.select(text).where(exp.Not(this=exp.Is(this=text.copy(), expression=exp.Null()))).sql(dialect="sqlite")


def _scores(
    encoder: Encoder, similar: Similar, texts: Sequence[Any], cancelled: Callable[[], bool]
) -> tuple[list[float | None], int]:
    """(the cosine of each text with the phrase; None for those past the bound, how many distinct ones those are)."""
    distinct = list(dict.fromkeys(str(text)[:_TEXT_CHARS] for text in texts))
    embedded = distinct[:MAX_TEXTS]
    known: dict[str, float] = {}
    if embedded:
        phrase = encoder.encode_queries([similar.phrase])[0]
        for start in range(0, len(embedded), _BATCH):
            if cancelled():
                raise Cancelled("the request was cancelled")
            batch = embedded[start : start + _BATCH]
            known |= dict(zip(batch, (float(value) for value in encoder.encode_passages(batch) @ phrase), strict=True))
    return [known.get(str(text)[:_TEXT_CHARS]) for text in texts], len(distinct) - len(embedded)


def _told(similar: Similar, found: Rows, passing: int, dropped: int, narrowed: int) -> str:
    told = (
        f"the other conditions leave {len(found.rows)} rows; of them {passing} have a {similar.column} whose "
        f"similarity to {similar.phrase!r} is at least {similar.floor:g}."
    )
    if narrowed:
        told = f"too many rows to look at each: of the {narrowed} in the chunks nearest to the phrase, {told}"
    elif found.truncated:
        told += f" Only the first {len(found.rows)} rows that the other conditions leave were looked at."
    if dropped:
        told += f" {dropped} different texts past the first {MAX_TEXTS} were not looked at."
    return told


def _used(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    names = {mark.name for mark in sqlglot.parse_one(text, dialect="sqlite").find_all(exp.Placeholder)}
    return {name: value for name, value in parameters.items() if name in names}


def _table_of(tree: exp.Select, similar: Similar) -> str:
    """The name of the table that the predicate's column is in."""
    tables = tree.find_all(exp.Table)
    return next(str(t.name) for t in tables if t.alias_or_name.casefold() == similar.table.casefold())


def _is(table: str, tree: exp.Select, similar: Similar) -> bool:
    named = next((t for t in tree.find_all(exp.Table) if t.alias_or_name.casefold() == similar.table.casefold()), None)
    return named is not None and named.name.casefold() == table.casefold()


def _bare(node: Any) -> Any:
    """The condition without its brackets."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _argument(node: Any, parameters: Mapping[str, Any]) -> Any:
    """The value of a literal or of a bound parameter."""
    if isinstance(node, exp.Placeholder):
        return parameters.get(node.name)
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return -float(node.this.name)
    if isinstance(node, exp.Literal):
        return node.name if node.is_string else float(node.name)
    raise InvalidInput(f"similar can't take {node.sql(dialect='sqlite')[:60]!r}: give text, or a number as the third")


def _owner(checked: str, column: exp.Column, schema: SqlSchema) -> str:
    """The alias (or name) of the table that holds the column, which must be of text."""
    tables = list(sqlglot.parse_one(checked, dialect="sqlite").find_all(exp.Table))
    for table in tables:
        if column.table and column.table.casefold() != table.alias_or_name.casefold():
            continue
        held = schema.get(table.name)
        found = held.get(column.name) if held else None
        if found is not None:
            if found.type != "text":
                raise InvalidInput(f"similar needs a column of text: {column.name[:80]!r} holds a {found.type}")
            return str(table.alias_or_name)
    raise InvalidInput(f"the column {column.sql()[:80]!r} of similar is in none of the statement's tables")
