"""What construction of SQL returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Statement:
    """A checked SELECT for SQLite; `text` is empty where none could be built, and the explanation says why.

    It may hold `SIMILAR(column, :phrase)`, which `execute_similar` plans (`sql_similar.py`).

    Args:
        parameters: bound to `:p1`, `:p2`, … by name.
        confidence: 0 to 1; rises with the part of the question that the statement accounts for.
    """

    text: str
    parameters: dict[str, Any]
    explanation: str
    confidence: float
    how: str = "rules"
