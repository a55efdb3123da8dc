"""Query translation: other questions to ask of the indexes beside the original, each kind by a language model, by the
bundled writer or by rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from app.errors import AttestError, Cancelled
from app.index.analysis import analyze
from app.protocols import TextModel
from app.query.decomposition import decompose
from app.query.expansion import TermStatistics, multi_query
from app.query.hypothetical import hypothetical_passage
from app.query.rewriting import Rewriting, standing_alone
from app.query.step_back import step_back
from app.query.written import write
from app.types import Query

Kind = Literal["multi_query", "hyde", "decompose", "step_back"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WRITER_TASKS: Mapping[str, str] = {
    "multi_query": "paraphrase",
    "hyde": "hyde",
    "decompose": "decompose",
    "step_back": "step_back",
}
_MOST_CHARS = 1_500
_MOST_QUERIES = 8


@dataclass(frozen=True, slots=True)
class TranslationStep:
    """What one kind gave: by whom, how many queries were kept, in what time; `error` where a model failed.

    `how` is "rules", "writer" or the name of the language model; "none" where there was no time left.
    """

    kind: str
    how: str
    queries: int
    ms: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Translated:
    """`queries[0]` is the original, always."""

    queries: tuple[Query, ...]
    steps: tuple[TranslationStep, ...]


class Translator:
    """Stateless: threads may share it.

    Args:
        model: follows instructions; None leaves the rules and the writer alone.
        rewriting: the bundled writer and when it is asked; by default never.
        budget_ms: time for all kinds together; a kind that would begin after it is left out.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        model: TextModel | None = None,
        *,
        rewriting: Rewriting | None = None,
        budget_ms: float = 4_000,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model = model
        self._rewriting = rewriting or Rewriting()
        self._budget_ms = budget_ms
        self._clock = clock

    def translate(
        self,
        question: str,
        kinds: Sequence[str],
        *,
        feedback: Sequence[str] = (),
        statistics: TermStatistics | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Translated:
        """The original question and what its kinds add; a kind that fails is told in its step and adds nothing.

        Duplicates, by the index's own terms, and empty or overlong texts are dropped.

        Args:
            question: standalone.
            kinds: of `KINDS`, in the order wanted; repeats count once.
            feedback: texts of the best passages of a first look, best first.
            statistics: what terms weigh in the collections.
            cancelled: stops the model's writing.

        Raises:
            Cancelled: `cancelled()` was true.
        """
        queries = [Query(question)]
        seen = {_key(question)}
        steps = []
        started = self._clock()
        for kind in dict.fromkeys(kinds):
            begun = self._clock()
            if 1_000 * (begun - started) >= self._budget_ms:
                steps.append(TranslationStep(kind, "none", 0, 0.0, f"the {self._budget_ms:.0f} ms for it were spent"))
                continue
            texts, how, error = self._texts(kind, question, feedback, statistics, cancelled)
            kept = 0
            for text in texts:
                key = _key(text)
                if not key or key in seen or len(text) > _MOST_CHARS or len(queries) >= _MOST_QUERIES:
                    continue
                seen.add(key)
                queries.append(Query(text, kind, question))
                kept += 1
            steps.append(TranslationStep(kind, how, kept, 1_000 * (self._clock() - begun), error))
        return Translated(tuple(queries), tuple(steps))

    def _texts(
        self,
        kind: str,
        question: str,
        feedback: Sequence[str],
        statistics: TermStatistics | None,
        cancelled: Callable[[], bool],
    ) -> tuple[list[str], str, str | None]:
        error = None
        if self._model is not None:
            try:
                return write(kind, question, self._model, cancelled), self._model.name, None
            except Cancelled:
                raise
            except AttestError as failure:
                error = failure.message
        texts, failed = self._rewriting.texts(
            WRITER_TASKS[kind], question, most=2 if kind == "multi_query" else 1, cancelled=cancelled
        )
        if texts:
            return standing_alone(texts) if kind == "decompose" else texts, "writer", error
        return _by_rules(kind, question, feedback, statistics), "rules", error or failed


def _by_rules(kind: str, question: str, feedback: Sequence[str], statistics: TermStatistics | None) -> list[str]:
    if kind == "multi_query":
        return multi_query(question, feedback, statistics)
    if kind == "decompose":
        return decompose(question)
    text = hypothetical_passage(question, feedback) if kind == "hyde" else step_back(question)
    return [] if text is None else [text]


def _key(text: str) -> tuple[str, ...]:
    """The terms in order: what the index can not tell apart is the same query."""
    return tuple(analyze(text))
