"""A `DocumentModel` whose next-token probabilities are drawn at random, one table for each document and prefix."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from app.generation.marginalize import Tokens, Written


class TableModel:
    """Tokens 0 … vocab_size − 1, END last. With `lacking`, document z can not produce token z, as one that copies."""

    def __init__(self, documents: int, vocab_size: int, *, seed: int = 0, lacking: bool = False) -> None:
        self.num_documents = documents
        self.vocab_size = vocab_size
        self.lacking = lacking
        self.seed = seed
        self.started = self.stepped = 0
        self.scored: list[tuple[int, Written]] = []
        self._rows: list[tuple[int, Tokens]] = []

    def table(self, document: int, prefix: Tokens) -> list[float]:
        """Log-probabilities of the next token and END, all −inf behind a prefix that is impossible."""
        if self.lacking and document in prefix:
            return [-math.inf] * (self.vocab_size + 1)
        draw = random.Random(f"{self.seed} {document} {prefix}")
        weights = [draw.random() ** 3 + 0.01 for _ in range(self.vocab_size + 1)]
        if self.lacking and document < self.vocab_size:
            weights[document] = 0.0
        whole = sum(weights)
        return [math.log(weight / whole) if weight else -math.inf for weight in weights]

    def logprob(self, document: int, written: Written) -> float:
        """log p(y | x, z), one factor after the other."""
        tokens = [*written.tokens, *([self.vocab_size] if written.ended else [])]
        return sum(self.table(document, written.tokens[:place])[token] for place, token in enumerate(tokens))

    def every(self, max_tokens: int, *, cut: bool) -> Iterator[Written]:
        """All answers but the empty one; with `cut`, those of `max_tokens` tokens need not end."""
        for length in range(1, max_tokens + 1):
            for tokens in product(range(self.vocab_size), repeat=length):
                yield Written(tokens, ended=not (cut and length == max_tokens))

    def start(self) -> Tensor:
        self.started += 1
        self._rows = [(z, ()) for z in range(self.num_documents)]
        return self._tables()

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Tensor:
        self.stepped += 1
        self._rows = [
            (self._rows[parent][0], (*self._rows[parent][1], token))
            for parent, token in zip(parents, tokens, strict=True)
        ]
        return self._tables()

    def score(self, pairs: Sequence[tuple[int, Written]]) -> list[float]:
        self.scored += pairs
        return [self.logprob(z, written) for z, written in pairs]

    def _tables(self) -> Tensor:
        return torch.tensor([self.table(z, prefix) for z, prefix in self._rows], dtype=torch.float64)
