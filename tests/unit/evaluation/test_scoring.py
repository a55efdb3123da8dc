"""One answer beside one golden question: every number by hand."""

from __future__ import annotations

import json
import math

import pytest

from app.evaluation.golden import GoldenQuestion, setting_names
from app.evaluation.scoring import METRICS, observe
from app.types import Answer, Citation, Hit, StageTrace, StoredChunk


def chunk(document: str, ordinal: int = 0) -> StoredChunk:
    return StoredChunk(
        f"{document}-{ordinal}", 1, ordinal, document, 1, "default", "T", None, "text/plain", "x", 0, 1, None, (), {}
    )


def citation(document: str, quote: str, ordinal: int = 0) -> Citation:
    return Citation(1, document, 1, "T", None, None, 0, len(quote), quote, 0, 1, 1.0, f"{document}-{ordinal}")


def answer(
    said: str, *, ranking: tuple[str, ...] = (), citations: tuple[Citation, ...] = (), abstained: bool = False,
    guess: str = "", confidence: float = 0.7,
) -> Answer:  # fmt: skip
    return Answer(
        id="ans_1", question="q", answer=said, short_answer="" if abstained else said, abstained=abstained,
        confidence=confidence, threshold=0.5, citations=citations, passages=(), model="m", collection_generation={},
        prompt_tokens=0, completion_tokens=0, timings_ms={},
        trace=(StageTrace("generate", 1.0, {"text": guess or said}),),
        candidates=tuple(Hit(chunk(*_split(name))) for name in ranking),
    )  # fmt: skip


def _split(name: str) -> tuple[str, int]:
    document, _, ordinal = name.partition("#")
    return document, int(ordinal or 0)


def scores(golden: GoldenQuestion, given: Answer) -> dict[str, float | None]:
    observed = observe(golden, given, 12.5)
    assert json.loads(json.dumps(observed)) == observed
    assert set(observed["scores"]) == set(METRICS)
    found: dict[str, float | None] = observed["scores"]
    return found


def test_a_document_stands_where_its_best_passage_does() -> None:
    golden = GoldenQuestion("q", relevant_document_ids=("b", "z"))
    found = scores(golden, answer("x", ranking=("a", "a#1", "b", "b#1", "c")))
    assert found["recall@1"] == 0
    assert found["recall@5"] == found["recall@20"] == 0.5
    assert found["mrr@10"] == 0.5  # a's second passage takes no place of its own
    assert found["ndcg@10"] == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))


def test_chunks_are_judged_one_by_one() -> None:
    golden = GoldenQuestion("q", relevant_chunk_ids=("a-1",))
    found = scores(golden, answer("x", ranking=("a", "a#1")))
    assert found["mrr@10"] == 0.5


@pytest.mark.parametrize(
    ("said", "answers", "exact", "f1"),
    [
        ("The 30 Euros.", ("30 euros",), 1, 1),
        ("about 30 euros", ("30 euros", "twenty"), 0, 0.8),
        ("三十元", ("三十元",), 1, 1),
        ("票价三十元", ("三十元",), 0, 2 * 3 / (5 + 3)),  # characters, not words
        ("30 euros [1]", ("30 euros",), 1, 1),  # a citation's marker is no part of the answer
    ],
)
def test_answers_are_compared_by_words_and_by_chinese_characters(
    said: str, answers: tuple[str, ...], exact: float, f1: float
) -> None:
    found = scores(GoldenQuestion("q", answers=answers), answer(said))
    assert found["exact_match"] == exact
    assert found["f1"] == pytest.approx(f1)


def test_a_refusal_is_right_for_what_has_no_answer_only() -> None:
    refused = answer("The documents don't say.", abstained=True, guess="30 euros")
    answered = answer("30 euros", citations=(citation("a", "It is 30 euros."),))
    unanswerable, known = GoldenQuestion("q", answerable=False), GoldenQuestion("q", answers=("30 euros",))
    assert scores(unanswerable, refused)["f1"] == 1
    assert scores(unanswerable, answered)["exact_match"] == 0
    assert scores(unanswerable, answered)["citation_precision"] == 0
    assert scores(known, refused)["exact_match"] == 0
    assert observe(known, refused, 1.0)["right"] is True, "the guess that was held back would have been right"
    assert observe(unanswerable, refused, 1.0)["right"] is False
    assert observe(GoldenQuestion("q", relevant_document_ids=("a",)), answered, 1.0)["right"] is None


def test_citations_are_right_by_id_or_by_the_words_of_an_answer() -> None:
    both = (citation("a", "It costs thirty euros."), citation("b", "Thirty days have September."))
    by_document = GoldenQuestion("q", answers=("nothing of it",), relevant_document_ids=("a",))
    assert scores(by_document, answer("x", citations=both))["citation_precision"] == 0.5
    by_chunk = GoldenQuestion("q", relevant_chunk_ids=("b-0",))
    assert scores(by_chunk, answer("x", citations=both))["citation_precision"] == 0.5
    by_words = GoldenQuestion("q", answers=("thirty euros",))
    assert scores(by_words, answer("x", citations=both))["citation_precision"] == 0.5
    assert scores(GoldenQuestion("q"), answer("x", citations=both))["citation_precision"] is None
    assert scores(by_words, answer("x"))["citation_precision"] is None


def test_whether_there_is_an_answer_follows_from_what_is_known() -> None:
    assert GoldenQuestion("q").has_answer is None
    assert GoldenQuestion("q", answers=("a",)).has_answer is True
    assert GoldenQuestion("q", relevant_chunk_ids=("1-0",)).has_answer is True
    assert GoldenQuestion("q", answerable=False).has_answer is False


def test_settings_have_names_of_their_own() -> None:
    assert setting_names([{}, {"name": "a"}, {"name": "a"}]) == ["setting 1", "a", "a (3)"]
