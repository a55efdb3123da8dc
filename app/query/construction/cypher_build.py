"""A question → Cypher over any schema, by linking its words to labels, relationships, properties and values.

The statement is built as a tree, never as text: what a question says becomes a bound value or a name that the schema
has. The result is checked again all the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.errors import InvalidInput
from app.query.construction.cypher_check import check_cypher
from app.query.construction.cypher_conditions import Condition, CountCondition, find_conditions, limit_of
from app.query.construction.cypher_links import LabelLink, Links, PropertyLink, link, naming_property
from app.query.construction.cypher_questions import CypherStatement
from app.query.construction.cypher_schema import CypherSchema, Edge, Label
from app.query.construction.cypher_tree import (
    Binary,
    Call,
    EdgePattern,
    Expression,
    Get,
    Item,
    Match,
    NodePattern,
    Order,
    Path,
    Projection,
    Statement,
    Unary,
    Value,
    Variable,
    parameterized,
    statement_text,
)

_MAX_CHARS = 600
_HOW_MANY = re.compile(r"\b(?:how many|total number of|count of|the number of)\b|^\W*count\b", re.IGNORECASE)
_BY_NUMBER = re.compile(
    r"\b(?:by|based on|in terms of|for|with|having|have|has)\s+(?:the\s+)?(?:\w+\s+){0,2}?(?:number|count|amount) of\b"
    r"|\bmost\b|\bfewest\b|\bleast\b",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"\b(?:top \d+|highest|largest|most|greatest|biggest|longest|latest|newest|maximum|best|richest|recent(?:ly)?|top"
    r"|youngest)\b",
    re.IGNORECASE,
)
_UP = re.compile(r"\b(?:lowest|smallest|least|fewest|shortest|earliest|oldest|minimum|worst|cheapest)\b", re.IGNORECASE)
_AGGREGATES = (
    ("avg", re.compile(r"\b(?:average|mean)\b", re.IGNORECASE)),
    ("sum", re.compile(r"\b(?:total|sum|combined)\b(?! number)", re.IGNORECASE)),
)
_BY = re.compile(r"\b(?:ordered |sorted |ranked )?by\b", re.IGNORECASE)
_SINGLE = re.compile(r"\W*(?:who|which|what)\b(?:\W+\w+){0,3}?\W+(?:has|is|was)\b", re.IGNORECASE)
_IN_TIME = re.compile(r"\b(?:oldest|newest|latest|earliest|most recent(?:ly)?)\b", re.IGNORECASE)
_DISTINCT = re.compile(r"\b(?:distinct|different|unique)\b", re.IGNORECASE)


@dataclass
class _Plan:
    """Nodes by variable, edges between them, and what is said of both."""

    nodes: dict[str, Label] = field(default_factory=dict)
    edges: list[tuple[str, str, Edge, str]] = field(default_factory=list)  # start, variable, edge, end
    where: list[Expression] = field(default_factory=list)
    named_edges: set[str] = field(default_factory=set)

    def add(self, label: Label) -> str:
        """A new node of the label."""
        letter = re.sub(r"[^a-z]", "", label.name.lower())[:1] or "n"
        name = next(n for n in [letter, *(f"{letter}{i}" for i in range(2, 50))] if n not in self.nodes)
        self.nodes[name] = label
        return name

    def node(self, label: Label) -> str | None:
        """The first node of the label."""
        return next((name for name, own in self.nodes.items() if own.name == label.name), None)

    def walk(self, start: str, path: Sequence[tuple[Edge, bool]], schema: CypherSchema) -> str:
        """Adds the edges from a node on; returns the last node."""
        for edge, forwards in path:
            label = schema.get(edge.end if forwards else edge.start)
            assert label is not None
            other = self.add(label)
            ends = (start, other) if forwards else (other, start)
            self.edges.append((ends[0], f"r{len(self.edges) + 1}", edge, ends[1]))
            start = other
        return start

    def match(self) -> Match:
        """The pattern: edges chained where they follow one another."""
        shown: set[str] = set()

        def node(name: str) -> NodePattern:
            labels = () if name in shown else (self.nodes[name].name,)
            shown.add(name)
            return NodePattern(name, labels)

        paths: list[Path] = []
        last = ""
        for start, variable, edge, end in self.edges:
            named = variable if variable in self.named_edges else None
            if last == start:
                joined = (EdgePattern(named, (edge.type,)), end)
            elif last == end:
                joined = (EdgePattern(named, (edge.type,), direction="<-"), start)
            else:
                paths.append(Path((node(start),)))
                joined = (EdgePattern(named, (edge.type,)), end)
            paths[-1] = Path((*paths[-1].nodes, node(joined[1])), (*paths[-1].edges, joined[0]))
            last = joined[1]
        paths += [Path((node(name),)) for name in self.nodes if name not in shown]
        where = None
        for part in self.where:
            where = part if where is None else Binary("AND", where, part)
        return Match(tuple(paths), where)


def build_cypher(question: str, schema: CypherSchema) -> CypherStatement:
    """The statement by rules. Never raises for a question."""
    links = link(re.sub(r"\s+", " ", question)[:_MAX_CHARS], schema)
    limit, number = limit_of(links.question, links.stated)
    conditions, counts = find_conditions(links, schema, number)
    start = _target(links, conditions, schema)
    if start is None:
        known = ", ".join(label.name for label in schema.labels[:20])
        return CypherStatement("", {}, f"The question names nothing that the graph has (labels: {known}).", 0.0)
    plan = _Plan()
    first = plan.add(start)
    if not _connect(plan, first, links, conditions, schema):
        return CypherStatement("", {}, "No relationships join what the question names.", 0.0)
    for condition in conditions:
        plan.where.append(_comparison(_holder(plan, condition.owner), condition))
    clauses = _returned(plan, first, links, conditions, counts, limit)
    try:
        checked = check_cypher(statement_text(Statement(clauses)), schema)
    except InvalidInput as error:
        return CypherStatement("", {}, f"No statement fits: {error.message}.", 0.0)
    bound, parameters = parameterized(checked)
    left = sum(each is not number for each in links.stated) - len(
        {c.span for c in conditions} | {c.span for c in counts}
    )
    confidence = (0.7 if links.labels else 0.4) * (0.5 if left > 0 else 1.0)
    told = "; ".join(
        [f"reads {', '.join(label.name for label in plan.nodes.values())}"]
        + [f"{c.property.name} {c.operator} {c.value!r}" for c in conditions]
        + ([f"{left} stated values were not understood"] if left > 0 else [])
    )
    return CypherStatement(statement_text(bound), parameters, f"{told[0].upper()}{told[1:]}.", confidence)


def _target(links: Links, conditions: Sequence[Condition], schema: CypherSchema) -> Label | None:
    """What is asked for: the label that is named first, or those who stand at a relationship's start ("directors")."""
    roles = [each for each in links.edges if each.role]
    if re.match(r"\W*who(?:se)?\b", links.question, re.IGNORECASE) and links.edges and not roles:
        return schema.get(links.edges[0].edge.start)
    if links.labels and not (roles and roles[0].first < links.labels[0].first):
        head = links.labels[0]
        for each in links.labels[1:]:  # "product categories" are categories
            head = each if each.first == head.last else head
        return head.label
    if roles:
        return schema.get(roles[0].edge.start)
    owners: list[Label | Edge] = [each.owner for each in links.properties if each.score == 1]
    owners += [condition.owner for condition in conditions]
    for owner in owners:
        if isinstance(owner, Label):
            return owner
    if links.edges:
        return schema.get(links.edges[0].edge.start)
    return schema.labels[0] if len(schema.labels) == 1 else None


