"""A small corpus: the right paragraph comes first and knows its ranks."""

from __future__ import annotations

from app.rerank.ranker import Ranker
from app.training.mixed_corpus import left_out, mixed_corpus
from tests.fakes import FakeEncoder

TEXTS = [
    "The lighthouse at Skagen was lit in 1858 by the keeper Anders Holm.",
    "Sourdough bread needs flour, water, salt and a day of patience.",
    "The ferry to Anholt leaves Grenaa twice a day in summer.",
]


def test_prompts_have_the_scores_and_ranks_of_service() -> None:
    with mixed_corpus(TEXTS, FakeEncoder(), Ranker.load()) as corpus:
        prompt = corpus.prompt("When was the lighthouse at Skagen lit?", passages=2)
    assert prompt.question == "When was the lighthouse at Skagen lit?"
    assert [passage.number for passage in prompt.passages] == [1, 2]
    first = prompt.passages[0]
    assert first.text == TEXTS[0]
    assert first.text == first.hit.chunk.text[first.char_start : first.char_end]
    assert {"bm25", "cosine", "rrf", "rerank"} <= set(first.hit.scores)
    assert (first.hit.ranks["bm25"], first.hit.ranks["rerank"]) == (1, 1)


def test_about_the_share_is_left_out_always_the_same() -> None:
    texts = [f"paragraph {number}" for number in range(1000)]
    gone = [text for text in texts if left_out(text, 0.35)]
    assert 300 < len(gone) < 400
    assert gone == [text for text in texts if left_out(text, 0.35)]
    assert not any(left_out(text, 0.0) for text in texts)
    assert all(left_out(text, 1.0) for text in texts)
