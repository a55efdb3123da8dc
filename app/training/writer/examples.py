"""Pairs as tensors: the source row with its segments, the target's ids, and the vocabulary that may be generated."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.training.writer.pairs import WritingPair
from app.transformer.pointer_rows import RowTensors, SpecialIds, pad_rows
from app.transformer.tokenizers import TextTokenizer
from app.transformer.writer_checkpoints import TASKS
from app.transformer.writer_rows import WriterRow, segments_of, writer_row

_REFERENCES = "#|1234"
_CASED_SETS = ("squad2_dev_half", "xquad_en_zh", "qamr_sentence", "fairytaleqa")
_RARE = 3


@dataclass(frozen=True, slots=True)
class WritingExample:
    """A tokenised pair; `target` ends with the end token; `counted[i]` says whether target i is learned."""

    task: int
    row: WriterRow
    target: tuple[int, ...]
    counted: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class WritingBatch:
    """`rows` padded; `segments` int64 `[b, s]`; `task` int64 `[b]`; `target` int64 and `counted` bool `[b, t]`."""

    rows: RowTensors
    segments: Tensor
    task: Tensor
    target: Tensor
    counted: Tensor


def choose_vocabulary(
    pairs: Iterable[WritingPair], cased_texts: Iterable[str], tokenizer: TextTokenizer, special: SpecialIds
) -> list[int]:
    """Return the ids that the writer may generate, ascending: common words that are no names, no digits, and the end.

    A word piece is in when at least three targets hold it and `cased_texts` write it in lower case more often than
    with a capital; names and numbers can thus only be copied. The signs of step references are in.
    """
    lower: Counter[int] = Counter()
    upper: Counter[int] = Counter()
    for text in cased_texts:
        tokens = tokenizer.encode([text])[0]
        for at, (token, (start, end)) in enumerate(zip(tokens.ids, tokens.offsets, strict=True)):
            begins = at == 0 or text[tokens.offsets[at - 1][0] : tokens.offsets[at - 1][1]] in ".!?\"“'"
            word = text[start:end]
            if word[:1].isupper() and not begins:
                upper[token] += 1
            elif word.islower() and (start == 0 or not text[start - 1].isupper()):
                lower[token] += 1
    used: Counter[int] = Counter()
    for pair in pairs:
        used.update(set(tokenizer.encode([pair.target])[0].ids))
    pieces = tokenizer.vocabulary()
    chosen = {special.sep, *(tokenizer.token_id(sign) for sign in _REFERENCES)}
    for token, count in used.items():
        piece = pieces[token].removeprefix("##")
        if count < _RARE or any(c.isdigit() for c in piece):
            continue
        if not piece.isalpha() or lower[token] > 2 * upper[token]:
            chosen.add(token)
    return sorted(chosen)


def cased_contexts(texts_by_set: Iterable[tuple[str, str]], limit: int = 12_000) -> list[str]:
    """Return up to `limit` distinct texts of the sets that write names with capitals."""
    return sorted({text for name, text in texts_by_set if name in _CASED_SETS})[:limit]


def tokenised(
    pairs: Sequence[WritingPair],
    tokenizer: TextTokenizer,
    special: SpecialIds,
    generable: Iterable[int],
    *,
    max_tokens: int,
    max_written: int,
) -> list[WritingExample]:
    """Return the examples of the pairs that fit.

    A pair whose target holds a token that can neither be generated nor copied is left out; of "hyde" only the token is
    not learned, for that passage may say what its question does not.
    """
    known = set(generable)
    found = []
    for pair in pairs:
        target = tokenizer.encode([pair.target])[0].ids if pair.target else []
        if len(target) + 1 > max_written:
            continue
        parts = [tokenizer.encode([text])[0] if text else None for text in (pair.question, pair.heading, pair.passage)]
        row = writer_row(special, *(part.ids if part else [] for part in parts), max_tokens=max_tokens)
        there = known | set(row.ids)
        counted = [token in there for token in target]
        if not all(counted) and (pair.task != "hyde" or sum(counted) < 0.7 * len(counted)):
            continue
        found.append(WritingExample(TASKS.index(pair.task), row, (*target, special.sep), (*counted, True)))
    return found


def writing_batches(
    examples: Sequence[WritingExample], batch_tokens: int, rng: random.Random
) -> list[list[WritingExample]]:
    """Return shuffled batches of similar length; sources and targets together, padded, are at most `batch_tokens`."""
    keyed = sorted(examples, key=lambda e: (len(e.row.ids) + 2 * len(e.target), rng.random()))
    done: list[list[WritingExample]] = []
    batch: list[WritingExample] = []
    for example in keyed:
        grown = [*batch, example]
        padded = len(grown) * (max(len(e.row.ids) for e in grown) + 2 * max(len(e.target) for e in grown))
        if batch and padded > batch_tokens:
            done.append(batch)
            grown = [example]
        batch = grown
    if batch:
        done.append(batch)
    rng.shuffle(done)
    return done


def collate(batch: Sequence[WritingExample], pad_id: int, device: torch.device) -> WritingBatch:
    """Return the batch's tensors."""
    rows = pad_rows([example.row.source for example in batch], pad_id, device)
    length = max(len(example.target) for example in batch)
    target = torch.full((len(batch), length), pad_id, dtype=torch.int64)
    counted = torch.zeros(len(batch), length, dtype=torch.bool)
    for index, example in enumerate(batch):
        target[index, : len(example.target)] = torch.tensor(example.target)
        counted[index, : len(example.target)] = torch.tensor(example.counted)
    segments = segments_of([example.row for example in batch], rows.token_ids.shape[1])
    task = torch.tensor([example.task for example in batch])
    return WritingBatch(rows, segments.to(device), task.to(device), target.to(device), counted.to(device))
