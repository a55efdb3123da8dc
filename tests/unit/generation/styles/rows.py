"""Prompts over small documents, each with a title and metadata of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.types import Hit, Passage, Prompt, StoredChunk

ACME = (
    "Acme makes paper, ink and glue. It was founded in 1971 in Lyon. Revenue in 2023 rose to 4.2 million euros, up "
    "from 3.9 million in 2022. The company employs 120 people in Lyon, Turin and Ghent. Employees may not work on "
    "Sundays unless the plant manager agrees. Smoking is not allowed in the plant. The canteen is open on weekdays."
)


def passage_of(
    number: int,
    text: str,
    title: str = "",
    *,
    headings: tuple[str, ...] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Passage:
    chunk = StoredChunk(
        chunk_id=f"{number}-0",
        version_id=number,
        ordinal=0,
        document_id=f"doc{number}",
        version=1,
        collection="default",
        title=title,
        source_url=None,
        media_type="text/plain",
        text=text,
        char_start=0,
        char_end=len(text),
        page=None,
        heading_path=headings,
        metadata=metadata or {},
    )
    return Passage(number, Hit(chunk), text, 0, len(text))


def prompt_of(question: str, *passages: Passage) -> Prompt:
    return Prompt(question, passages, question, 10)


def texts_of(prompt: Prompt) -> dict[int, str]:
    return {passage.hit.chunk.version_id: passage.text for passage in prompt.passages}
