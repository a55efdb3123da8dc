"""Embedding many texts in slices of like length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from app.protocols import Encoder, Float32


def embed_by_length(encoder: Encoder, texts: Sequence[str], slice_texts: int, check: Callable[[], None]) -> Float32:
    """[n, embed_dim] float32 in the order given; texts of like length share a slice, so that little is padded.

    `check` is called before every slice of `slice_texts` texts, and may raise.
    """
    vectors = np.empty((len(texts), encoder.embed_dim), dtype=np.float32)
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for start in range(0, len(texts), slice_texts):
        check()
        rows = by_length[start : start + slice_texts]
        vectors[rows] = encoder.encode_passages([texts[row] for row in rows])
    return vectors
