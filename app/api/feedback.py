"""`POST /v1/feedback`: whether an answer, or one chunk in it, helped. Kept for evaluation and training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from app.api.errors import documented
from app.api.state import Ready, State, Writer
from app.api.wire import Text, WireRequest, WireResponse

router = APIRouter(tags=["asking"])


def _not_a_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be -1 or 1")
    return value


class FeedbackBody(WireRequest):
    answer_id: Text = Field(min_length=1, max_length=200, examples=["ans_6n0Yw8v2XJc1q9sD"])
    rating: Annotated[Literal[-1, 1], BeforeValidator(_not_a_boolean)]
    chunk_id: Text | None = Field(None, max_length=200, description="the chunk that the rating is about")
    comment: Text | None = Field(None, max_length=10_000)


class StoredFeedbackBody(WireResponse):
    id: int
    answer_id: str
    rating: int
    chunk_id: str | None
    comment: str | None


@router.post(
    "/v1/feedback",
    status_code=201,
    response_model=StoredFeedbackBody,
    responses=documented(401, 403, 404, 422, 503),
)
async def give_feedback(body: FeedbackBody, state: State, services: Ready, caller: Writer) -> StoredFeedbackBody:
    """Stores the rating; 404 when no such answer was given here."""

    def store() -> int:
        answer = services.catalog.get_answer(body.answer_id)
        for collection in answer.get("collection_generation", {}):
            caller.need_collection(collection)
        return int(services.catalog.add_feedback(body.answer_id, body.rating, body.chunk_id, body.comment))

    number = await state.blocking(store)
    return StoredFeedbackBody(
        id=number, answer_id=body.answer_id, rating=body.rating, chunk_id=body.chunk_id, comment=body.comment
    )
