"""`POST /v1/rerank`: texts of the caller's own ordered for a query, in Cohere's and Jina's shape."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field

from app.api.errors import invalid_field, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.openai.shapes import LenientRequest, new_id
from app.api.options import check_question
from app.api.state import Reader, Ready, State
from app.api.wire import Text
from app.telemetry import Trace

if TYPE_CHECKING:
    from app.bootstrap import Services

router = APIRouter(tags=["openai"])
MAX_DOCUMENTS = 1_000
_BATCH = 64


class RerankBody(LenientRequest):
    query: Text
    documents: list[Text | dict[str, Any]] = Field(min_length=1, max_length=MAX_DOCUMENTS)
    model: Text = ""
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False

    def texts(self) -> list[str]:
        """The texts of the documents. Raises `InvalidFields` for an object without one."""
        texts = []
        for index, document in enumerate(self.documents):
            text = document if isinstance(document, str) else document.get("text")
            if not isinstance(text, str):
                raise invalid_field(("body", "documents", index), 'must be a string or {"text": "…"}', "document")
            texts.append(text)
        return texts


@router.post("/v1/rerank")
async def rerank(body: RerankBody, request: Request, state: State, services: Ready, _: Reader) -> dict[str, Any]:
    """Every document comes back with its `index` and `relevance_score`, best first; `top_n` keeps the first few."""
    check_question(("body", "query"), body.query, state.settings.limits)
    texts = body.texts()
    trace = Trace(request_id_of(request.scope))
    future = state.models.submit_steps(_scored(services, body.query, texts, trace), line_of(request.scope))
    scores, tokens = await until_disconnect(request, future, trace.cancel)
    order = sorted(range(len(texts)), key=lambda index: (-scores[index], index))
    results = [
        {"index": index, "relevance_score": scores[index]}
        | ({"document": {"text": texts[index]}} if body.return_documents else {})
        for index in order[: body.top_n]
    ]
    return {
        "id": new_id("rerank"),
        "object": "list",
        "model": body.model or "attest-reranker",
        "results": results,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "meta": {"billed_units": {"search_units": 1}},
    }


def _scored(
    services: Services, query: str, texts: list[str], trace: Trace
) -> Generator[None, None, tuple[list[float], int]]:
    """A batch at a time, so that a question waits for one batch and not for a thousand texts."""
    from app.rerank.texts import score_texts  # here: it brings LightGBM, and the process answers /health before that

    rows = []
    for start in range(0, len(texts), _BATCH):
        trace.check()
        rows.append(services.encoder.encode_passages(texts[start : start + _BATCH]))
        yield
    scores = score_texts(query, texts, services.encoder, services.ranker, np.concatenate(rows))
    return scores, sum(services.encoder.count_tokens([query, *texts]))
