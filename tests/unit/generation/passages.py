"""Passages and prompts for tests, cut from a document text so that offsets are real."""

from app.types import Hit, Passage, Prompt, StoredChunk


def passage(number: int, document: str, text: str, *, version_id: int = 1, page: int | None = None) -> Passage:
    start = document.index(text)
    chunk = StoredChunk(
        chunk_id=f"{version_id}-{number}",
        version_id=version_id,
        ordinal=number,
        document_id=f"doc{version_id}",
        version=1,
        collection="default",
        title="T",
        source_url=None,
        media_type="text/plain",
        text=text,
        char_start=start,
        char_end=start + len(text),
        page=page,
        heading_path=(),
        metadata={},
    )
    return Passage(number, Hit(chunk), text, start, start + len(text))


def prompt(question: str, *passages: Passage) -> Prompt:
    return Prompt(question, passages, text=question, tokens=len(question.split()))
