"""From positions in the reader's memory to answers: exact character spans, pooled by spelling."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.transformer.pointer_rows import SourceRow
from app.transformer.pointer_search import CopiedSequence
from app.transformer.tokenizers import TokenizedText
from app.types import GenerationOptions, Passage, PassageSpan

_JOINERS = frozenset("@._,")
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class PassageRow:
    """One window of a passage: `passage` is its 0-based index, `tokens` are those of the whole passage."""

    passage: int
    tokens: TokenizedText
    source: SourceRow


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer string with its best place; `logprob` and `rank_score` sum over all its places."""

    text: str
    spans: tuple[PassageSpan, ...]
    positions: frozenset[int]
    logprob: float
    rank_score: float
    tokens: int
    first: int  # position of the best place's first token in the memory
    last: int


def locate(sequence: CopiedSequence, rows: Sequence[PassageRow], length: int, passages: Sequence[Passage]) -> Candidate:
    """Return the answer at `sequence`; neighbouring positions join into one span, widened to whole words.

    Args:
        sequence: positions in the memory, in copying order.
        rows: of the memory, `length` positions each, padding included.
        length: of a row.
        passages: that the rows come from; several spans are joined with ", " in `text`.
    """
    spans: list[PassageSpan] = []
    last = -2
    for position in sequence.positions:
        row = rows[position // length]
        token = row.source.first_token + position % length - row.source.copy_start
        start, end = row.tokens.offsets[token]
        if position == last + 1 and spans and spans[-1].passage == row.passage:
            spans[-1] = PassageSpan(row.passage, spans[-1].char_start, end)
        else:
            spans.append(PassageSpan(row.passage, start, end))
        last = position
    whole = tuple(whole_words(span, passages[span.passage].text) for span in spans)
    text = ", ".join(passages[span.passage].text[span.char_start : span.char_end] for span in whole)
    return Candidate(
        text,
        whole,
        frozenset(sequence.positions),
        sequence.logprob,
        sequence.rank_score,
        len(sequence.positions),
        sequence.positions[0],
        sequence.positions[-1],
    )


def positions_of(span: PassageSpan, rows: Sequence[PassageRow], length: int) -> tuple[int, ...]:
    """Return the positions in the memory that copy a span, in the first row that holds all of it; empty without one.

    Args:
        span: of a passage.
        rows: of the memory, `length` positions each, padding included.
        length: of a row.
    """
    for index, row in enumerate(rows):
        if row.passage != span.passage:
            continue
        first = row.source.first_token
        inside = [
            token
            for token, (start, end) in enumerate(row.tokens.offsets)
            if start >= span.char_start and end <= span.char_end
        ]
        if inside and first <= inside[0] and inside[-1] < first + row.source.copy_count:
            return tuple(index * length + row.source.copy_start + token - first for token in inside)
    return ()


def whole_words(span: PassageSpan, text: str) -> PassageSpan:
    """Return the span widened until it cuts no word, number or address, and without closing punctuation.

    The tokenizer's pieces are smaller than words: `support@example.com` is five of them, `1,250.5` is five, too.
    A full stop stays after a short word or one with another full stop ("U.S.", "Inc.").
    """
    start, end = span.char_start, span.char_end
    while _joined(text, start):
        start -= 1
    while _joined(text, end):
        end += 1
    while end - start > 1 and text[end - 1] in ",;:，；：、。":
        end -= 1
    last_word = text[start:end].rsplit(maxsplit=1)[-1] if text[start:end].strip() else ""
    if len(last_word) > 4 and last_word.endswith(".") and "." not in last_word[:-1]:
        end -= 1
    return PassageSpan(span.passage, start, end)


def _joined(text: str, cut: int) -> bool:
    """Whether the characters on both sides of `cut` belong together."""
    if not 0 < cut < len(text):
        return False
    left, right = text[cut - 1], text[cut]
    if _in_word(left) and _in_word(right):
        return True
    before, after = text[cut - 2 : cut - 1], text[cut + 1 : cut + 2]
    if right in _JOINERS:
        return left.isalnum() and after.isalnum() and (right != "," or (left.isdigit() and after.isdigit()))
    if left in _JOINERS:
        return right.isalnum() and before.isalnum() and (left != "," or (right.isdigit() and before.isdigit()))
    return False


def _in_word(character: str) -> bool:
    """Whether it is a letter or digit of a script that sets words apart by spaces, as Chinese and Japanese do not."""
    return character.isalnum() and not _UNSPACED.match(character)


def pool(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the answers best first, each once: equal spellings add their probabilities and keep the best place."""
    by_text: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_text.setdefault(" ".join(candidate.text.casefold().split()), []).append(candidate)
    pooled = []
    for places in by_text.values():
        best = max(places, key=lambda c: c.rank_score)
        logprob = min(0.0, _log_sum([c.logprob for c in places]))
        score = _log_sum([c.rank_score for c in places])
        positions = frozenset(position for place in places for position in place.positions)
        pooled.append(replace(best, positions=positions, logprob=logprob, rank_score=score))
    return sorted(pooled, key=lambda c: (-c.rank_score, c.text))


def draw(ranked: Sequence[Candidate], options: GenerationOptions) -> Candidate:
    """Return the best candidate, or with `temperature > 0` one drawn with probability ∝ `p^(1 / temperature)`."""
    if options.temperature <= 0:
        return ranked[0]
    weights = [math.exp((c.rank_score - ranked[0].rank_score) / options.temperature) for c in ranked]
    return random.Random(options.seed).choices(ranked, weights)[0]


def _log_sum(logarithms: Sequence[float]) -> float:
    largest = max(logarithms)
    return largest + math.log(sum(math.exp(x - largest) for x in logarithms))
