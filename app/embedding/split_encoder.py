"""Questions through one encoder, passages through another: a query encoder that was trained for an index as it is."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import InvalidInput
from app.protocols import Encoder, Float32


class SplitEncoder:
    """Implements `Encoder`. What an index depends on is the passages' encoder, so the name is its name.

    Args:
        passages: that the index was built with.
        queries: whose vectors lie in the same space, as `attest train retriever-marginal` makes it.

    Raises:
        InvalidInput: vectors of different lengths.

    Source: two encoders: Karpukhin et al. 2020, section 3.1; the index fixed: Lewis et al. 2020, section 2.4.
    """

    def __init__(self, passages: Encoder, queries: Encoder) -> None:
        if passages.embed_dim != queries.embed_dim:
            raise InvalidInput(
                f"embedding.query_model has vectors of {queries.embed_dim} numbers, embedding.model of "
                f"{passages.embed_dim}: take a query encoder that was trained from this model"
            )
        self._passages = passages
        self._queries = queries

    @property
    def name(self) -> str:
        return self._passages.name

    @property
    def embed_dim(self) -> int:
        return self._passages.embed_dim

    @property
    def max_tokens(self) -> int:
        return self._passages.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not included."""
        return self._passages.count_tokens(texts)

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given."""
        return self._passages.encode_passages(texts)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given."""
        return self._queries.encode_queries(texts)
