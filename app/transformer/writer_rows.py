"""Source rows of a `Writer`: `[CLS] question [SEP] heading [SEP] passage [SEP]`; all but the separators is copyable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.transformer.pointer_rows import RowTensors, SourceRow, SpecialIds, build_row, pad_rows

_MAX_QUESTION, _MAX_HEADING = 96, 96


@dataclass(frozen=True, slots=True)
class WriterRow:
    """One row; `ends` are where question, heading and passage end, each with its separator."""

    source: SourceRow
    ends: tuple[int, int, int]

    @property
    def ids(self) -> list[int]:
        return self.source.ids


def writer_row(
    special: SpecialIds,
    question_ids: Sequence[int],
    heading_ids: Sequence[int] = (),
    passage_ids: Sequence[int] = (),
    *,
    max_tokens: int,
) -> WriterRow:
    """Return the row; what does not fit `max_tokens` is cut from the end of question, heading and passage."""
    question, heading = list(question_ids[:_MAX_QUESTION]), list(heading_ids[:_MAX_HEADING])
    first = len(question) + 2
    second = first + (len(heading) + 1 if heading else 0)
    room = max(0, max_tokens - second - 1)
    passage = list(passage_ids[:room])
    if passage:
        row = build_row(special, question, heading, passage, (0, len(passage)))
    else:
        ids = [special.cls, *question, special.sep, *([*heading, special.sep] if heading else [])]
        row = SourceRow(ids, first, len(ids), 0, 0)
    return WriterRow(row, (first, second, len(row.ids)))


def segments_of(rows: Sequence[WriterRow], length: int) -> Tensor:
    """Return int64 `[n, length]`: 0 up to the end of the question, 1 in the heading, 2 in the passage."""
    segments = torch.zeros(len(rows), length, dtype=torch.int64)
    for index, row in enumerate(rows):
        first, second, end = row.ends
        segments[index, first:second] = 1
        segments[index, second:end] = 2
    return segments


def copyable_of(token_ids: Tensor, mask: Tensor, special: SpecialIds) -> Tensor:
    """Return bool `[n, s]`, True where a real token is no separator."""
    return mask & (token_ids != special.cls) & (token_ids != special.sep)


def padded(rows: Sequence[WriterRow], special: SpecialIds) -> tuple[RowTensors, Tensor]:
    """Return the rows' tensors, every word copyable, and their segments."""
    tensors = pad_rows([row.source for row in rows], special.pad)
    whole = replace(tensors, copyable=copyable_of(tensors.token_ids, tensors.mask, special))
    return whole, segments_of(rows, tensors.token_ids.shape[1])
