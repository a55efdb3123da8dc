"""A prompt that was read, and what the decoder found in it before the passages' prior ranks it: one search serves many
weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from app.generation.reader_spans import Candidate, PassageRow, pool
from app.generation.verifier import Claim, Verifier
from app.transformer.pointer import Memory
from app.types import Passage, PassageSpan, Prompt

SUREST = 6.0
"""The most log-odds of the verifier that count in the ranking; it says up to about 5.5."""
_CELL_BONUS = 30.0  # to the rank score (natural log) of the table cell that the question names: it decides


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """A prompt after the encoder: its question's ids, its rows and the memory over them (`None` without any row)."""

    prompt: Prompt
    question_ids: list[int]
    rows: tuple[PassageRow, ...]
    memory: Memory | None


@dataclass(frozen=True, slots=True)
class Found:
    """Answers that a prompt was searched for, in no order.

    `candidates` may spell the same in several places; `log_prior` is ln p(passage | question) of each passage. In the
    RAG modes `posteriors` has an entry for each text, and the candidates are pooled and ranked already; `passage_mass`
    is fusion's. `cells` are first and last position of the table cells that the question names; `verified` keeps what
    the verifier has said of places so far.
    """

    candidates: Sequence[Candidate]
    null_logprob: float
    passage_mass: tuple[float, ...] = ()
    log_prior: tuple[float, ...] = ()
    posteriors: tuple[tuple[str, tuple[float, ...]], ...] = ()
    cells: frozenset[tuple[int, ...]] = frozenset()
    verified: dict[PassageSpan, float | None] = field(default_factory=dict)

    def ranked(self, prior_weight: float) -> list[Candidate]:
        """Return the answers best first, each once; `prior_weight` is of ln p(passage | question) in the rank score."""
        if not self.log_prior:
            return list(self.candidates)
        return pool(
            [
                replace(
                    one,
                    rank_score=one.rank_score
                    + prior_weight * self.log_prior[one.spans[0].passage]
                    + _CELL_BONUS * self.names_cell(one),
                )
                for one in self.candidates
            ]
        )

    def names_cell(self, candidate: Candidate) -> bool:
        """Return whether a candidate is the table cell that the question names by row and column."""
        return (candidate.first, candidate.last) in self.cells


def second_look(
    verifier: Verifier,
    read: ReadPrompt,
    found: Found,
    compared: Sequence[Candidate],
    headings: Sequence[Sequence[int]],
    *,
    weight: float,
    check: Callable[[], None],
) -> tuple[Candidate, float | None]:
    """Return the best of some answers by rank score + `weight` · log-odds, and its log-odds of being right.

    Answers that no log-odds could bring to the front are not looked at: most of the time one look is enough.

    Args:
        verifier: gives the log-odds, of the first span of each answer.
        read: the prompt.
        found: in it; keeps what the verifier says.
        compared: answers, best first, at least one.
        headings: the reader's tokens above each passage.
        weight: of the log-odds.
        check: called before the work; may raise.
    """
    best, best_score, best_logit = compared[0], -math.inf, None
    for one in compared:
        if best_score >= one.rank_score + weight * SUREST:
            continue  # however sure the verifier were, this answer would not come first
        span = one.spans[0]
        if span not in found.verified:
            tokens = next(row.tokens for row in read.rows if row.passage == span.passage)
            text = read.prompt.passages[span.passage].text
            claim = Claim(text, tokens, headings[span.passage], span.char_start, span.char_end)
            (found.verified[span],) = verifier(read.question_ids, [claim], check)
        logit = found.verified[span]
        score = one.rank_score + weight * min(logit or 0.0, SUREST)
        if score > best_score:
            best, best_score, best_logit = one, score, logit
    return best, best_logit


def heading_of(passage: Passage) -> str:
    """Return what the reader is shown above a passage: its document's title and its last heading."""
    chunk = passage.hit.chunk
    return " › ".join(dict.fromkeys(part for part in (chunk.title, *chunk.heading_path[-1:]) if part))
