"""A hypothetical passage that would answer the question, embedded beside it.

Source: HyDE, Gao et al. 2023, section 3, where a language model writes the passage. Without one it is put together: the
question as a statement, and the sentences of the first look that share most with it (pseudo-relevance feedback in the
dense index, as in Rocchio 1971).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.index.analysis import analyze, sentence_spans
from app.query.surface import is_chinese

_SENTENCES = 2
_CHARS = 600
_AUXILIARY = re.compile(
    r"^(?:what|who|which|when|where|why|how)\b(?:\s+(?:is|are|was|were|do|does|did|can|will|has|have|had))?\s*", re.I
)


def hypothetical_passage(question: str, feedback: Sequence[str]) -> str | None:
    """The passage; None without feedback, for then it would only repeat the question."""
    asked = set(analyze(question))
    scored = []
    for rank, passage in enumerate(feedback):
        for start, end in sentence_spans(passage):
            terms = analyze(passage[start:end])
            shared = asked & set(terms)
            if shared and len(terms) > len(shared):
                scored.append((-len(shared) / (5 + len(terms)) ** 0.5, rank, start, passage[start:end].strip()))
    if not scored:
        return None
    best = [sentence for *_, sentence in sorted(scored)[:_SENTENCES]]
    return " ".join([_statement(question), *best])[:_CHARS]


def _statement(question: str) -> str:
    text = question.strip(" ?？")
    if is_chinese(text):
        return re.sub(r"(?:是)?(?:什么|谁|哪里|哪个|多少|几|何时)|吗|呢|请问", "", text) + "。"
    rest = _AUXILIARY.sub("", text)
    return (rest or text) + "."
