"""Any sentence-transformers model as an `Encoder`: what our own core does not compute."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.embedding.lengths import batches_by_length
from app.errors import Unavailable
from app.protocols import Float32


def load_sentence_transformer(folder: Path, dtype: Any, *, name: str, batch_tokens: int) -> SentenceTransformerEncoder:
    """The encoder in `folder`, its weights in the torch `dtype`.

    Raises:
        Unavailable: sentence-transformers can not load it, or it lacks a fast tokenizer.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": dtype},
        ).eval()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise Unavailable(
            f"embedding model in {folder} could not be loaded: {error}; it must be a folder that sentence-transformers "
            "has saved and that needs no code of its own"
        ) from error
    return SentenceTransformerEncoder(model, name=name, batch_tokens=batch_tokens)


class SentenceTransformerEncoder:
    """An `Encoder` over a loaded SentenceTransformer. Threads may share it: batches take turns."""

    def __init__(self, model: Any, *, name: str, batch_tokens: int) -> None:
        from tokenizers import Tokenizer

        self._model = model
        self._name = name
        self._batch_tokens = batch_tokens
        self._max_tokens = int(model.max_seq_length or 512)
        self._embed_dim = int(model.get_embedding_dimension())
        # One forward pass already uses every core, and the model's tokenizer changes its own truncation state.
        self._turn = threading.Lock()
        backend = getattr(model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise Unavailable(
                f"embedding model {name} has no fast tokenizer, which counting tokens needs: choose another"
            )
        self._counter = Tokenizer.from_str(backend.to_str())
        self._counter.no_truncation()
        self._counter.no_padding()

    @property
    def name(self) -> str:
        return self._name

    @property
    def embed_dim(self) -> int:
        return self._embed_dim

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not included."""
        encodings = self._counter.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given."""
        return self._encode(texts, self._model.encode_document)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given, the query prompt of the model in front if any."""
        return self._encode(texts, self._model.encode_query)

    def _encode(self, texts: Sequence[str], encode: Any) -> Float32:
        vectors = np.empty((len(texts), self._embed_dim), dtype=np.float32)
        for rows in batches_by_length(self._lengths(texts), self._batch_tokens):
            with self._turn:
                batch = encode([texts[row] for row in rows], batch_size=len(rows), show_progress_bar=False)
            vectors[rows] = batch
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        # A zero vector stays zero: its cosine with everything is 0, and no NaN enters the index.
        np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return [min(count + 2, self._max_tokens) for count in self.count_tokens(texts)]
