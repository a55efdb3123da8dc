"""Answers with the passage that they come from marginalized out: what both RAG modes share.

    p(y | x) = Σ_z p(z | x) · p(y | x, z)

x is the question, z a passage of the prompt ("document" in the paper), y the answer. `rag_sequence` and `rag_token`
decode by it; they know a model only as a `DocumentModel`, the bundled reader and every local decoder alike.

Source: Lewis et al. 2020, "Retrieval-Augmented Generation for Knowledge-Intensive NLP Tasks", section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from app.errors import InvalidInput, Unavailable

Tokens = tuple[int, ...]
IMPOSSIBLE = -math.inf


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's tokens without END. `ended` is false where it was cut at the limit instead of ending by itself."""

    tokens: Tokens
    ended: bool = True


class DocumentModel(Protocol):
    """Natural log-probabilities of the next token under each document, for a batch of rows.

    A row is one document with a prefix of the answer. The last column of every result is END, whatever the model has
    for it; a row is all −inf where its document can not produce the prefix at all, otherwise it sums to 1.
    """

    @property
    def num_documents(self) -> int: ...

    def start(self) -> Tensor:
        """Return `[num_documents, vocab_size + 1]` for the empty prefix; row z is document z. Begins anew each time."""
        ...

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Return `[len(parents), vocab_size + 1]`: new row i goes on from the former row `parents[i]` by `tokens[i]`.

        Rows that no new one goes on from are gone.
        """
        ...

    def score(self, pairs: Sequence[tuple[int, Written]]) -> list[float]:
        """Return log p(y | x, z) of each pair (document, answer), END included where the answer ended.

        The rows of `start` and `step` may be gone afterwards.
        """
        ...


@dataclass(frozen=True, slots=True)
class MarginalHypothesis:
    """One answer: `logprob` is log p(y | x), `document_logprobs[z]` is log p(y | x, z), −inf where impossible.

    In RAG-Token `logprob` is the product of marginals, so it does not follow from `document_logprobs`. Fast decoding of
    RAG-Sequence counts documents whose own beam did not find the answer as impossible.
    """

    written: Written
    logprob: float
    document_logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Marginals:
    """`hypotheses` best first, the empty answer left out; `empty_logprobs[z]` is log p(END at once | x, z)."""

    hypotheses: tuple[MarginalHypothesis, ...]
    empty_logprobs: tuple[float, ...]


def posterior(log_prior: Sequence[float], document_logprobs: Sequence[float]) -> tuple[float, ...]:
    """Return p(z | x, y) ∝ p(z | x) · p(y | x, z), which sums to 1; all 0 where no document can produce the answer."""
    joint = [prior + each for prior, each in zip(log_prior, document_logprobs, strict=True)]
    whole = log_sum(joint)
    return tuple(0.0 if whole == IMPOSSIBLE else math.exp(each - whole) for each in joint)


def log_sum(logarithms: Sequence[float]) -> float:
    """Return ln Σ exp of natural logarithms without overflow; −inf of none."""
    largest = max(logarithms, default=IMPOSSIBLE)
    if largest == IMPOSSIBLE:
        return IMPOSSIBLE
    return largest + math.log(math.fsum(math.exp(each - largest) for each in logarithms))


@dataclass(frozen=True, slots=True)
class Search:
    """How far a search goes.

    Args:
        num_beams: live hypotheses (RAG-Sequence: of each document), at least 1.
        max_tokens: of an answer, END not counted, at least 1.
        keep_cut: whether an answer of `max_tokens` tokens counts though it has not ended; a copied one must end.
        lost: a live hypothesis this much below the best finished one (natural log) is dropped; it can only fall.
        check: called before every step; raises to abandon the search.
    """

    num_beams: int
    max_tokens: int
    keep_cut: bool = True
    lost: float = math.inf
    check: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        if self.num_beams < 1 or self.max_tokens < 1:
            raise InvalidInput(f"num_beams={self.num_beams} and max_tokens={self.max_tokens} must be at least 1")


def checked(model: DocumentModel, log_prior: Sequence[float]) -> list[float]:
    """Return the prior, normalised.

    Raises:
        InvalidInput: not one number a document, none at all, or not a single possible document.
    """
    whole = log_sum(log_prior)
    if len(log_prior) != model.num_documents or math.isnan(whole) or whole == IMPOSSIBLE:
        raise InvalidInput(
            f"log_prior={list(log_prior)} must give each of {model.num_documents} documents a log-probability, one of "
            "them above -inf"
        )
    return [each - whole for each in log_prior]


def finite(logprobs: Tensor) -> Tensor:
    """Return the log-probabilities in float64.

    Raises:
        Unavailable: one is not a number.
    """
    if bool(logprobs.isnan().any()):
        raise Unavailable("the model's logits are not finite: its weights are damaged, or their type is too narrow")
    return logprobs.double()
