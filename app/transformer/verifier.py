"""A cross-encoder over `[CLS] question [SEP] heading [SEP] … « answer » … [SEP]`: does this text give that answer?

The answer stands between two marks, so that one sentence with two names can carry one question and not another. Rows
are short: reading has found the place, and what is left to judge is the sentence around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.transformer.encoder import BertConfig, BertEncoder
from app.transformer.pointer_rows import RowTensors, SourceRow, SpecialIds, match_types, pad_rows


@dataclass(frozen=True, slots=True)
class VerifierConfig:
    """Sizes of an `AnswerVerifier`; its first `shared_layers` blocks and its embeddings are those of a reader.

    With `show_matches` token types tell which words of the text the question has, as that reader is told.
    """

    encoder: BertConfig
    shared_layers: int = 2
    max_tokens: int = 96
    max_question_tokens: int = 40
    max_heading_tokens: int = 12
    show_matches: bool = False


@dataclass(frozen=True, slots=True)
class MarkIds:
    """Ids of the two tokens around the answer."""

    opening: int
    closing: int


@dataclass(frozen=True, slots=True)
class MarkedRow:
    """A row and the column of its opening mark."""

    source: SourceRow
    mark: int


class AnswerVerifier(nn.Module):
    """Returns float32 `[b]`: the log-odds that each row's text answers its question with the marked answer.

    `logit = w · tanh(W [h_CLS; h_mark] + b) + c`.

    Source: answer verification: Hu et al. 2019, section 3.2; marks around a span, and the state of the first of them as
    the span's: Baldini Soares et al. 2019, section 3.2 ("entity start").
    """

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        width = encoder.embed_dim
        self.encoder = encoder
        self.hidden = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, 1)

    def forward(self, token_ids: Tensor, mask: Tensor, token_types: Tensor, marks: Tensor) -> Tensor:
        """Judge rows `[b, s]`: ids and types int64, mask bool (True = attend); `marks` int64 `[b]`, see `MarkedRow`."""
        return self.judge(self.encoder(token_ids, mask, token_types), marks)

    def judge(self, states: Tensor, marks: Tensor) -> Tensor:
        """Return the logits of encoded rows `[b, s, d]`."""
        marked = states[torch.arange(states.shape[0], device=states.device), marks]
        pair = torch.cat([states[:, 0], marked], dim=1)
        with torch.autocast(states.device.type, enabled=False):  # bfloat16's 8 bits would tie neighbouring logits
            hidden = torch.tanh(_linear(self.hidden, pair))
            return _linear(self.output, hidden).squeeze(1)


def marked_row(
    special: SpecialIds,
    marks: MarkIds,
    question_ids: Sequence[int],
    heading_ids: Sequence[int],
    text_ids: Sequence[int],
    answer: tuple[int, int],
    *,
    show_matches: bool = False,
) -> MarkedRow:
    """Return the row of a text whose tokens `answer` = `[first, last)` are marked; an empty heading has no `[SEP]`.

    With `show_matches` the token types tell which tokens of the text the question has, the marks left out: see
    `match_types`.
    """
    first, last = answer
    head = [special.cls, *question_ids, special.sep]
    boundary = len(head)
    if heading_ids:
        head += [*heading_ids, special.sep]
    marked = [*text_ids[:first], marks.opening, *text_ids[first:last], marks.closing, *text_ids[last:]]
    types: tuple[int, ...] = ()
    if show_matches:
        found = match_types(question_ids, text_ids)
        types = (*found[:first], 1, *found[first:last], 1, *found[last:])
    source = SourceRow([*head, *marked, special.sep], boundary, len(head), len(marked), 0, types)
    return MarkedRow(source, len(head) + first)


def room_for_text(question_ids: Sequence[int], heading_ids: Sequence[int], max_tokens: int) -> int:
    """Return how many tokens of text fit beside question, heading, separators and marks."""
    return max_tokens - len(question_ids) - (len(heading_ids) + 1 if heading_ids else 0) - 5


def pad_marked(rows: Sequence[MarkedRow], pad_id: int, device: torch.device | str = "cpu") -> tuple[RowTensors, Tensor]:
    """Return the rows as tensors, padded on the right, and their marks int64 `[n]`."""
    marks = torch.tensor([row.mark for row in rows], dtype=torch.int64, device=device)
    return pad_rows([row.source for row in rows], pad_id, device), marks


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return functional.linear(x.float(), layer.weight.float(), layer.bias.float())
