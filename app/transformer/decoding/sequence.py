"""One request while it is decoded: its tokens, its text, and why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.transformer.decoding.detokenize import Detokenizer
from app.transformer.decoding.params import SamplingParams
from app.transformer.decoding.sampling import Constraint, Sampled, Sampler
from app.transformer.decoding.streams import TokenStream

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one token added. `text` may be empty, or more than the token's own; the last step has a `finish_reason`."""

    text: str
    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished sequence.

    `token_ids` and `logprobs` hold every generated token, the ending one included; `text` leaves it out. `score` is
    the sum of the log-probabilities; a beam search's is divided by tokens ** length_penalty.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: FinishReason
    score: float
    tops: tuple[tuple[tuple[int, float], ...], ...] = ()


class GeneratedSequence:
    """The state of one sequence; the same for a plain loop and for an engine that runs many.

    Args:
        prompt_ids: what it starts from.
        params: of the request.
        eos_token_ids: the model's ending tokens.
        detokenizer: of the model; None gives no text, and then stop strings can't be seen.
        constraint: of this sequence alone.
        room_tokens: most tokens that the model has room for; None: no bound but `params.max_tokens`.
        source_ids: what an encoder has read; None: the prompt is the source.
    """

    def __init__(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        eos_token_ids: Sequence[int] = (),
        detokenizer: Detokenizer | None = None,
        constraint: Constraint | None = None,
        room_tokens: int | None = None,
        source_ids: Sequence[int] | None = None,
    ) -> None:
        self.params = params
        self.history = list(prompt_ids)
        self.sampler = Sampler(
            params,
            eos_token_ids=eos_token_ids,
            constraint=constraint,
            source=prompt_ids if source_ids is None else source_ids,
            prompt_tokens=len(self.history),
        )
        self.finish_reason: FinishReason | None = None
        self._prompt_tokens = len(self.history)
        self._limit = params.max_tokens if room_tokens is None else min(params.max_tokens, room_tokens)
        self._ends = frozenset(params.stop_token_ids) | (frozenset() if params.ignore_eos else frozenset(eos_token_ids))
        # What a grammar says about a leading space must reach the reader.
        self._stream = (
            None if detokenizer is None else TokenStream(detokenizer, params.stop, keep_space=constraint is not None)
        )
        self._texts: list[str] = []
        self._sampled: list[Sampled] = []

    @property
    def text(self) -> str:
        """What has been given out so far."""
        return "".join(self._texts)

    @property
    def generated(self) -> int:
        """How many tokens have been generated."""
        return len(self._sampled)

    def next(self, sampled: Sampled) -> Step:
        """Take the token that the sampler chose; return what it adds, and `finish_reason` where the sequence ends."""
        token_id = sampled.token_id
        self.history.append(token_id)
        self._sampled.append(sampled)
        text = ""
        if token_id in self._ends:
            self.finish_reason = "stop"
        else:
            text = self._stream.push(token_id) if self._stream else ""
            constraint = self.sampler.constraint
            if (self._stream is not None and self._stream.stopped) or (constraint is not None and constraint.finished):
                self.finish_reason = "stop"
            elif self.generated >= self._limit:
                self.finish_reason = "length"
        if self.finish_reason is not None:
            text += self._rest()
        self._texts.append(text)
        return Step(text, token_id, sampled.logprob, sampled.top, self.finish_reason)

    def cancel(self) -> str:
        """End the sequence from outside; return the text that was still held back."""
        if self.finish_reason is not None:
            return ""
        self.finish_reason = "cancelled"
        rest = self._rest()
        self._texts.append(rest)
        return rest

    def result(self) -> Generation:
        """Return the finished sequence. Call it after its end."""
        assert self.finish_reason is not None
        logprobs = tuple(sampled.logprob for sampled in self._sampled)
        return Generation(
            token_ids=tuple(self.history[self._prompt_tokens :]),
            logprobs=logprobs,
            text=self.text,
            finish_reason=self.finish_reason,
            score=sum(logprobs),
            tops=tuple(sampled.top for sampled in self._sampled) if self.params.logprobs else (),
        )

    def _rest(self) -> str:
        return self._stream.finish() if self._stream is not None else ""
