"""Answers of a reader under training on labelled questions, with SQuAD's exact match and F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from app.evaluation.metrics import exact_match, f1
from app.training.reading_sets import ReadingQuestion
from app.transformer.pointer import PointerReader
from app.transformer.pointer_rows import SourceRow, SpecialIds, build_row, pad_rows, room_for_passage, split_windows
from app.transformer.pointer_search import best_extractive_span, search
from app.transformer.tokenizers import TextTokenizer, TokenizedText


@dataclass(frozen=True, slots=True)
class ReaderScores:
    """Percentages over a sample; `_decoder` is the pointer decoder, `_extractive` the heads on the same encoder."""

    questions: int
    em_decoder: float
    f1_decoder: float
    f1_extractive: float
    answerability_decoder: float


def evaluate_reader(
    model: PointerReader,
    tokenizer: TextTokenizer,
    special: SpecialIds,
    questions: Sequence[ReadingQuestion],
    *,
    max_tokens: int,
    device: torch.device,
    num_beams: int = 3,
    show_matches: bool = False,
) -> ReaderScores:
    """Return the scores of `model` over `questions`, each over its own passage; answerable ones are forced to answer.

    F1 and EM are means over the answerable questions; answerability is the share of all questions on which
    `p(NO ANSWER) < 1/2` agrees with the label.
    """
    em: list[float] = []
    f1_decoder: list[float] = []
    f1_extractive: list[float] = []
    agree: list[float] = []
    was_training = model.training
    model.eval()
    for q in questions:
        query, passage = tokenizer.encode([q.question, q.context])
        room = room_for_passage(query.ids, [], max_tokens)
        windows = split_windows(len(passage.ids), room, max(1, room // 2))
        rows = [build_row(special, query.ids, [], passage.ids, window, show_matches=show_matches) for window in windows]
        tensors = pad_rows(rows, special.pad, device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            memory = model.read(tensors.token_ids, tensors.mask, tensors.token_types, tensors.copyable, len(rows))
            found = search(model, memory, num_beams=num_beams)
        length = tensors.token_ids.shape[1]
        agree.append(float((found.null_logprob > -0.6931) == (not q.answers)))
        if q.answers:
            best = _text_of(q.context, passage, rows, length, found.sequences[0].positions)
            em.append(exact_match(best, q.answers))
            f1_decoder.append(f1(best, q.answers))
            extracted = _text_of(q.context, passage, rows, length, best_extractive_span(memory)[:2])
            f1_extractive.append(f1(extracted, q.answers))
    model.train(was_training)
    return ReaderScores(len(agree), _percent(em), _percent(f1_decoder), _percent(f1_extractive), _percent(agree))


def _text_of(
    context: str, passage: TokenizedText, rows: Sequence[SourceRow], length: int, positions: Sequence[int]
) -> str:
    tokens = [rows[p // length].first_token + p % length - rows[p // length].copy_start for p in positions]
    return context[passage.offsets[min(tokens)][0] : passage.offsets[max(tokens)][1]]


def _percent(values: Sequence[float]) -> float:
    return round(100 * sum(values) / len(values), 2) if values else 0.0
