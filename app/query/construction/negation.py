"""Whether what follows is meant to be left out: "not", "except", "other than", 除了 … 以外."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.query.construction.fields import FieldSchema, stem
from app.query.construction.values import Word

_NEGATIVE = re.compile(
    r"\b(?:not|non|except(?:ing)?(?:\s+for)?|exclud(?:e|es|ing)|without|other\s+than|outside(?:\s+of)?"
    r"|apart\s+from|aside\s+from"
    r"|neither|but\s+no|isn't|aren't|don't|doesn't|wasn't|weren't|rather\s+than)\b|不是|不属于|不在|并非"
    r"|除了|除去|除|非|不含|不包括|不要|没有",
    re.IGNORECASE,
)
_FILLER = frozenset(
    [
        "the",
        "a",
        "an",
        "any",
        "those",
        "these",
        "that",
        "are",
        "is",
        "was",
        "were",
        "be",
        "been",
        "being",
        "by",
        "at",
        "in",
        "from",
        "of",
        "for",
        "with",
        "to",
        "under",
        "as",
        "on",
        "have",
        "has",
        "had",
        "having",
        "do",
        "does",
        "tagged",
        "tag",
        "label",
        "labelled",
        "published",
        "written",
        "made",
        "by",
        "either",
        "yet",
        "still",
        "set",
        "ones",
        "one",
        "documents",
        "papers",
    ]
)
_CHINESE_FILLER = re.compile(r"[是属于由的在为带有了以]*")
_MOST_FILLER = 4


def is_negated(question: str, words: Sequence[Word], start: int, schema: FieldSchema) -> bool:
    """Whether a negative word reaches the span that begins at `start`: with nothing but small words between."""
    return negation_start(question, words, start, schema) is not None


def negation_start(question: str, words: Sequence[Word], start: int, schema: FieldSchema) -> int | None:
    """Where the negative word before `start` begins; None without one."""
    matches = [match for match in _NEGATIVE.finditer(question, 0, start) if match.end() <= start]
    if not matches:
        return None
    match = matches[-1]
    between = [word for word in words if match.end() <= word.start and word.end <= start]
    if any(character in ",.;:!?，。；：！？" for character in question[match.end() : start]):
        return None
    latin = [word for word in between if word.text.isascii()]
    if len(latin) > _MOST_FILLER:
        return None
    cues = frozenset().union(*(field.words for field in schema.fields)) if schema.fields else frozenset()
    if any(word.text.lower() not in _FILLER and stem(word.text) not in cues for word in latin):
        return None
    chinese = "".join(word.text for word in between if not word.text.isascii())
    return match.start() if _CHINESE_FILLER.fullmatch(chinese) or chinese in cues else None
