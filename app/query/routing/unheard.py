"""Names and numbers of a question that a statement leaves out: its rows would answer another question."""

from __future__ import annotations

import json
import re

from app.query.construction.sql_statement import Statement

_QUOTED = re.compile(r"[\"“”「『]([^\"“”」』]{1,80})[\"“”」』]")
_TOKEN = re.compile(r"[^\W_]+(?:['’.\-][^\W_]+)*")
_ORDINARY = frozenset({"I", "OK", "SQL", "ID", "IDs"})


def unheard(question: str, statement: Statement) -> list[str]:
    """What the question names by quotes, capitals or digits and the statement says nothing of, in order.

    Args:
        question: as it was asked.
        statement: built for it; its explanation holds the words that its conditions were read from.
    """
    told = json.dumps(list(statement.parameters.values()), ensure_ascii=False, default=str)
    heard = f"{statement.text} {told} {statement.explanation}".casefold()
    named = [match.group(1).strip() for match in _QUOTED.finditer(question) if match.group(1).strip()]
    for match in _TOKEN.finditer(question):
        word = re.sub(r"['’]s$", "", match.group())
        if word not in _ORDINARY and _is_name(word, question[: match.start()]):
            named.append(word)
    return [name for name in dict.fromkeys(named) if name.casefold() not in heard and _stem(name) not in heard]


def _is_name(word: str, before: str) -> bool:
    if any(character.isdigit() for character in word):
        return True
    begins = not before.strip() or before.rstrip()[-1:] in '.!?:。！？："“(（'
    return word[0].isupper() and not begins


def _stem(name: str) -> str:
    """The name without a plural's s."""
    return re.sub(r"(?:es|s)$", "", name.casefold()) or name.casefold()
