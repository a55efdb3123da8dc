"""The bundled reader as a `DocumentModel`: each passage read alone, what it copies counted by spelling.

The reader copies positions; a token here is a word piece, so that passages which spell the same answer agree on it:

    p(w | x, z, y_<i) = Σ_a p(a | x, z, y_<i) Σ_{j spells w} p(j | x, z, a)

where a is a path of positions that spells y_<i in passage z. Choosing END at once is NO ANSWER.

Departures from the paper's generator, which has a vocabulary: a passage can only produce what it holds, any other
answer has probability 0 under it. And not every path is followed: of those that spell a prefix the `max_paths` most
probable, and of those that spell a whole answer to be scored the places where it stands in one piece. p(y | x, z) is
thus a lower bound; what is left out jumped to and fro to spell what it could have copied in one go.

Source: summing copied positions by their word: See et al. 2017, section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.generation.marginalize import IMPOSSIBLE, Tokens, Written, log_sum
from app.transformer.cross_decoder import KeyValues
from app.transformer.kv_cache import KVCache
from app.transformer.pointer import Memory, PointerReader
from app.transformer.pointer_following import widened
from app.transformer.pointer_search import copied_logprobs, extractive_spans

Path = tuple[int, ...]
_SCORED_TOGETHER = 64
_LOOKAHEAD = 8  # times `max_paths`: a path that begins well may end badly
_PROPOSED = 2  # spans of the extractive heads, a passage


@dataclass(frozen=True, slots=True)
class PointerDocument:
    """One passage: its memory of one group, and of each position the word piece's id, −1 where none may be copied."""

    memory: Memory
    pieces: list[int]


@dataclass(slots=True)
class _Document:
    memory: Memory
    columns: Tensor  # int64 [m + 1]: position → token, anything where it may not be copied; the last is END
    spelled: list[int]  # position → token, −1 where none may be copied
    places: dict[int, list[int]]  # token → positions that spell it
    memory_kv: list[KeyValues]
    caches: list[KVCache]
    first: Tensor  # [m + 1] log-probabilities of the first step


@dataclass(slots=True)
class _Row:
    """A prefix in a document: for each path that spells it its row in the document's batch, log p(path), and next."""

    document: int
    slots: list[int]
    weights: Tensor  # [n] float64
    following: Tensor  # [n, m + 1]


