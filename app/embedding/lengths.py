"""Rows of like length together: little padding, even cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows by falling length, cut so that rows × longest stays within `batch_tokens`; a longer row comes alone.

    The longest goes first, so that memory runs out at once or never.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist()
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
