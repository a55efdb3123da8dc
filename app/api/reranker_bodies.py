"""The ratings of a collection's passages on the wire: what they say, and how many a training needs."""

from __future__ import annotations

from pydantic import Field

from app.api.wire import WireResponse
from app.index.catalog import Catalog
from app.index.evaluations import EvaluationStore
from app.index.rerankers import RerankerStore


class NeededQuestionsBody(WireResponse):
    """How many more questions a training needs, in all and of each part; all 0 where there are enough."""

    questions: int
    to_train: int
    to_measure: int


class RatedPassagesBody(WireResponse):
    """What ratings say about a collection's passages; a question counts once."""

    collection: str
    ratings: int = Field(description="of answers that were sought in this collection, alone or among others")
    questions: int = Field(description="with a passage that more ratings praise than blame and that is still there")
    to_train: int = Field(description="of these, the questions that a training may learn from")
    to_measure: int = Field(description="the others, put aside by a hash of their words, which no training ever sees")
    unhelpful: int = Field(description="rated questions without such a passage: nothing is known to be relevant")
    gone: int = Field(description="questions whose relevant passages have left the collection or changed since")
    needed: NeededQuestionsBody
    enough: bool = Field(
        description="whether there are questions enough for POST /v1/rerankers/train without a golden set; it still "
        "fails where the search does not find their passages"
    )


def rated_passages_body(catalog: Catalog, collection: str) -> RatedPassagesBody:
    """The state of a collection's ratings. Raises NotFound for an unknown one."""
    from app.rerank.collected import collect  # here, so that the process can answer before models are imported

    catalog.get_collection(collection)
    found = collect(collection, RerankerStore(catalog), EvaluationStore(catalog))
    questions, to_train, to_measure = found.needed
    return RatedPassagesBody(
        collection=collection,
        ratings=found.ratings,
        questions=len(found.questions),
        to_train=found.to_train,
        to_measure=found.to_measure,
        unhelpful=found.unhelpful,
        gone=found.gone,
        needed=NeededQuestionsBody(questions=questions, to_train=to_train, to_measure=to_measure),
        enough=questions == 0,
    )