def _connect(plan: _Plan, first: str, links: Links, conditions: Sequence[Condition], schema: CypherSchema) -> bool:
    """Adds the relationships that are named, then the labels that are; False where no path leads to one."""
    named: list[Edge] = []
    for each in links.edges:
        if all(each.edge.type != other.type for other in named):
            named.append(_of_pair(each.edge, plan, links, schema))
    for edge in named[:3]:
        forwards = next((n for n, label in plan.nodes.items() if label.name == edge.start), None)
        backwards = next((n for n, label in plan.nodes.items() if label.name == edge.end), None)
        if forwards is not None and (edge.start != edge.end or forwards == first):
            plan.walk(forwards, [(edge, True)], schema)
        elif backwards is not None:
            plan.walk(backwards, [(edge, False)], schema)
    wanted = [each.label for each in links.labels]
    wanted += [c.owner for c in conditions if isinstance(c.owner, Label)]
    for label in wanted:
        if plan.node(label) is not None:
            continue
        paths = [(name, schema.path(own.name, label.name)) for name, own in plan.nodes.items()]
        ways = [(len(path), -place, name, path) for place, (name, path) in enumerate(paths) if path is not None]
        if not ways:
            return False
        _, _, here, path = min(ways, key=lambda each: each[:2])
        plan.walk(here, path, schema)
    for condition in conditions:
        if isinstance(condition.owner, Edge) and all(condition.owner.type != edge.type for _, _, edge, _ in plan.edges):
            start = plan.node(schema.get(condition.owner.start) or plan.nodes[first])
            plan.walk(start or first, [(condition.owner, start is not None)], schema)
    return True


