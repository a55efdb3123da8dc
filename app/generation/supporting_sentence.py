"""Yes-or-no questions: the sentence that bears on them.

The reader copies; "yes" and "no" stand in no passage. It gives the sentence in which it would have answered and which
holds the question's terms, and leaves the verdict to whoever reads it: words shared are no entailment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.generation.citations import quote_span
from app.generation.reader_spans import Candidate
from app.index.analysis import sentence_spans
from app.types import Passage, PassageSpan

_CANDIDATES = 8
_COVERAGE_WEIGHT = 12.0
"""Beside a candidate's rank score (natural log): a statement is asked about in its own words."""


def supporting_sentence(
    ranked: Sequence[Candidate], passages: Sequence[Passage], coverage: Callable[[PassageSpan], float]
) -> tuple[Candidate, PassageSpan]:
    """Return the candidate whose sentence bears most on the question, and that sentence.

    Candidates that run over the end of a sentence count only where there is no other: two sentences hold more terms.

    Args:
        ranked: the reader's answers, best first, at least one.
        passages: of the prompt.
        coverage: share in [0, 1] of the question's terms within a span.
    """
    quoted = [(each, quote_span(passages[each.spans[0].passage], each.spans[0])) for each in ranked[:_CANDIDATES]]
    alone = [(each, span) for each, span in quoted if len(_sentences(passages, span)) == 1]
    return max(alone or quoted, key=lambda pair: pair[0].rank_score + _COVERAGE_WEIGHT * coverage(pair[1]))


def _sentences(passages: Sequence[Passage], span: PassageSpan) -> list[tuple[int, int]]:
    return sentence_spans(passages[span.passage].text[span.char_start : span.char_end])
