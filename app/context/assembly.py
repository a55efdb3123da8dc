"""Hits → a numbered, deduplicated prompt within a token budget."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from app.context.overlap import DUPLICATE_CONTAINMENT, MIN_REST_CHARS, Shingles, containment, rest_after, shingles
from app.context.templates import Template, template_for
from app.errors import InvalidInput
from app.index.analysis import sentence_spans
from app.types import Hit, Message, Passage, Prompt, Style

CountTokens = Callable[[Sequence[str]], list[int]]


def assemble(
    question: str,
    hits: Sequence[Hit],
    *,
    max_chunks: int,
    budget_tokens: int,
    count_tokens: CountTokens,
    template: str,
    refusal: str = "",
    guidance: str = "",
    history: Sequence[Message] = (),
    style: Style = "auto",
) -> Prompt:
    """The prompt of the best hits, in their order, numbered from 1.

    A passage that repeats a chosen one is left out; one that overlaps a chosen one of the same document version is cut
    to what it adds. A passage that does not fit the rest of the budget is left out and a later, shorter one may still
    come in; the best one is cut to its leading sentences rather than lost. `dropped` names each hit considered and left
    out, with the reason.

    Args:
        question: as asked.
        hits: best first.
        max_chunks: most passages in the prompt.
        budget_tokens: of the passages as the template renders them; question and instruction come on top.
        count_tokens: tokens of each text, without special tokens.
        template: the generator's name.
        refusal: the sentence that an instructed generator is to say when the passages hold no answer.
        guidance: what an instructed generator is told beside its instruction, in the operator's words.
        history: earlier turns, handed on as they are.
        style: the form of answer that an instructed generator is told to give.

    Raises:
        InvalidInput: `max_chunks` or `budget_tokens` is below 1.
    """
    if max_chunks < 1 or budget_tokens < 1:
        raise InvalidInput(f"max_chunks ({max_chunks}) and budget_tokens ({budget_tokens}) must be at least 1")
    chosen = template_for(template, question, style).guided(guidance)
    passages: list[Passage] = []
    known: list[Shingles] = []
    dropped: list[str] = []
    left_tokens = budget_tokens
    for hit in hits:
        if len(passages) == max_chunks:
            break
        chunk = hit.chunk
        same = [(p.char_start, p.char_end) for p in passages if p.hit.chunk.version_id == chunk.version_id]
        start, end = rest_after(chunk, same)
        if end - start < (MIN_REST_CHARS if (start, end) != (chunk.char_start, chunk.char_end) else 1):
            dropped.append(f"{chunk.chunk_id}: nothing beyond passages already chosen from the same document")
            continue
        passage = _passage(len(passages) + 1, hit, start, end)
        own = shingles(passage.text)
        double = next((n for n, other in enumerate(known, 1) if containment(own, other) >= DUPLICATE_CONTAINMENT), None)
        if double is not None:
            dropped.append(f"{chunk.chunk_id}: near-duplicate of passage {double}")
            continue
        tokens = _tokens(chosen, passage, count_tokens)
        if tokens > left_tokens and not passages:
            passage = _cut(chosen, passage, left_tokens, count_tokens)
            tokens = _tokens(chosen, passage, count_tokens)
        if tokens > left_tokens:
            dropped.append(f"{chunk.chunk_id}: {tokens} tokens, {left_tokens} left of the budget")
            continue
        left_tokens -= tokens
        passages.append(passage)
        known.append(own)
    text = chosen.render(question, passages, refusal)
    return Prompt(
        question=question,
        passages=tuple(passages),
        text=text,
        tokens=count_tokens([text])[0],
        dropped=tuple(dropped),
        instruction=chosen.instruct(refusal),
        history=tuple(history),
    )


def _passage(number: int, hit: Hit, start: int, end: int) -> Passage:
    chunk = hit.chunk
    return Passage(number, hit, chunk.text[start - chunk.char_start : end - chunk.char_start], start, end)


def _tokens(template: Template, passage: Passage, count_tokens: CountTokens) -> int:
    chunk = passage.hit.chunk
    return count_tokens([template.passage(passage.number, chunk.title, chunk.page, passage.text)])[0]


def _cut(template: Template, passage: Passage, budget_tokens: int, count_tokens: CountTokens) -> Passage:
    """The longest run of leading sentences that fits; of the first sentence's characters where not even it does."""
    ends = [end for _, end in sentence_spans(passage.text)]
    for candidates in (ends, range(1, len(passage.text))):
        # bisect asks log2(n) times; a longer prefix never has fewer tokens by more than a joined word piece
        fits = bisect_right(
            candidates,
            budget_tokens,
            key=lambda end: _tokens(template, _prefix(passage, end), count_tokens),
        )
        if fits:
            return _prefix(passage, candidates[fits - 1])
    return passage


def _prefix(passage: Passage, end: int) -> Passage:
    text = passage.text[:end].rstrip()
    return Passage(passage.number, passage.hit, text, passage.char_start, passage.char_start + len(text))
