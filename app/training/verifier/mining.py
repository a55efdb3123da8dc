"""What tempts the bundled reader: for every training question its best spans, right and wrong, kept in a file.

Hu et al. 2019 train their verifier on what their reader answers; a verifier that has only seen drawn negatives knows
nothing of the mistakes that reach it in service.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from app.generation.reader import Reader
from app.generation.reader_spans import locate, positions_of
from app.training.distractors import find_distractors
from app.training.reader_calibration import prompt_of
from app.training.reading_examples import occurrences
from app.training.reading_sets import SQUAD_FAMILY, ReadingQuestion, Role
from app.training.sentence_pairs import sentence_questions
from app.transformer.pointer import Memory
from app.transformer.pointer_search import CopiedSequence, span_over_null
from app.types import PassageSpan

MINED_NAME = "mined.jsonl"
_STARTS, _LONGEST = 24, 24


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """Characters `[start, end)` of a text, and the reader's start and end logits there over its no-answer score."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Mined:
    """A question over one text. `own` says that the text is the question's own; of another one no span is right.

    `gold` are the places of its accepted answers and `found` the reader's best spans, none overlapping another; both
    best first.
    """

    id: str
    collection: str
    role: Role
    title: str
    question: str
    text: str
    answers: tuple[str, ...]
    own: bool
    gold: tuple[FoundSpan, ...]
    found: tuple[FoundSpan, ...]


@dataclass(frozen=True, slots=True)
class MiningShares:
    """How many questions of each set are read, all of those not named; `other_text` of them over another text, too.

    Not so those of the sets `own_text_only`: there another text may say the same, of another firm or in another
    language.
    """

    draws: tuple[tuple[str, int], ...] = (("fairytaleqa", 2400), ("tatqa", 500), ("qamr_sentence", 0))
    other_text: float = 0.4
    own_text_only: tuple[str, ...] = ("policyqa",)
    sentence_pairs: int = 6000
    dev_per_set: int = 120


