"""What a smaller form of a model costs in quality: perplexity, and how far its predictions moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.errors import InvalidInput

LogitsOf = Callable[[Tensor], Tensor]  # int64 [s] → float32 [s, vocab_size], row i predicting token i + 1


@dataclass(frozen=True, slots=True)
class Fidelity:
    """A model's predictions beside a reference's, over `tokens` predicted tokens of the same text.

    `kl_divergence` is the mean of `Σ p log(p / q)` in nats, p the reference's next-token distribution; `agreement` the
    share of tokens where both think the same token most probable.
    """

    tokens: int
    reference_perplexity: float
    perplexity: float
    kl_divergence: float
    agreement: float


@torch.inference_mode()
def perplexity(logits_of: LogitsOf, sequences: Iterable[Tensor]) -> float:
    """Return `exp` of the mean negative log-likelihood of each token after its sequence's first.

    Args:
        logits_of: a model; see `LogitsOf`.
        sequences: int64 `[s]` token ids, each with `s ≥ 2`.

    Raises:
        InvalidInput: no sequence, or one with fewer than two tokens.
    """
    loss, tokens = 0.0, 0
    for sequence in _checked(sequences):
        loss += float(_losses(logits_of(sequence), sequence).sum())
        tokens += len(sequence) - 1
    return math.exp(loss / tokens)


@torch.inference_mode()
def fidelity(reference: LogitsOf, candidate: LogitsOf, sequences: Iterable[Tensor]) -> Fidelity:
    """Return how `candidate` compares with `reference` on the same text.

    Args:
        reference: usually the float32 model.
        candidate: usually a quantized one of the same vocabulary.
        sequences: int64 `[s]` token ids, each with `s ≥ 2`.

    Raises:
        InvalidInput: no sequence, or one with fewer than two tokens.
    """
    tokens = 0
    reference_loss = candidate_loss = divergence = same = 0.0
    for sequence in _checked(sequences):
        theirs, ours = reference(sequence)[:-1].float(), candidate(sequence)[:-1].float()
        log_p, log_q = theirs.log_softmax(dim=-1), ours.log_softmax(dim=-1)
        target = sequence[1:].unsqueeze(1)
        reference_loss -= float(log_p.gather(1, target).sum())
        candidate_loss -= float(log_q.gather(1, target).sum())
        divergence += float((log_p.exp() * (log_p - log_q)).sum())
        same += float((theirs.argmax(dim=-1) == ours.argmax(dim=-1)).sum())
        tokens += len(target)
    return Fidelity(
        tokens=tokens,
        reference_perplexity=math.exp(reference_loss / tokens),
        perplexity=math.exp(candidate_loss / tokens),
        kl_divergence=divergence / tokens,
        agreement=same / tokens,
    )


def _losses(logits: Tensor, sequence: Tensor) -> Tensor:
    return -logits[:-1].float().log_softmax(dim=-1).gather(1, sequence[1:].unsqueeze(1))


def _checked(sequences: Iterable[Tensor]) -> list[Tensor]:
    listed = list(sequences)
    shortest = min((len(sequence) for sequence in listed), default=0)
    if shortest < 2:
        raise InvalidInput(f"sequences must each hold at least two tokens; the shortest has {shortest}")
    return listed
