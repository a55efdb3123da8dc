"""Frozen values of routing: what is declared, what was decided, and what a target that is no text returned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.types import Citation

RouteKind = Literal["collections", "sql", "graph", "chitchat", "refuse"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where questions of one sort are answered: in collections, by SQL, over the graph, by a greeting, or not at all.

    Args:
        collections: whose passages, tables (kind "sql") or graph are asked; empty: where the request asks anyway.
        source: the operator's SQL source, of the kind "sql" in place of collections.
        examples: questions of this sort.
        template: what a language model is told beside its instruction.
        reply: what is said in the kinds "chitchat" and "refuse"; empty: our own words.
    """

    name: str
    kind: RouteKind = "collections"
    collections: tuple[str, ...] = ()
    source: str | None = None
    description: str = ""
    examples: tuple[str, ...] = ()
    template: str = ""
    reply: str = ""


@dataclass(frozen=True, slots=True)
class RouteTaken:
    """How a question was routed.

    Args:
        route: the name; None where no route was sure enough, so that all were asked.
        kind: "named" where the request named it.
        score: the calibrated probability of the best route in [0, 1]; 1 for a named one.
        alternatives: the others with their probabilities, likeliest first.
        how: what chose: "request", "embeddings", "classifier", or the name of the model.
        target: the kind of the route; None as `route`.
        explanation: why a structured route fell back to text; empty where it did not.
    """

    route: str | None
    kind: Literal["named", "logical", "semantic"]
    score: float
    alternatives: tuple[tuple[str, float], ...] = ()
    how: str = "request"
    target: RouteKind | None = None
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class StructuredResult:
    """What a SQL source or the graph returned for a question.

    `text` says it in words; `confidence` is the statement's own, of [0, 1]; `rows` holds values that JSON can say.
    """

    text: str
    short_answer: str
    statement: str
    parameters: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    explanation: str
    confidence: float
    how: str
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class AutoFilter:
    """A condition that was read from the question; `used` is false where it left nothing and was dropped."""

    filter: Mapping[str, Any]
    explanation: str
    confidence: float
    used: bool
