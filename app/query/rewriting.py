"""Who writes a rewritten question where no language model is configured: the rules, or the writer that is bundled.

The choice for each task was made on development questions and is reported on held-out ones: docs/query-writer.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.errors import AttestError, Cancelled
from app.query.surface import is_chinese

RewriterChoice = Literal["auto", "rules", "writer"]
AUTO_CASES: frozenset[str] = frozenset({"ellipsis"})
"""Tasks, or cases of one, for which "auto" asks the writer before the rules: follow-ups like "What about Boston?"."""
_REFERENCE = re.compile(r"#\s*(\d)")
_ASKING = re.compile(
    r"^(?:what|who|which|when|where|why|how)\b(?:\s+(?:is|are|was|were|do|does|did|can|will|has|have|had)\b)?\s*",
    re.IGNORECASE,
)


class QuestionWriter(Protocol):
    """A small model that rewrites questions by task; what it returns has been checked against what it was given."""

    def write(
        self,
        task: str,
        question: str,
        *,
        heading: str = "",
        passage: str = "",
        most: int = 1,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[str]:
        """Texts, best first, or steps in order; empty where it has none to offer.

        Raises:
            Cancelled: `cancelled()` was true. Unavailable, IntegrityError: its files are missing or damaged.
        """


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The bundled writer, if there is one, and for which tasks it is asked."""

    writer: QuestionWriter | None = None
    choice: RewriterChoice = "auto"

    def texts(
        self,
        task: str,
        question: str,
        *,
        heading: str = "",
        passage: str = "",
        most: int = 1,
        case: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> tuple[list[str], str | None]:
        """The writer's texts, empty where it is not asked or has none, and why it failed, if it did.

        Chinese questions are left to the rules. "auto" looks at the `case` of the task, where there is one.

        Raises:
            Cancelled: `cancelled()` was true.
        """
        wanted = self.choice == "writer" or (self.choice == "auto" and (case or task) in AUTO_CASES)
        if self.writer is None or not wanted or is_chinese(question):
            return [], None
        try:
            return self.writer.write(
                task, question, heading=heading, passage=passage, most=most, cancelled=cancelled
            ), None
        except Cancelled:
            raise
        except AttestError as failure:
            return [], failure.message


def standing_alone(steps: Sequence[str]) -> list[str]:
    """The steps with `#1` replaced by what step 1 asks for, so that each can be searched by itself."""
    alone: list[str] = []
    for step in steps:
        text = _REFERENCE.sub(lambda found: _asked_for(alone, int(found[1])), step)
        alone.append(" ".join(text.split()))
    return alone


def _asked_for(alone: Sequence[str], number: int) -> str:
    if not 1 <= number <= len(alone):
        return ""
    text = alone[number - 1].strip(" ?")
    return _ASKING.sub("", text) or text
