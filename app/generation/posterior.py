"""p(z | x): how likely each passage of the prompt is to be the one that answers, from the retriever's own scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.generation.marginalize import log_sum
from app.types import Passage, ScoreName

TEMPERATURES: Mapping[ScoreName, float] = {"rerank": 0.7, "cosine": 0.07, "rrf": 0.002}
"""Score → the temperature of its softmax, the most telling score first.

Each is the one that makes the answering passages of 133 dev questions most probable among six (`python -m
benchmarks.rag_modes --tune`): 0.40, 0.83 and 1.20 nats each, against 1.73 without a score. A reranker trained on other
judgements has scores of another spread: the order of the passages stays right, their probabilities may be too bold or
too timid.
"""


def log_prior(passages: Sequence[Passage]) -> list[float]:
    """Return log p(z | x) of each passage: the softmax of the first score in `TEMPERATURES` that all passages have.

    Where no score is common to all, every passage is as likely as the next.

    Source: Lewis et al. 2020, section 2.2, where the score is the retriever's inner product and the temperature 1.
    Departure: the reranker's score, which has seen both texts, and a temperature that was fitted.
    """
    for name, temperature in TEMPERATURES.items():
        if all(name in passage.hit.scores for passage in passages):
            logits = [float(passage.hit.scores[name]) / temperature for passage in passages]
            break
    else:
        logits = [0.0] * len(passages)
    whole = log_sum(logits)
    return [logit - whole for logit in logits]
