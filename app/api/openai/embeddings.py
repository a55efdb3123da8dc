"""`POST /v1/embeddings`: the index's own embedder, as OpenAI's clients call it."""

from __future__ import annotations

import base64
from collections.abc import Generator
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field

from app.api.errors import invalid_field, request_id_of
from app.api.executor import line_of, until_disconnect
from app.api.openai.models import embedding_model_name
from app.api.openai.shapes import LenientRequest
from app.api.state import Reader, Ready, State
from app.api.wire import Text
from app.telemetry import Trace

router = APIRouter(tags=["openai"])
MAX_INPUTS = 2_048
_BATCH = 64
_Token = Annotated[int, Field(strict=True)]


class EmbeddingsBody(LenientRequest):
    input: Text | list[Text] | list[_Token] | list[list[_Token]]
    model: str = Field("", max_length=400, description="any name: there is one embedder; the answer says which")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)

    def texts(self) -> list[str]:
        """The inputs. Raises `InvalidFields` for none, too many, an empty one, or token ids."""
        loc = ("body", "input")
        given = [self.input] if isinstance(self.input, str) else list(self.input)
        if not 1 <= len(given) <= MAX_INPUTS:
            raise invalid_field(loc, f"must hold 1 to {MAX_INPUTS} texts, holds {len(given)}", "too_long")
        texts = [text for text in given if isinstance(text, str)]
        if len(texts) < len(given):
            raise invalid_field(
                loc, "must be text: token ids of another model mean nothing to this one; send strings", "tokens"
            )
        if any(not text for text in texts):
            raise invalid_field(loc, "must not hold an empty text", "blank")
        return texts


@router.post("/v1/embeddings")
async def embeddings(
    body: EmbeddingsBody, request: Request, state: State, services: Ready, _: Reader
) -> dict[str, Any]:
    """Unit-length vectors in the order given; a text past the model's window is cut, as in the index."""
    texts = body.texts()
    encoder = services.encoder
    if body.dimensions not in (None, encoder.embed_dim):
        raise invalid_field(
            ("body", "dimensions"), f"must be {encoder.embed_dim}, what the model gives, or be left out", "dimensions"
        )
    trace = Trace(request_id_of(request.scope))

    def encode() -> Generator[None, None, tuple[list[Any], int]]:
        """A batch at a time, so that a question waits for one batch and not for two thousand texts."""
        rows: list[Any] = []
        for start in range(0, len(texts), _BATCH):
            trace.check()
            rows.extend(np.asarray(encoder.encode_passages(texts[start : start + _BATCH]), dtype="<f4"))
            yield
        return rows, sum(encoder.count_tokens(texts))

    future = state.models.submit_steps(encode(), line_of(request.scope))
    vectors, tokens = await until_disconnect(request, future, trace.cancel)
    as_text = body.encoding_format == "base64"
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(vector.tobytes()).decode("ascii") if as_text else vector.tolist(),
            }
            for index, vector in enumerate(vectors)
        ],
        "model": embedding_model_name(services),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