def _of_pair(edge: Edge, plan: _Plan, links: Links, schema: CypherSchema) -> Edge:
    """The edge of that type whose other end the question names too."""
    labels = {each.label.name for each in links.labels} | {label.name for label in plan.nodes.values()}
    return max(schema.edges_of(edge.type), key=lambda each: (each.start in labels) + (each.end in labels))


def _holder(plan: _Plan, owner: Label | Edge) -> str:
    """The variable that has the property."""
    if isinstance(owner, Label):
        found = plan.node(owner)
        assert found is not None
        return found
    variable = next(variable for _, variable, edge, _ in plan.edges if edge.type == owner.type)
    plan.named_edges.add(variable)
    return variable


def _comparison(holder: str, condition: Condition) -> Expression:
    value: Expression = Value(condition.value)
    if condition.dated:
        value = Call("datetime", (value,))
    return Binary(condition.operator, Get(Variable(holder), condition.property.name), value)


def _returned(
    plan: _Plan,
    first: str,
    links: Links,
    conditions: Sequence[Condition],
    counts: Sequence[CountCondition],
    limit: int | None,
) -> tuple[Match | Projection, ...]:
    free = _free(plan, links, conditions)
    other = _counted(plan, first, links, counts)
    asked = [each for each in free if each.first < _end_of_head(links)]
    node = Item(Variable(first))
    if counts and other is not None:
        many = Projection((node, Item(Call("count", (Variable(other),)), "number")), last=False,
                          where=Binary(counts[0].operator, Variable("number"), Value(counts[0].value)))  # fmt: skip
        return plan.match(), many, Projection((_shown(plan, first, asked), Item(Variable("number"))), limit=limit)
    if other is not None and (_BY_NUMBER.search(links.question) and not _ordering(free, links)):
        order = Order(Variable("number"), _UP.search(links.question) is None)
        counted = Call("count", (Variable(other),), distinct=_DISTINCT.search(links.question) is not None)
        shown = (_shown(plan, first, asked), Item(counted, "number"))
        single = 1 if _SINGLE.match(links.question) else None
        return plan.match(), Projection(shown, order=(order,), limit=limit or single)
    numeric = [each for each in free if each.property.type == "number"]
    for name, words in _AGGREGATES:
        if words.search(links.question) and numeric and limit is None and not _HOW_MANY.match(links.question):
            value = Get(Variable(_holder(plan, numeric[0].owner)), numeric[0].property.name)
            return plan.match(), Projection((Item(Call(name, (value,)), name),))
    if _HOW_MANY.match(links.question.strip()) or (_HOW_MANY.search(links.question) and limit is None):
        counted = Call("count", (Variable(first),), distinct=bool(plan.edges and _DISTINCT.search(links.question)))
        return plan.match(), Projection((Item(counted, "number"),))
    by = _ordering(free, links) or _in_time(plan, first, links)
    order_by: tuple[Order, ...] = ()
    if by is not None:
        value = Get(Variable(_holder(plan, by.owner)), by.property.name)
        order_by = (Order(value, _UP.search(links.question) is None),)
        if _UP.search(links.question):
            plan.where.append(Unary("IS NOT NULL", value))
        limit = limit or (None if _BY.search(links.question) else 1)
    items = [Item(Get(Variable(_holder(plan, each.owner)), each.property.name)) for each in asked if each is not by]
    distinct = bool(_DISTINCT.search(links.question))
    return plan.match(), Projection(tuple(items) or (node,), distinct=distinct, order=order_by, limit=limit)