def mine(
    reader: Reader,
    questions: Sequence[ReadingQuestion],
    data_dir: Path,
    path: Path,
    shares: MiningShares,
    *,
    seed: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> list[Mined]:
    """Return what the reader finds for a draw of the questions; rows that `path` has already are not read again.

    Args:
        reader: whose mistakes are wanted.
        questions: of any role; those held out are left out.
        data_dir: holds `pairs/squad_train_q_sentence.jsonl.gz`; without that file its questions are left out.
        path: JSON lines, appended to.
        shares: of the sets.
        seed: of the draw.
        report: told now and then how far it is.
    """
    kept = read_mined(path)
    known = {(one.id, one.own) for one in kept}
    wanted = _wanted(questions, data_dir, reader.token_ids, shares, random.Random(seed))
    with path.open("a", encoding="utf-8") as file:
        for number, (q, text, own) in enumerate(wanted, start=1):
            if (q.id, own) in known:
                continue
            one = _read(reader, q, text, own=own)
            if one is not None:
                kept.append(one)
                file.write(json.dumps(_as_row(one), ensure_ascii=False) + "\n")
            if number % 500 == 0:
                file.flush()
                report(f"{number} of {len(wanted)} questions read")
    return kept


def read_mined(path: Path) -> list[Mined]:
    """Return the rows of a file that `mine` wrote, none where there is none; a last line cut short is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # the run ended while it was written: read again
            continue
        for name in ("gold", "found"):
            row[name] = tuple(FoundSpan(*span) for span in row[name])
        rows.append(Mined(**{**row, "answers": tuple(row["answers"])}))
    return rows


def _wanted(
    questions: Sequence[ReadingQuestion],
    data_dir: Path,
    token_ids: Callable[[str], Sequence[int]],
    shares: MiningShares,
    rng: random.Random,
) -> list[tuple[ReadingQuestion, str, bool]]:
    """Questions and the texts that they are asked of, development questions first."""
    draws = dict(shares.draws)
    chosen: list[ReadingQuestion] = []
    for collection in sorted({q.collection for q in questions}):
        for role, most in (("dev", shares.dev_per_set), ("train", draws.get(collection, len(questions)))):
            members = [q for q in questions if q.collection == collection and q.role == role and not q.parts]
            drawn = rng.sample(members, min(most, len(members)))
            chosen += drawn
    pairs = sentence_questions(data_dir)
    pairs = rng.sample(pairs, min(shares.sentence_pairs, len(pairs)))
    others = find_distractors([*chosen, *pairs], token_ids, keep=2)
    wanted = [(q, q.context, True) for q in [*chosen, *pairs]]
    wanted += [
        (q, others[q.id][0], False)
        for q in [*(q for q in chosen if q.answers and q.collection not in shares.own_text_only), *pairs]
        if rng.random() < shares.other_text and others[q.id]
    ]
    order = {"dev": 0, "train": 1, "heldout": 2}
    return sorted(wanted, key=lambda row: (order[row[0].role], row[0].collection not in SQUAD_FAMILY, rng.random()))


def _read(reader: Reader, q: ReadingQuestion, text: str, *, own: bool) -> Mined | None:
    read = reader.read(prompt_of(q.question, [text]))
    memory = read.memory
    if memory is None:
        return None
    length = memory.readable.shape[1] // len(read.rows)
    found = []
    for first, last in distinct_spans(memory, limit=3):
        sequence = CopiedSequence(tuple(range(first, last + 1)), 0.0, 0.0)
        candidate = locate(sequence, read.rows, length, read.prompt.passages)
        span = candidate.spans[0]
        found.append(FoundSpan(span.char_start, span.char_end, span_over_null(memory, first, last)))
    gold = []
    tokens = read.rows[0].tokens
    places = dict.fromkeys(place for answer in q.answers for place in occurrences(text, tokens, answer))
    for place in places if own else ():
        start, end = tokens.offsets[place[0]][0], tokens.offsets[place[-1]][1]
        path = positions_of(PassageSpan(0, start, end), read.rows, length)
        if path:
            gold.append(FoundSpan(start, end, span_over_null(memory, path[0], path[-1])))
    gold.sort(key=lambda span: -span.score)
    return Mined(q.id, q.collection, q.role, q.title, q.question, text, q.answers, own, tuple(gold[:3]), tuple(found))


@torch.inference_mode()
def distinct_spans(memory: Memory, limit: int) -> list[tuple[int, int]]:
    """Return up to `limit` spans `(first, last)` by the extractive heads, best first, none overlapping another.

    Args:
        memory: of one group.
        limit: most spans.
    """
    rows = memory.null_logits.shape[1]
    length = memory.copyable.shape[1] // rows
    hidden = ~memory.copyable[0]
    starts = (memory.start_logits[0] - memory.null_logits[0].repeat_interleave(length)).masked_fill(hidden, -1e9)
    ends = memory.end_logits[0].reshape(rows, length)
    ends = (ends - ends[:, :1]).flatten().masked_fill(hidden, -1e9)
    scored = []
    for first in starts.topk(min(_STARTS, int(memory.copyable.sum()))).indices.tolist():
        stop = min(first + _LONGEST, (first // length + 1) * length)
        last = first + int(ends[first:stop].argmax())
        scored.append((float(starts[first] + ends[last]), first, last))
    scored.sort(key=lambda span: (-span[0], span[1:]))
    chosen: list[tuple[int, int]] = []
    for _, first, last in scored:
        if all(last < other_first or first > other_last for other_first, other_last in chosen):
            chosen.append((first, last))
    return chosen[:limit]


def _as_row(one: Mined) -> dict[str, object]:
    spans = {
        name: [[span.start, span.end, round(span.score, 3)] for span in members]
        for name, members in (("gold", one.gold), ("found", one.found))
    }
    return {
        "id": one.id,
        "collection": one.collection,
        "role": one.role,
        "title": one.title,
        "question": one.question,
        "text": one.text,
        "answers": list(one.answers),
        "own": one.own,
        **spans,
    }
