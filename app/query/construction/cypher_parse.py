"""Text → a tree of Cypher that can only read; everything else is refused where it stands, with its name.

A parser of our own for an allow-list: MATCH, OPTIONAL MATCH, WHERE, UNWIND, WITH, RETURN, ORDER BY, SKIP, LIMIT, and
expressions without subqueries. What is not in the grammar does not exist here: clauses that write or call, comments,
a second statement.
"""

from __future__ import annotations

from typing import Literal

from app.errors import InvalidInput
from app.query.construction.cypher_tokens import Cursor, Token, tokens_of
from app.query.construction.cypher_tree import (
    Binary,
    Call,
    Clause,
    EdgePattern,
    Expression,
    Get,
    Item,
    ListOf,
    Match,
    NodePattern,
    Order,
    Parameter,
    Path,
    Projection,
    Statement,
    Unary,
    Unwind,
    Value,
    Variable,
)

MAX_DEPTH = 40
MAX_HOPS = 4
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")


def parse_statement(text: str) -> Statement:
    """The tree of one reading statement.

    Raises:
        InvalidInput: it is anything else; the message names what stands where.
    """
    return _Parser(tokens_of(text)).statement()


class _Parser(Cursor):
    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self._depth = 0

    # --- clauses ---------------------------------------------------------------------------------------------------

    def statement(self) -> Statement:
        clauses: list[Clause] = []
        while True:
            clause = self._clause()
            clauses.append(clause)
            if isinstance(clause, Projection) and clause.last:
                break
        self.take_sign(";")
        if self.now.kind != "end":
            raise self.wrong("one statement that ends with its RETURN")
        return Statement(tuple(clauses))

    def _clause(self) -> Clause:
        if self.take_word("OPTIONAL"):
            self.need_word("MATCH")
            return self._match(optional=True)
        if self.take_word("MATCH"):
            return self._match(optional=False)
        if self.take_word("UNWIND"):
            items = self._expression()
            self.need_word("AS")
            return Unwind(items, self.name())
        if self.take_word("WITH"):
            return self._projection(last=False)
        if self.take_word("RETURN"):
            return self._projection(last=True)
        raise self.wrong("MATCH, OPTIONAL MATCH, UNWIND, WITH or RETURN (only reading is allowed)")

    def _match(self, *, optional: bool) -> Match:
        paths = [self._path()]
        while self.take_sign(","):
            paths.append(self._path())
        where = self._expression() if self.take_word("WHERE") else None
        return Match(tuple(paths), where, optional)

    def _projection(self, *, last: bool) -> Projection:
        distinct = self.take_word("DISTINCT")
        star = self.take_sign("*")
        items: list[Item] = []
        while not star or self.take_sign(","):
            expression = self._expression()
            items.append(Item(expression, self.name() if self.take_word("AS") else None))
            if not star and not self.take_sign(","):
                break
        order: list[Order] = []
        if self.take_word("ORDER"):
            self.need_word("BY")
            order.append(self._order())
            while self.take_sign(","):
                order.append(self._order())
        skip = self._count() if self.take_word("SKIP") else None
        limit = self._count() if self.take_word("LIMIT") else None
        where = self._expression() if not last and self.take_word("WHERE") else None
        return Projection(tuple(items), last, distinct, star, tuple(order), skip, limit, where)

    def _order(self) -> Order:
        expression = self._expression()
        if self.take_word("DESC") or self.take_word("DESCENDING"):
            return Order(expression, True)
        if not self.take_word("ASC"):
            self.take_word("ASCENDING")
        return Order(expression)

    def _count(self) -> int:
        token = self.now
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 9:
            raise self.wrong("a whole number")
        self.at += 1
        return int(token.text)

    # --- patterns --------------------------------------------------------------------------------------------------

    def _path(self) -> Path:
        variable = None
        if self.now.kind == "name" and self.peek(1).text == "=":
            variable = self.name()
            self.need_sign("=")
        if self.now.kind == "name":
            raise self.wrong("a pattern such as (n:Label) (functions over paths are not allowed)")
        nodes = [self._node()]
        edges: list[EdgePattern] = []
        while self.now.text in ("-", "<") and self.now.kind == "sign":
            edges.append(self._edge())
            nodes.append(self._node())
        return Path(tuple(nodes), tuple(edges), variable)

    def _node(self) -> NodePattern:
        self.need_sign("(")
        variable = self.name() if self.now.kind == "name" else None
        labels: list[str] = []
        while self.take_sign(":"):
            labels.append(self.name(any_word=True))
        properties = self._properties()
        self.need_sign(")")
        return NodePattern(variable, tuple(labels), properties)

    def _edge(self) -> EdgePattern:
        left = self.take_sign("<")
        self.need_sign("-")
        variable, hops = None, None
        types: list[str] = []
        properties: tuple[tuple[str, Expression], ...] = ()
        if self.take_sign("["):
            variable = self.name() if self.now.kind == "name" else None
            if self.take_sign(":"):
                types.append(self.name(any_word=True))
                while self.take_sign("|"):
                    self.take_sign(":")
                    types.append(self.name(any_word=True))
            hops = self._hops()
            properties = self._properties()
            self.need_sign("]")
        self.need_sign("-")
        right = self.take_sign(">")
        direction: Literal["->", "<-", "-"] = "-" if left == right else "<-" if left else "->"
        return EdgePattern(variable, tuple(types), properties, direction, hops)

    def _hops(self) -> tuple[int, int] | None:
        if not self.take_sign("*"):
            return None
        least = self._count() if self.now.kind == "number" else 1
        most = least
        if self.take_sign(".."):
            most = self._count() if self.now.kind == "number" else MAX_HOPS + 1
        elif self._tokens[self.at - 1].text == "*":
            most = MAX_HOPS + 1
        if not 0 <= least <= most <= MAX_HOPS:
            raise InvalidInput(f"a path of {least} to {most} steps is asked for: write at most *1..{MAX_HOPS}")
        return least, most

    def _properties(self) -> tuple[tuple[str, Expression], ...]:
        if not self.take_sign("{"):
            return ()
        found: list[tuple[str, Expression]] = []
        while not self.take_sign("}"):
            if found:
                self.need_sign(",")
            name = self.name(any_word=True)
            self.need_sign(":")
            found.append((name, self._expression()))
        return tuple(found)

    # --- expressions -----------------------------------------------------------------------------------------------

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidInput(f"the statement is nested deeper than {MAX_DEPTH}: write it flatter")
        found = self._xor()
        while self.take_word("OR"):
            found = Binary("OR", found, self._xor())
        self._depth -= 1
        return found

    def _xor(self) -> Expression:
        found = self._and()
        while self.take_word("XOR"):
            found = Binary("XOR", found, self._and())
        return found

    def _and(self) -> Expression:
        found = self._not()
        while self.take_word("AND"):
            found = Binary("AND", found, self._not())
        return found

    def _not(self) -> Expression:
        times = 0
        while self.take_word("NOT"):
            times += 1
        found = self._comparison()
        return Unary("NOT", found) if times % 2 else found

    def _comparison(self) -> Expression:
        left = self._sum()
        parts: list[Expression] = []
        while self.now.kind == "sign" and self.now.text in _COMPARISONS:
            sign = self.now.text
            self.at += 1
            right = self._sum()
            parts.append(Binary(sign, left, right))
            left = right
        if not parts:
            return self._tested(left)
        found = parts[0]
        for part in parts[1:]:  # 1 < a < 5
            found = Binary("AND", found, part)
        return found

    def _tested(self, left: Expression) -> Expression:
        while True:
            if self.take_word("IS"):
                negated = self.take_word("NOT")
                self.need_word("NULL")
                left = Unary("IS NOT NULL" if negated else "IS NULL", left)
            elif self.take_word("IN"):
                left = Binary("IN", left, self._sum())
            elif self.take_word("CONTAINS"):
                left = Binary("CONTAINS", left, self._sum())
            elif self.take_word("STARTS"):
                self.need_word("WITH")
                left = Binary("STARTS WITH", left, self._sum())
            elif self.take_word("ENDS"):
                self.need_word("WITH")
                left = Binary("ENDS WITH", left, self._sum())
            else:
                return left

    def _sum(self) -> Expression:
        found = self._product()
        while self.now.kind == "sign" and self.now.text in ("+", "-"):
            sign = self.now.text
            self.at += 1
            found = Binary(sign, found, self._product())
        return found

    def _product(self) -> Expression:
        found = self._signed()
        while self.now.kind == "sign" and self.now.text in ("*", "/", "%"):
            sign = self.now.text
            self.at += 1
            found = Binary(sign, found, self._signed())
        return found

    def _signed(self) -> Expression:
        minus = False
        while self.now.kind == "sign" and self.now.text in ("+", "-"):
            minus ^= self.now.text == "-"
            self.at += 1
        found = self._tested_part()
        if minus and isinstance(found, Value) and isinstance(found.value, int | float):
            return Value(-found.value)
        return Unary("neg", found) if minus else found

    def _tested_part(self) -> Expression:
        found = self._atom()
        while self.take_sign("."):
            found = Get(found, self.name(any_word=True))
        return found

    def _atom(self) -> Expression:
        token = self.now
        if token.kind == "number":
            self.at += 1
            whole = token.text.isdigit()
            if whole and len(token.text) > 18:
                raise InvalidInput(f"the number {token.text[:30]} is too large: use at most 18 digits")
            return Value(int(token.text) if whole else float(token.text))
        if token.kind == "string":
            self.at += 1
            return Value(token.text)
        if token.kind == "parameter":
            self.at += 1
            return Parameter(token.text[1:])
        if self.take_sign("["):
            return ListOf(tuple(self._listed("]")))
        if token.text == "(" and token.kind == "sign":
            return self._bracketed()
        if token.word in ("TRUE", "FALSE", "NULL"):
            self.at += 1
            return Value({"TRUE": True, "FALSE": False, "NULL": None}[token.word])
        if token.kind == "name" and self.peek(1).text == "(" and self.peek(1).kind == "sign":
            return self._call()
        if token.kind == "name":
            return Variable(self.name())
        raise self.wrong("an expression")

    def _bracketed(self) -> Expression:
        """A pattern as a condition, or an expression in brackets: only what follows the bracket tells."""
        start, depth = self.at, self._depth
        try:
            path = self._path()
            if path.edges:
                return path
        except InvalidInput:
            pass
        self.at, self._depth = start, depth
        self.need_sign("(")
        found = self._expression()
        self.need_sign(")")
        return found

    def _call(self) -> Call:
        name = self.name(any_word=True)
        self.need_sign("(")
        if self.take_sign("*"):
            self.need_sign(")")
            return Call(name, star=True)
        distinct = self.take_word("DISTINCT")
        return Call(name, tuple(self._listed(")")), distinct)

    def _listed(self, close: str) -> list[Expression]:
        found: list[Expression] = []
        while not self.take_sign(close):
            if found:
                self.need_sign(",")
            found.append(self._expression())
        return found
