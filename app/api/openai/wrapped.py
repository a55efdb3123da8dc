"""The question inside a message that a front-end has wrapped in passages of its own.

Open WebUI does so when files, a knowledge base or web results hang on the chat: its template stands in front of what
the person typed, or around it. Searching for the whole of it would search for the template.
"""

from __future__ import annotations

import re

_CONTEXT = re.compile(r"<context>.*</context>", re.DOTALL | re.IGNORECASE)
_QUERY = re.compile(r"<user_query>(.*?)</user_query>", re.DOTALL | re.IGNORECASE)
_HEADING = re.compile(r"^\s*#{1,6}\s*task\b.{0,200}\bcontext\b", re.DOTALL | re.IGNORECASE)
WARNING = "the front-end attached passages of its own, which were not read: only the collection's documents are"


def unwrapped(text: str) -> str | None:
    """What the person typed, or None where the message is nothing but that."""
    context = _CONTEXT.search(text)
    if context is None or not _HEADING.match(text):
        return None
    queries = _QUERY.findall(text[context.end() :])
    typed = queries[-1] if queries else text[context.end() :]
    return typed.strip() or None
