"""What a passage adds to those already chosen: nothing (near-duplicate), a part (overlap), or all of itself."""

from __future__ import annotations

from collections.abc import Sequence

from app.index.analysis import analyze, sentence_spans
from app.types import StoredChunk

SHINGLE_TERMS = 5
DUPLICATE_CONTAINMENT = 0.8
"""Share of a passage's shingles inside another from which it says nothing new."""

MIN_REST_CHARS = 40
"""A rest shorter than this after cutting an overlap is not worth a number of its own."""

Shingles = frozenset[tuple[str, ...]]


def shingles(text: str) -> Shingles:
    """The distinct runs of five index terms; the whole sequence for shorter texts."""
    terms = analyze(text)
    if len(terms) <= SHINGLE_TERMS:
        return frozenset([tuple(terms)]) if terms else frozenset()
    return frozenset(zip(*(terms[offset:] for offset in range(SHINGLE_TERMS)), strict=False))


def containment(part: Shingles, whole: Shingles) -> float:
    """`|part ∩ whole| / |part|`, 0 for an empty part."""
    return len(part & whole) / len(part) if part else 0.0


def rest_after(chunk: StoredChunk, taken: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """`[char_start, char_end)` of what `chunk` adds to spans of the same document version; empty when it adds nothing.

    A sentence that a taken span cuts in two stays whole, so that an answer across the cut can still be quoted. Where
    taken spans lie inside the chunk, the longer side is kept.
    """
    start, end = chunk.char_start, chunk.char_end
    for taken_start, taken_end in taken:
        if taken_end <= start or taken_start >= end:
            continue
        before, after = max(0, taken_start - start), max(0, end - taken_end)
        if after >= before:
            start = min(_sentence_start(chunk, taken_end), end) if after else end
        else:
            end = max(_sentence_end(chunk, taken_start), start)
    text = chunk.text[start - chunk.char_start : end - chunk.char_start]
    start += len(text) - len(text.lstrip())
    end -= len(text) - len(text.rstrip())
    return (start, max(start, end))


def _sentence_start(chunk: StoredChunk, position: int) -> int:
    """Start of the first sentence of the chunk that ends after `position` (document offsets)."""
    for start, end in sentence_spans(chunk.text):
        if chunk.char_start + end > position:
            return chunk.char_start + start
    return chunk.char_end


def _sentence_end(chunk: StoredChunk, position: int) -> int:
    """End of the last sentence of the chunk that starts before `position` (document offsets)."""
    last = chunk.char_start
    for start, end in sentence_spans(chunk.text):
        if chunk.char_start + start < position:
            last = chunk.char_start + end
    return last
