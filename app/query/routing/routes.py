"""What a declared route must hold, and routes that need no declaration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.errors import InvalidInput
from app.routing_types import Route

MAX_ROUTES = 100
MAX_EXAMPLES = 50
MAX_TEXT_CHARS = 2_000
MAX_TEMPLATE_CHARS = 4_000
MAX_COLLECTIONS = 100
RESERVED_NAMES = frozenset({"auto", "all"})
_NAME = re.compile(r"[\w][\w.\- ]{0,63}")
_GREETINGS = (
    "Hello", "Good morning", "Thank you very much", "How are you?", "Who are you?", "What can you do?", "Goodbye",
    "你好", "谢谢", "早上好", "你是谁？", "你能做什么？", "再见",
)  # fmt: skip


def checked(route: Route) -> Route:
    """The route with texts trimmed; a chit-chat route without examples gets ours.

    Raises:
        InvalidInput: a name, target, text or number of texts that a route can not have.
    """
    name = route.name
    if not _NAME.fullmatch(name) or name.casefold() in RESERVED_NAMES or name != name.strip():
        raise InvalidInput(
            f"the route name {name[:80]!r} must begin with a letter or digit, go on with at most 63 letters, digits, "
            f"'.', '-', '_' or spaces, and be none of {', '.join(sorted(RESERVED_NAMES))}"
        )
    _check_target(route)
    for field, limit in (("description", MAX_TEXT_CHARS), ("reply", MAX_TEXT_CHARS), ("template", MAX_TEMPLATE_CHARS)):
        if len(getattr(route, field)) > limit:
            raise InvalidInput(
                f"{field} of route {name!r} has {len(getattr(route, field))} characters: at most {limit}"
            )
    examples = tuple(dict.fromkeys(text.strip() for text in route.examples if text.strip()))
    if len(examples) > MAX_EXAMPLES or any(len(text) > MAX_TEXT_CHARS for text in examples):
        raise InvalidInput(
            f"examples of route {name!r} must be at most {MAX_EXAMPLES} questions of at most {MAX_TEXT_CHARS} "
            f"characters, are {len(examples)}"
        )
    if route.kind == "chitchat" and not examples:
        examples = _GREETINGS
    return replace(
        route,
        examples=examples,
        description=route.description.strip(),
        template=route.template.strip(),
        reply=route.reply.strip(),
        collections=tuple(dict.fromkeys(route.collections)),
    )


def checked_all(routes: Sequence[Route]) -> tuple[Route, ...]:
    """Every route as `checked`. Raises InvalidInput also for a name that stands twice or too many routes."""
    names = [route.name for route in routes]
    if len(routes) > MAX_ROUTES:
        raise InvalidInput(f"{len(routes)} routes are declared: at most {MAX_ROUTES}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"the routes {', '.join(twice)} are declared twice: give each name once")
    return tuple(checked(route) for route in routes)


def of_collection(name: str, description: str) -> Route:
    """The route that every collection is by itself."""
    return Route(name, "collections", (name,), description=description[:MAX_TEXT_CHARS].strip())


def texts_of(route: Route) -> tuple[str, ...]:
    """What questions are compared with: the description first, then the examples; the name where there is neither."""
    words = route.description or ("" if route.examples else re.sub(r"[_.\-]+", " ", route.name))
    return (words, *route.examples) if words else route.examples


def as_json(route: Route) -> dict[str, Any]:
    """The route without its name as JSON keeps it; `from_json` reads it."""
    return {
        "kind": route.kind,
        "collections": list(route.collections),
        "source": route.source,
        "description": route.description,
        "examples": list(route.examples),
        "template": route.template,
        "reply": route.reply,
    }


def from_json(name: str, body: Any) -> Route:
    """The inverse of `as_json`."""
    fields = dict(body)
    fields["collections"] = tuple(fields.get("collections", ()))
    fields["examples"] = tuple(fields.get("examples", ()))
    return Route(name, **fields)


def _check_target(route: Route) -> None:
    where = f"route {route.name!r} of kind {route.kind!r}"
    if route.kind == "sql" and (route.source is None) == (not route.collections):
        raise InvalidInput(f"{where}: name either its source, or collections whose tables are asked")
    if route.kind != "sql" and route.source is not None:
        raise InvalidInput(f"{where}: leave source out, or use kind 'sql'")
    if route.kind in ("chitchat", "refuse") and route.collections:
        raise InvalidInput(f"{where} asks no collections: leave them out")
    if len(route.collections) > MAX_COLLECTIONS:
        raise InvalidInput(f"{where} names {len(route.collections)} collections: at most {MAX_COLLECTIONS}")
    if route.template and route.kind != "collections":
        raise InvalidInput(f"{where} shows no passages to a language model: leave template out")
    if route.reply and route.kind not in ("chitchat", "refuse"):
        raise InvalidInput(f"{where} answers from its target: leave reply out")
