"""Golden questions: what a person knows about the right answer, and where it stands; and what settings are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """A question with what is known of it; what is empty or None is not known.

    `answerable` False says that the documents do not hold an answer, so that only a refusal is right.
    """

    question: str
    answers: tuple[str, ...] = ()
    relevant_document_ids: tuple[str, ...] = ()
    relevant_chunk_ids: tuple[str, ...] = ()
    answerable: bool | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> GoldenQuestion:
        """The question of a row that has been checked, as it is stored."""
        return cls(
            question=str(row["question"]),
            answers=tuple(row.get("answers") or ()),
            relevant_document_ids=tuple(row.get("relevant_document_ids") or ()),
            relevant_chunk_ids=tuple(row.get("relevant_chunk_ids") or ()),
            answerable=row.get("answerable"),
        )

    @property
    def has_answer(self) -> bool | None:
        """Whether the documents answer it; None where nobody said."""
        if self.answerable is not None:
            return self.answerable
        return True if self.answers or self.relevant_document_ids or self.relevant_chunk_ids else None


def setting_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The given names, and "setting 2" where there is none; a repeated name gets its number."""
    names: list[str] = []
    for place, setting in enumerate(settings, start=1):
        name = str(setting.get("name") or f"setting {place}")
        names.append(f"{name} ({place})" if name in names else name)
    return names