class PointerDocuments:
    """Implements `DocumentModel`. Tokens are numbered over the word pieces of all passages.

    Args:
        model: in evaluation mode.
        documents: at least one, each with at least one position that may be copied.
        max_paths: followed for each prefix, and scored for each answer.
        jumps: whether a whole answer is scored over paths that jump, too, those with the fewest first; slow.
        max_answer_tokens: of `proposals`.
        check: called before every batch of scores; raises to abandon.
    """

    def __init__(
        self,
        model: PointerReader,
        documents: Sequence[PointerDocument],
        *,
        max_paths: int = 4,
        jumps: bool = False,
        max_answer_tokens: int = 48,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._max_paths = max_paths
        self._jumps = jumps
        self._max_answer_tokens = max_answer_tokens
        self._check = check
        held = sorted({piece for document in documents for piece in document.pieces if piece >= 0})
        self._token_of = {piece: token for token, piece in enumerate(held)}
        self._vocab_size = len(held)
        self._scored: dict[tuple[int, Tokens], list[tuple[Path, float]]] = {}
        self._rows: list[_Row] = []
        with torch.inference_mode():
            self._documents = [self._prepared(document) for document in documents]

    @property
    def num_documents(self) -> int:
        return len(self._documents)

    @torch.inference_mode()
    def start(self) -> Tensor:
        self._rows = []
        for index, document in enumerate(self._documents):
            document.caches = self._model.decoder.new_caches()
            begin = self._model.begin_embedding(1).to(document.memory.states.dtype)
            self._model.decode(document.memory, begin, document.memory_kv, document.caches)
            weights = torch.zeros(1, dtype=torch.float64, device=document.first.device)
            self._rows.append(_Row(index, [0], weights, document.first.unsqueeze(0)))
        return self._logprobs()

    @torch.inference_mode()
    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Tensor:
        rows: list[_Row] = []
        batches: dict[int, tuple[list[int], list[int]]] = {}  # document → slots of the parents, positions copied
        for parent, token in zip(parents, tokens, strict=True):
            row = self._rows[parent]
            slots, positions, weights = self._grown(row, token)
            old, copied = batches.setdefault(row.document, ([], []))
            rows.append(_Row(row.document, list(range(len(old), len(old) + len(slots))), weights, row.following))
            old += slots
            copied += positions
        following = {z: self._advance(self._documents[z], *batch) for z, batch in batches.items() if batch[0]}
        for row in rows:
            if row.slots:
                row.following = following[row.document][row.slots]
        self._rows = rows
        return self._logprobs()

    def score(self, pairs: Sequence[tuple[int, Written]]) -> list[float]:
        self._score(
            {pair: self._paths(pair, jumps=self._jumps) for pair in ((z, written.tokens) for z, written in pairs)}
        )
        return [log_sum([logprob for _, logprob in self._scored[z, written.tokens]]) for z, written in pairs]

    def places(self, document: int, tokens: Tokens) -> list[tuple[Path, float]]:
        """Return paths of positions that spell the tokens in a document, each with its log-probability.

        They jump only where the tokens stand nowhere in one piece.
        """
        pair = (document, tokens)
        for jumps in (self._jumps, True):
            if not self._scored.get(pair):
                self._scored.pop(pair, None)
                self._score({pair: self._paths(pair, jumps=jumps)})
        return self._scored[pair]

    def proposals(self) -> list[Tokens]:
        """Return the few spans that the extractive heads like best in each passage, each once."""
        spans = [
            tuple(int(document.columns[position]) for position in span)
            for document in self._documents
            for span in extractive_spans(document.memory, self._max_answer_tokens)[:_PROPOSED]
        ]
        return list(dict.fromkeys(spans))

    def _prepared(self, document: PointerDocument) -> _Document:
        memory, device = document.memory, document.memory.states.device
        spelled = [self._token_of.get(piece, -1) for piece in document.pieces]
        places: dict[int, list[int]] = {}
        for position, token in enumerate(spelled):
            if token >= 0:
                places.setdefault(token, []).append(position)
        columns = torch.tensor([*(max(token, 0) for token in spelled), self._vocab_size], device=device)
        memory_kv = self._model.decoder.project_memory(memory.states)
        begin = self._model.begin_embedding(1).to(memory.states.dtype)
        decoded = self._model.decode(memory, begin, memory_kv)
        first = torch.log_softmax(self._model.first_logits(memory, decoded[:, 0]), dim=1)[0]
        return _Document(memory, columns, spelled, places, memory_kv, [], first)

    def _grown(self, row: _Row, token: int) -> tuple[list[int], list[int], Tensor]:
        """Return the most probable paths after one more token: their parents' slots, new positions, log p(path)."""
        positions = self._documents[row.document].places.get(token, [])
        if not row.slots or not positions:
            return [], [], row.weights[:0]
        totals = (row.weights.unsqueeze(1) + row.following[:, positions]).flatten()
        values, choices = totals.topk(min(self._max_paths, len(totals)))
        slots = [row.slots[choice // len(positions)] for choice in choices.tolist()]
        return slots, [positions[choice % len(positions)] for choice in choices.tolist()], values

    def _advance(self, document: _Document, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Return `[n, m + 1]` log-probabilities after copying `positions`, each behind the path in its slot."""
        memory, device = document.memory, document.first.device
        for cache in document.caches:
            cache.reorder(torch.tensor(slots, device=device))
        copied = torch.tensor(positions, device=device)
        inputs = self._model.copied_proj(memory.states[0, copied]).unsqueeze(1)
        decoded = self._model.decoder(inputs, document.memory_kv, memory.readable, document.caches)
        logits = self._model.later_logits(widened(memory, len(positions)), decoded, copied.unsqueeze(1))
        return torch.log_softmax(logits[:, 0], dim=1)

    def _logprobs(self) -> Tensor:
        """Return every row's next tokens `[rows, v + 1]`: paths averaged by weight, positions summed by spelling."""
        out = torch.full((len(self._rows), self._vocab_size + 1), IMPOSSIBLE, dtype=torch.float64)
        for index, row in enumerate(self._rows):
            if not row.slots:
                continue
            weights = row.weights - torch.logsumexp(row.weights, dim=0)
            mixed = torch.logsumexp(weights.unsqueeze(1) + row.following.double(), dim=0)
            largest = mixed.max()
            sums = torch.zeros(self._vocab_size + 1, dtype=torch.float64, device=mixed.device)
            sums.index_add_(0, self._documents[row.document].columns, (mixed - largest).exp())
            out[index] = sums.log() + largest
        return out

    @torch.inference_mode()
    def _score(self, wanted: Mapping[tuple[int, Tokens], Sequence[Path]]) -> None:
        """Fill `_scored` for these pairs, each with the paths to be scored; those that have an entry keep it."""
        new = {pair: paths for pair, paths in wanted.items() if pair not in self._scored}
        self._scored.update({pair: [] for pair in new})
        for z, document in enumerate(self._documents):
            # Of like length together: shorter ones are padded.
            copies = [(path, pair) for pair, paths in new.items() if pair[0] == z for path in paths]
            copies.sort(key=lambda copy: len(copy[0]))
            for start in range(0, len(copies), _SCORED_TOGETHER):
                self._check()
                part = copies[start : start + _SCORED_TOGETHER]
                logprobs = copied_logprobs(
                    self._model, document.memory, document.memory_kv, document.first, [path for path, _ in part]
                )
                for (path, pair), logprob in zip(part, logprobs, strict=True):
                    self._scored[pair].append((path, logprob))

    def _paths(self, pair: tuple[int, Tokens], *, jumps: bool) -> list[Path]:
        """Return up to `max_paths` paths that spell the tokens in a document, those with the fewest jumps first."""
        document, tokens = self._documents[pair[0]], pair[1]
        if not jumps:
            starts = document.places.get(tokens[0], [])
            runs = [range(start, start + len(tokens)) for start in starts]
            whole = [tuple(run) for run in runs if document.spelled[run.start : run.stop] == list(tokens)]
            return whole[: self._max_paths]
        paths: list[tuple[int, Path]] = [(0, ())]
        for token in tokens:
            grown = [
                (jumped + (bool(path) and position != path[-1] + 1), (*path, position))
                for jumped, path in paths
                for position in document.places.get(token, ())
            ]
            paths = sorted(grown)[: _LOOKAHEAD * self._max_paths]
        return [path for _, path in paths[: self._max_paths]]
