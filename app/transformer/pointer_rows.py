"""Source rows of a `PointerReader`: `[CLS] query [SEP] heading [SEP] passage [SEP]`, windows and padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row: `ids[copy_start : copy_start + copy_count]` are passage tokens `first_token … first_token+copy_count−1`.

    Token types are 0 up to and with the first `[SEP]` (`type_boundary` tokens) and 1 after it; `passage_types`, where
    given, are those of the passage tokens instead.
    """

    ids: list[int]
    type_boundary: int
    copy_start: int
    copy_count: int
    first_token: int
    passage_types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RowTensors:
    """Rows padded to the longest, `[n, s]`: ids and types int64; mask (True = attend) and copyable bool."""

    token_ids: Tensor
    mask: Tensor
    token_types: Tensor
    copyable: Tensor


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """Ids of `[CLS]`, `[SEP]` and `[PAD]`."""

    cls: int
    sep: int
    pad: int


def room_for_passage(query_ids: Sequence[int], heading_ids: Sequence[int], max_tokens: int) -> int:
    """Return how many passage tokens fit a row of `max_tokens` beside query, heading and separators."""
    heading = len(heading_ids) + 1 if heading_ids else 0
    return max_tokens - len(query_ids) - heading - 3


def build_row(
    special: SpecialIds,
    query_ids: Sequence[int],
    heading_ids: Sequence[int],
    passage_ids: Sequence[int],
    window: tuple[int, int],
    *,
    show_matches: bool = False,
) -> SourceRow:
    """Return the row of the passage tokens `window` = `[first, last)`; an empty heading leaves its `[SEP]` out.

    With `show_matches` the token types tell which passage tokens the query has, too: see `match_types`.
    """
    first, last = window
    head = [special.cls, *query_ids, special.sep]
    boundary = len(head)
    if heading_ids:
        head += [*heading_ids, special.sep]
    ids = [*head, *passage_ids[first:last], special.sep]
    types = match_types(query_ids, passage_ids[first:last]) if show_matches else ()
    return SourceRow(ids, boundary, len(head), last - first, first, types)


def match_types(query_ids: Sequence[int], passage_ids: Sequence[int]) -> tuple[int, ...]:
    """Return for every passage token 1, or 2 if the query has it, or 3 if it is one of two in a row that the query has.

    A model that was trained on few questions need not learn first that equal tokens matter.

    Source: the exact-match feature of Chen et al. 2017, section 3.2; here as token types, in place of BERT's two.
    """
    single = set(query_ids)
    pairs = set(pairwise(query_ids))
    types = [2 if token in single else 1 for token in passage_ids]
    for at, pair in enumerate(pairwise(passage_ids)):
        if pair in pairs:
            types[at] = types[at + 1] = 3
    return tuple(types)


def split_windows(num_tokens: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Return windows `[first, last)` of at most `room` tokens that cover `num_tokens`, neighbours `stride` apart.

    The last window ends at the last token and is moved back to be full, so no window is a scrap.

    Raises:
        ValueError: `room` or `stride` is not positive, or `stride > room` would leave gaps.
    """
    if room < 1 or stride < 1 or stride > room:
        raise ValueError(f"room={room}, stride={stride}: need 1 <= stride <= room; shorten the query or the heading")
    if num_tokens <= room:
        return [(0, num_tokens)]
    firsts = list(range(0, num_tokens - room, stride))
    firsts.append(num_tokens - room)
    return [(first, first + room) for first in firsts]


def pad_rows(rows: Sequence[SourceRow], pad_id: int, device: torch.device | str = "cpu") -> RowTensors:
    """Return the rows as tensors, padded on the right."""
    length = max(len(row.ids) for row in rows)
    token_ids = torch.full((len(rows), length), pad_id, dtype=torch.int64)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    token_types = torch.zeros(len(rows), length, dtype=torch.int64)
    copyable = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        token_ids[index, : len(row.ids)] = torch.tensor(row.ids)
        mask[index, : len(row.ids)] = True
        token_types[index, row.type_boundary : len(row.ids)] = 1
        copyable[index, row.copy_start : row.copy_start + row.copy_count] = True
        if row.passage_types:
            token_types[index, row.copy_start : row.copy_start + row.copy_count] = torch.tensor(row.passage_types)
    return RowTensors(token_ids.to(device), mask.to(device), token_types.to(device), copyable.to(device))
