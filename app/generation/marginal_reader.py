"""The bundled reader's answers in the RAG modes: passages read apart, their answers pooled by what they spell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from app.generation.marginalize import IMPOSSIBLE, Marginals, Search, log_sum, posterior
from app.generation.pointer_documents import PointerDocument, PointerDocuments
from app.generation.posterior import log_prior
from app.generation.rag_sequence import rag_sequence
from app.generation.rag_token import rag_token
from app.generation.reader_spans import Candidate, PassageRow, locate
from app.transformer.pointer import Memory, PointerReader
from app.transformer.pointer_search import CopiedSequence, RankWeights
from app.types import GenerationOptions, Passage

_LOST = 3.0  # as in the reader's own search
_MAX_HYPOTHESES = 16


@dataclass(frozen=True, slots=True)
class FusedRows:
    """What the encoder made of a prompt: its passages, their rows (those of a passage adjacent), and one memory."""

    passages: tuple[Passage, ...]
    rows: tuple[PassageRow, ...]
    memory: Memory

    @property
    def length(self) -> int:
        """Positions of a row, padding included."""
        return self.memory.readable.shape[1] // len(self.rows)


@dataclass(frozen=True, slots=True)
class MarginalAnswer:
    """One answer string: where it is copied from, and p(z | x, y) of each passage of the prompt."""

    candidate: Candidate
    posterior: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MarginalReading:
    """`answers` best first; `null_logprob` is log Σ_z p(z | x) p(NO ANSWER | x, z)."""

    answers: tuple[MarginalAnswer, ...]
    null_logprob: float


@dataclass(frozen=True, slots=True)
class _Part:
    """One passage in the memory: its rows `[first, last)`, cut to the `width` of the longest."""

    passage: int
    first: int
    last: int
    width: int

    def whole(self, path: Sequence[int], length: int) -> tuple[int, ...]:
        """Positions of the passage's own memory as positions of the memory of all."""
        return tuple((self.first + at // self.width) * length + at % self.width for at in path)


@dataclass(frozen=True, slots=True)
class _Place:
    """One place of one answer: ln p(y, place | x), ln p(z | x) p(place | x, z), and what it is ranked by."""

    located: Candidate
    logprob: float
    joint: float
    rank_score: float


def read_documents(
    model: PointerReader,
    fused: FusedRows,
    options: GenerationOptions,
    *,
    num_beams: int,
    max_answer_tokens: int,
    weights: RankWeights,
    thorough: bool = True,
    check: Callable[[], None] = lambda: None,
) -> MarginalReading:
    """Return the answers of an encoded prompt in `options.mode`.

    Answers that are shown alike pool their probability: one that the decoder cut short in one passage may be widened
    there to the words that another passage spells in full. Each is pointed at in the passage with the highest
    posterior, at its best place there. As in the reader's own search, answers are ranked by their log-probability plus
    `weights` of the place's extractive start, end and length; probabilities and posteriors are without these.

    Args:
        model: in evaluation mode.
        fused: with at least one row.
        options: the mode.
        num_beams: RAG-Sequence: of each passage.
        max_answer_tokens: longest answer.
        weights: of the ranking.
        thorough: RAG-Sequence: see `rag_sequence`.
        check: called before every step; raises to abandon.
    """
    parts = _parts(fused.rows)
    prior = log_prior([fused.passages[part.passage] for part in parts])
    documents = PointerDocuments(
        model, [_document(fused, part) for part in parts], max_answer_tokens=max_answer_tokens, check=check
    )
    search = Search(num_beams, max_answer_tokens, keep_cut=False, lost=_LOST, check=check)
    if options.mode == "rag_token":
        found = rag_token(documents, prior, search)
    else:
        proposals = documents.proposals() if thorough else []
        found = rag_sequence(
            documents, prior, search, thorough=thorough, proposals=proposals, max_hypotheses=_MAX_HYPOTHESES
        )
    places = list(_places(found, documents, prior, fused, parts, weights))
    null_logprob = log_sum([p + null for p, null in zip(prior, found.empty_logprobs, strict=True)])
    return MarginalReading(_pooled(places, len(fused.passages)), null_logprob)


def _parts(rows: Sequence[PassageRow]) -> list[_Part]:
    """The passages in the prompt's order; one without any token has no row and is left out."""
    parts: dict[int, _Part] = {}
    for index, row in enumerate(rows):
        part = parts.get(row.passage, _Part(row.passage, index, index, 0))
        parts[row.passage] = replace(part, last=index + 1, width=max(part.width, len(row.source.ids)))
    return list(parts.values())


def _document(fused: FusedRows, part: _Part) -> PointerDocument:
    """The rows of one passage out of the memory of all, without the padding that only longer passages need."""

    def cut(flat: torch.Tensor) -> torch.Tensor:
        """`[1, m, …]` → the columns of these rows, each of `width`."""
        by_row = flat.reshape(-1, fused.length, *flat.shape[2:])[part.first : part.last, : part.width]
        return by_row.reshape(1, -1, *flat.shape[2:])

    memory = fused.memory
    own = Memory(
        states=cut(memory.states),
        readable=cut(memory.readable),
        copyable=cut(memory.copyable),
        start_logits=cut(memory.start_logits),
        end_logits=cut(memory.end_logits),
        null_logits=memory.null_logits[:, part.first : part.last],
        keys=cut(memory.keys),
    )
    pieces: list[int] = []
    for row in fused.rows[part.first : part.last]:
        begin, count = row.source.copy_start, row.source.copy_count
        pieces += [-1] * begin + row.source.ids[begin : begin + count] + [-1] * (part.width - begin - count)
    return PointerDocument(own, pieces)


def _places(
    found: Marginals,
    documents: PointerDocuments,
    prior: Sequence[float],
    fused: FusedRows,
    parts: Sequence[_Part],
    weights: RankWeights,
) -> Iterator[_Place]:
    """Every place of every hypothesis, whose probability is shared out among them by p(z, place | x, y)."""
    starts, ends = _boundary_logprobs(fused, parts)
    owners = [
        [z for z, logprob in enumerate(hypothesis.document_logprobs) if logprob > IMPOSSIBLE]
        for hypothesis in found.hypotheses
    ]
    # All at once, so that `places` only looks up.
    documents.score([(z, one.written) for one, mine in zip(found.hypotheses, owners, strict=True) for z in mine])
    for hypothesis, mine in zip(found.hypotheses, owners, strict=True):
        copies = [
            (parts[z].whole(path, fused.length), logprob, prior[z] + logprob)
            for z in mine
            for path, logprob in documents.places(z, hypothesis.written.tokens)
        ]
        whole = log_sum([joint for _, _, joint in copies])
        for positions, logprob, joint in copies:
            share = hypothesis.logprob + joint - whole
            bonus = (
                weights.start * starts[positions[0]]
                + weights.end * ends[positions[-1]]
                + weights.length * math.log(len(positions))
            )
            copied = CopiedSequence(positions, logprob, logprob)
            yield _Place(locate(copied, fused.rows, fused.length, fused.passages), share, joint, share + bonus)


def _boundary_logprobs(fused: FusedRows, parts: Sequence[_Part]) -> tuple[list[float], list[float]]:
    """Log-probabilities of starting and of ending at each position, among those of its own passage."""
    found = []
    for logits in (fused.memory.start_logits, fused.memory.end_logits):
        hidden = logits.masked_fill(~fused.memory.copyable, -1e9)[0]
        of_part = [
            torch.log_softmax(hidden[part.first * fused.length : part.last * fused.length], dim=0) for part in parts
        ]
        found.append([float(each) for each in torch.cat(of_part).tolist()])
    return found[0], found[1]


def _pooled(places: Sequence[_Place], num_passages: int) -> tuple[MarginalAnswer, ...]:
    """The answers best first, equal spellings as one."""
    by_text: dict[str, list[_Place]] = {}
    for place in places:
        by_text.setdefault(" ".join(place.located.text.casefold().split()), []).append(place)
    answers = []
    for alike in by_text.values():
        by_passage: dict[int, list[_Place]] = {}
        for place in alike:
            by_passage.setdefault(place.located.spans[0].passage, []).append(place)
        joint = [log_sum([place.joint for place in by_passage.get(z, [])]) for z in range(num_passages)]
        likeliest = max(by_passage, key=lambda z: (joint[z], -z))
        best = max(by_passage[likeliest], key=lambda place: (place.rank_score, -place.located.first))
        pooled = replace(
            best.located,
            positions=frozenset(position for place in alike for position in place.located.positions),
            logprob=min(0.0, log_sum([place.logprob for place in alike])),
            rank_score=log_sum([place.rank_score for place in alike]),
        )
        answers.append(MarginalAnswer(pooled, posterior([0.0] * num_passages, joint)))
    answers.sort(key=lambda answer: (-answer.candidate.rank_score, answer.candidate.text))
    return tuple(answers)