def _free(plan: _Plan, links: Links, conditions: Sequence[Condition]) -> list[PropertyLink]:
    """The properties that no condition has used, of what the pattern holds; each place once."""
    taken = {condition.at for condition in conditions}
    there = {label.name for label in plan.nodes.values()} | {edge.type for _, _, edge, _ in plan.edges}
    found: list[PropertyLink] = []
    order = {label.name: n for n, label in enumerate(plan.nodes.values())}
    own = [each for each in links.properties if (each.first, each.last) not in taken]
    for each in sorted(own, key=lambda e: (e.first, -e.score, order.get(getattr(e.owner, "name", ""), 99))):
        name = each.owner.name if isinstance(each.owner, Label) else each.owner.type
        if name in there and not any(each.first < o.last and o.first < each.last for o in found):
            found.append(each)
    return found


def _end_of_head(links: Links) -> int:
    """Properties before this word are asked for: "the names of the users …", "titles and links of questions …"."""
    if not links.labels:
        return len(links.words)
    return links.labels[0].first + (1 if links.labels[0].first < 2 else 0)


def _ordering(free: Sequence[PropertyLink], links: Links) -> PropertyLink | None:
    """The property that "highest", "oldest" or "top 5 … by" is about."""
    for cues, reach in ((_BY, 4), (_UP, 3), (_DOWN, 3)):
        for match in cues.finditer(links.question):
            at = links.at(match.end())
            near = [each for each in free if at <= each.first <= at + reach - 1]
            typed = [each for each in near if each.property.type in ("number", "date") or (cues is _BY and near)]
            if typed:
                return typed[0]
    return None


def _in_time(plan: _Plan, first: str, links: Links) -> PropertyLink | None:
    """The one date of what is asked for, where "the oldest" names none."""
    match = _IN_TIME.search(links.question)
    own = plan.nodes[first]
    dates = [each for each in own.properties if each.type == "date"]
    if match is None or len(dates) != 1:
        return None
    at = links.at(match.start())
    return PropertyLink(own, dates[0], at, at, 0.5)


def _counted(plan: _Plan, first: str, links: Links, counts: Sequence[CountCondition]) -> str | None:
    """The node whose number is asked: the label of a count condition, else the last one that is named."""
    if counts:
        found = plan.node(counts[0].label.label)
        return found if found != first else None
    others = [name for name in plan.nodes if name != first]
    named: list[LabelLink] = [each for each in links.labels if plan.node(each.label) in others]
    if named:
        return plan.node(named[-1].label)
    return others[-1] if others else None


def _shown(plan: _Plan, first: str, asked: Sequence[PropertyLink]) -> Item:
    own = [each for each in asked if isinstance(each.owner, Label) and each.owner.name == plan.nodes[first].name]
    if own:
        return Item(Get(Variable(first), own[0].property.name))
    named = naming_property(plan.nodes[first])
    return Item(Get(Variable(first), named.name)) if named else Item(Variable(first))
