"""What people said about a collection's passages, a question a case, and whether that is enough to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.index.evaluations import EvaluationStore
from app.index.rerankers import RerankerStore
from app.rerank.judgements import JudgedQuestion, from_golden, from_ratings, merged, normalized

MIN_QUESTIONS = 30
MIN_HELD_OUT = 8
MIN_TRAINING = 16
NEEDED = (
    f"needed are {MIN_QUESTIONS} such questions, at least {MIN_TRAINING} to train on and {MIN_HELD_OUT} to measure "
    "with: rate more answers, or send a golden set along"
)


@dataclass(frozen=True, slots=True)
class Collected:
    """The questions with a passage that is known to be relevant and still there.

    `ratings` and `golden` are how many of each were read. `unhelpful` is how many rated questions no passage of which
    has more praise than blame; `gone` how many questions whose relevant passages the collection no longer has.
    """

    questions: Sequence[JudgedQuestion]
    ratings: int
    golden: int
    unhelpful: int
    gone: int

    @property
    def to_measure(self) -> int:
        return sum(each.held_out for each in self.questions)

    @property
    def to_train(self) -> int:
        return len(self.questions) - self.to_measure

    @property
    def needed(self) -> tuple[int, int, int]:
        """How many more questions a training needs: in all, to train on, to measure with. See `lacking`."""
        return lacking(self.to_train, self.to_measure)

    def check_enough(self) -> None:
        """Raises InvalidInput that says how many questions there are and how many are needed."""
        if self.needed[0] > 0:
            raise InvalidInput(
                f"too little feedback to train on: {self.ratings + self.golden} ratings and golden questions name "
                f"relevant passages for {len(self.questions)} different questions ({self.to_train} to train on, "
                f"{self.to_measure} to measure with); {NEEDED}"
            )


def lacking(to_train: int, to_measure: int) -> tuple[int, int, int]:
    """How many more questions a training needs: in all, to train on, to measure with. All 0 where it is enough."""
    train, measure = max(0, MIN_TRAINING - to_train), max(0, MIN_HELD_OUT - to_measure)
    return max(MIN_QUESTIONS - to_train - to_measure, train + measure), train, measure


def collect(
    collection: str, store: RerankerStore, evaluations: EvaluationStore, golden: Sequence[Mapping[str, Any]] = ()
) -> Collected:
    """What the ratings of a collection's answers say, and a golden set, which overrules them.

    Raises:
        NotFound: no such collection.
    """
    ratings = list(store.ratings(collection))
    praised = from_ratings(ratings)
    judged = merged(from_golden(golden), praised)
    no_chunks = evaluations.unknown_chunks(
        collection, sorted({chunk_id for question in judged for chunk_id in question.chunk_ids})
    )
    no_documents = evaluations.unknown_documents(
        collection, sorted({document_id for question in judged for document_id in question.document_ids})
    )
    there = [
        JudgedQuestion(question.question, question.chunk_ids - no_chunks, question.document_ids - no_documents)
        for question in judged
    ]
    found = [question for question in there if question.chunk_ids or question.document_ids]
    return Collected(
        questions=found,
        ratings=len(ratings),
        golden=len(golden),
        unhelpful=len({normalized(rated.question) for rated in ratings}) - len(praised),
        gone=len(judged) - len(found),
    )
