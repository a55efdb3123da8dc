"""A language model as a `Generator`: it is shown numbered passages, and what it says of them is checked as it comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.errors import InvalidInput
from app.generation.chat import ChatModel, ThoughtFilter, chat_messages
from app.generation.cited_text import CitedText
from app.generation.marginal_chat import DocumentChat, answer_by_marginals
from app.generation.support import SUPPORTED
from app.protocols import OnText
from app.types import Evidence, Generated, GenerationOptions, Prompt


class PromptedGenerator:
    """Implements `StreamingGenerator` over any `ChatModel`.

    The text is the model's own, but only markers whose passage carries their claim stay in it. The evidence's `support`
    measures that; where the model gives log-probabilities its excess over `SUPPORTED` is multiplied by the geometric
    mean of the tokens' probabilities. It is a measure of shared words, not a calibrated probability.
    """

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._model.name

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        """The whole answer. Raises as `stream`."""
        return self.stream(prompt, options, cancelled, _unheard)

    def stream(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool], on_text: OnText
    ) -> Generated:
        """The answer, given to `on_text` piece by piece as the model writes it.

        Raises:
            InvalidInput: a RAG mode of a model that does not give every token's probability, such as a remote one.
            Cancelled: `cancelled()` was true between two pieces.
            Unavailable: the model can not answer. Overloaded: not now.
        """
        if options.mode != "fusion":
            return self._marginalized(prompt, options, cancelled)
        cited, thoughts = CitedText(prompt), ThoughtFilter()
        tally = _Tally(prompt)
        collections = sorted({passage.hit.chunk.collection for passage in prompt.passages})
        pieces = self._model.chat(chat_messages(prompt), options, cancelled, "\n".join(collections))

        def show(piece: str) -> None:
            if piece:
                on_text(piece, self._so_far(cited))

        try:
            for delta in pieces:
                tally.add(delta.text, delta.logprob, delta.tokens)
                tally.finish_reason = delta.finish_reason or tally.finish_reason
                tally.prompt_tokens = delta.prompt_tokens or tally.prompt_tokens
                tally.completion_tokens = delta.completion_tokens or tally.completion_tokens
                show(cited.feed(thoughts.feed(delta.text)))
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        show(cited.feed(thoughts.finish()) + cited.finish())
        return replace(self._finished(cited, tally), style=options.style or "auto")

    def forget(self, collection: str) -> None:
        """Drops what the model remembers of earlier prompts over the collection."""
        forget = getattr(self._model, "forget", None)
        if forget is not None:
            forget(collection)

    def close(self) -> None:
        """Gives the model's resources back."""
        self._model.close()

    def _marginalized(self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool]) -> Generated:
        """The answer with the passage summed out: nothing of it is certain before the end, so it comes at once."""
        if not isinstance(self._model, DocumentChat):
            raise InvalidInput(f"mode={options.mode!r}: {self.name} sees all passages at once, use mode='fusion'")
        return answer_by_marginals(self._model, prompt, options, cancelled)

    def _so_far(self, cited: CitedText) -> Generated:
        evidence = Evidence(support=SUPPORTED if cited.verified else 0.0)
        answered = cited.verified or cited.begun
        return Generated(cited.text, tuple(cited.spans), answered, evidence, 0, 0, self.name, tuple(cited.claims))

    def _finished(self, cited: CitedText, tally: _Tally) -> Generated:
        probability = tally.mean_probability
        carried = cited.support
        if probability is not None and carried:
            carried = SUPPORTED + (carried - SUPPORTED) * probability
        answered = bool(cited.text) and not cited.refused
        detail: dict[str, Any] = {
            "claims_verified": len(cited.claims),
            "markers_dropped": list(cited.dropped),
            "refused": cited.refused,
            "mean_token_probability": probability,
            "first_token_ms": tally.first_token_ms,
            "finish_reason": tally.finish_reason,
        }
        cut = tally.finish_reason == "length"
        return Generated(
            text=cited.text,
            spans=tuple(cited.spans) if answered else (),
            answered=answered,
            evidence=Evidence(support=carried, passage_mass=_mass(cited)),
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens or tally.tokens,
            model=self.name,
            claims=tuple(cited.claims) if answered else (),
            warnings=("the answer reached max_tokens and stops there",) if cut and answered else (),
            detail=detail,
        )


class _Tally:
    """What a stream cost."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt_tokens = prompt.tokens  # the embedder's count, until the model says its own
        self.completion_tokens = 0
        self.finish_reason: str | None = None
        self.first_token_ms: float | None = None
        self.tokens = 0
        self._logprob = 0.0
        self._scored = 0
        self._started = time.perf_counter()

    def add(self, text: str, logprob: float | None, tokens: int) -> None:
        if text and self.first_token_ms is None:
            self.first_token_ms = round((time.perf_counter() - self._started) * 1000, 3)
        self.tokens += tokens if text else 0
        if logprob is not None:
            self._logprob += logprob
            self._scored += tokens

    @property
    def mean_probability(self) -> float | None:
        """exp of the mean log-probability; None where the model gave none."""
        return math.exp(min(0.0, self._logprob / self._scored)) if self._scored else None


def _mass(cited: CitedText) -> tuple[float, ...]:
    """Per passage the share of the claims that it carries."""
    mass = [0.0] * len(cited.prompt.passages)
    for claim in cited.claims:
        mass[cited.spans[claim.span].passage] += 1 / len(cited.claims)
    return tuple(mass)


def _unheard(piece: str, so_far: Generated) -> bool:
    """Nobody watches."""
    del piece, so_far
    return False
