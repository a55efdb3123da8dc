"""What ratings say about passages, counted by hand; and the split that never moves."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import InvalidInput
from app.index.rerankers import RatedAnswer
from app.rerank.judgements import JudgedQuestion, from_golden, from_ratings, merged
from app.rerank.tuning import Candidates, check_enough
from app.types import Hit
from tests.unit.rerank.conftest import Statistics, hit


def test_a_named_chunk_outweighs_one_rating_of_the_whole_answer() -> None:
    judged = from_ratings(
        [
            RatedAnswer("What  fee?", 1, None, ("1-0", "1-1")),
            RatedAnswer("what fee?", -1, "1-1", ("1-0", "1-1")),  # the same question in other letters
            RatedAnswer("Bad answers only?", -1, None, ("2-0",)),
            RatedAnswer("Undecided?", 1, None, ("3-0",)),
            RatedAnswer("Undecided?", -1, None, ("3-0",)),
        ]
    )
    assert judged == [JudgedQuestion("What  fee?", frozenset({"1-0"}))]


def test_a_golden_row_overrules_the_clicks() -> None:
    golden = from_golden(
        [{"question": "Q one", "relevant_document_ids": ["d"]}, {"question": "Q two", "answers": ["a"]}]
    )
    rated = [JudgedQuestion("q ONE", frozenset({"1-0"})), JudgedQuestion("q three", frozenset({"1-1"}))]
    assert {each.question: sorted(each.document_ids | each.chunk_ids) for each in merged(golden, rated)} == {
        "Q one": ["d"],
        "q three": ["1-1"],
    }


def test_a_question_is_held_out_by_its_words_alone() -> None:
    questions = [JudgedQuestion(f"Question number {number}?", frozenset({"1-0"})) for number in range(1_000)]
    held = [each.held_out for each in questions]
    assert 250 < sum(held) < 350
    again = [JudgedQuestion(f"  question NUMBER {number}? ", frozenset(), frozenset({"d"})) for number in range(1_000)]
    assert [each.held_out for each in again] == held


def candidates(grades: list[int], units: list[str], *, held_out: bool = False, relevant: int = 1) -> Candidates:
    features = np.zeros((len(grades), 3), dtype=np.float32)
    return Candidates(held_out, features, np.array(grades), tuple(units), relevant, tuple(range(len(grades))))


def test_a_document_counts_once_where_its_best_chunk_stands() -> None:
    found = candidates([0, 1, 1, 0], ["a", "b", "b", "c"])
    assert found.ndcg([0, 3, 1, 2]) == pytest.approx(1 / np.log2(4))
    assert found.ndcg([1, 0, 3, 2]) == 1
    assert found.base_ndcg == pytest.approx(1 / np.log2(3))
    assert found.useful
    assert not candidates([1, 1], ["a", "b"]).useful, "nothing to tell it from"
    assert not candidates([0, 0], ["a", "b"]).useful


def test_too_little_is_told_with_what_there_is() -> None:
    plenty = [candidates([0, 1], ["a", "b"], held_out=number % 3 == 0) for number in range(30)]
    check_enough(plenty, 40, 30)
    with pytest.raises(InvalidInput, match=r"40 ratings .* for 29 different questions.* for 29 \(20 to train"):
        check_enough(plenty[1:], 40, 29)
    lopsided = [candidates([0, 1], ["a", "b"], held_out=number < 7) for number in range(60)]
    with pytest.raises(InvalidInput, match="7 to measure with"):
        check_enough(lopsided, 60, 60)


def test_the_base_order_is_the_serving_models() -> None:
    from app.rerank.ranker import Ranker
    from app.rerank.tuning import candidates_of

    texts = ["Nothing of the kind here.", "The zebra fee is 30 euros.", "A zebra eats grass."]
    hits: list[Hit] = [hit(text, number=number) for number, text in enumerate(texts)]
    base = Ranker.load()
    question = JudgedQuestion("What is the zebra fee?", frozenset({"1-1"}))
    found = candidates_of(question, hits, Statistics(), base)
    assert found is not None
    order = [each.chunk.chunk_id for each in base.rerank(question.question, hits, Statistics())]
    assert [found.units[index] for index in found.base_order] == order
    assert found.grades.tolist() == [0, 1, 0]
    assert candidates_of(JudgedQuestion("q", frozenset({"9-9"})), hits, Statistics(), base) is None
