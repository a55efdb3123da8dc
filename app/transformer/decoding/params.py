"""What a request may ask of decoding, checked when it is made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import InvalidInput

GrammarKind = Literal["json_schema", "regex", "choice", "lark"]
EarlyStopping = Literal["never"] | bool

_MOST_TOP_LOGPROBS = 20  # what OpenAI's interface allows
_MOST_STOP_STRINGS = 16
_MOST_BEAMS = 64


@dataclass(frozen=True, slots=True)
class GrammarSpec:
    """A language that the generated text must belong to; build one with the class methods.

    `source` is the JSON text of the schema, the regular expression, the JSON array of choices, or the Lark grammar.
    """

    kind: GrammarKind
    source: str

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool | str) -> GrammarSpec:
        """Return the language of the JSON texts that validate against `schema` (an object, or its JSON text).

        Raises:
            InvalidInput: the schema is no JSON, or neither an object nor true.
        """
        try:
            parsed = json.loads(schema) if isinstance(schema, str) else schema
            source = json.dumps({} if parsed is True else parsed)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidInput(f"the JSON Schema is not JSON: {error}") from error
        if not isinstance(parsed, Mapping) and parsed is not True:
            raise InvalidInput(f"a JSON Schema that can be fulfilled must be an object or true, got {source[:80]}")
        return cls("json_schema", source)

    @classmethod
    def json_object(cls) -> GrammarSpec:
        """Return the language of all JSON objects."""
        return cls.json_schema({"type": "object"})

    @classmethod
    def regex(cls, pattern: str) -> GrammarSpec:
        """Return the language of the texts that `pattern` matches from their first character to their last."""
        return cls("regex", pattern)

    @classmethod
    def choice(cls, choices: Sequence[str]) -> GrammarSpec:
        """Return the language of exactly these texts.

        Raises:
            InvalidInput: there is no choice, or one that is no text or empty.
        """
        options = list(choices)
        if isinstance(choices, str) or not options or not all(isinstance(option, str) and option for option in options):
            raise InvalidInput(f"choices={choices!r} must be a list of one or more texts, none of them empty")
        return cls("choice", json.dumps(options))

    @classmethod
    def lark(cls, grammar: str) -> GrammarSpec:
        """Return the language of a context-free grammar in Lark's notation, whose first rule is `start`."""
        return cls("lark", grammar)


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one request's tokens are chosen and when it ends.

    Args:
        max_tokens: most tokens to generate, the ending one included.
        temperature: logits are divided by it; 0 takes the most probable token each time.
        top_k: keep the `top_k` most probable tokens; 0 keeps all.
        top_p: keep the fewest tokens whose probabilities reach `top_p`, in (0, 1].
        min_p: keep tokens at least `min_p` times as probable as the best one, in [0, 1].
        repetition_penalty: above 1 makes tokens of the prompt and of the text so far less probable.
        presence_penalty: taken from the logit of each token generated already, in [−2, 2].
        frequency_penalty: the same, times how often it was generated.
        seed: the same seed, prompt and model give the same tokens, whatever else runs beside them. None: a fresh one.
        stop: texts that end the generation; they are not part of its text.
        stop_token_ids: tokens that end it, besides the model's own.
        ignore_eos: go on past the model's own ending tokens, for measurements.
        min_tokens: no ending token before this many tokens.
        min_length: the same, the prompt (of an encoder–decoder: the start of its target) counted with them.
        no_repeat_ngram_size: no n-gram of so many tokens comes twice in prompt and text; 0 allows it.
        encoder_no_repeat_ngram_size: the text has no n-gram of so many tokens that the encoder's input has (where there
            is no encoder: the prompt).
        bad_words_ids: sequences of tokens that are not completed.
        suppress_tokens: tokens that are never taken.
        logprobs: how many of the most probable tokens to report with each token, at most 20.
        logprobs_of: "model": of the model's own distribution, before anything here (as OpenAI reports them);
            "sampled": of the distribution that was drawn from.
        num_beams: above 1, beam search, which draws nothing: temperature, top_k, top_p, min_p and seed play no part.
        length_penalty: beams are ranked by log-probability / tokens ** length_penalty.
        early_stopping: True ends a beam search when `num_beams` are finished, False when no live beam looks better
            at its present length, "never" when none can become better.
        renormalize_logits: beams add log-probabilities that are normalised again after penalties and bans.
        grammar: what the text must look like.

    Raises:
        InvalidInput: a value out of its range, or two that exclude each other.

    Source: top-k Fan et al. 2018; top-p Holtzman et al. 2020; min-p Nguyen et al. 2024; repetition penalty Keskar et
    al. 2019, section 4.1.
    """

    max_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0
    min_length: int = 0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    logprobs: int = 0
    logprobs_of: Literal["model", "sampled"] = "model"
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    renormalize_logits: bool = False
    grammar: GrammarSpec | None = None

    def __post_init__(self) -> None:
        stop: object = self.stop
        object.__setattr__(self, "stop", (stop,) if isinstance(stop, str) else tuple(self.stop))
        object.__setattr__(self, "stop_token_ids", tuple(self.stop_token_ids))
        object.__setattr__(self, "suppress_tokens", tuple(self.suppress_tokens))
        self._whole("max_tokens", 1, None)
        self._number("temperature", 0.0, 100.0)
        self._whole("top_k", 0, None)
        self._number("top_p", 0.0, 1.0, open_below=True)
        self._number("min_p", 0.0, 1.0)
        self._number("repetition_penalty", 0.0, 100.0, open_below=True)
        self._number("presence_penalty", -2.0, 2.0)
        self._number("frequency_penalty", -2.0, 2.0)
        self._whole("min_tokens", 0, self.max_tokens)
        self._whole("min_length", 0, None)
        self._whole("no_repeat_ngram_size", 0, None)
        self._whole("encoder_no_repeat_ngram_size", 0, None)
        self._whole("logprobs", 0, _MOST_TOP_LOGPROBS)
        self._whole("num_beams", 1, _MOST_BEAMS)
        self._number("length_penalty", -100.0, 100.0)
        if self.seed is not None and (not isinstance(self.seed, int) or isinstance(self.seed, bool)):
            raise InvalidInput(f"seed={self.seed!r} must be a whole number or None")
        if len(self.stop) > _MOST_STOP_STRINGS or not all(isinstance(text, str) and text for text in self.stop):
            raise InvalidInput(f"stop={self.stop!r} must be at most {_MOST_STOP_STRINGS} texts, none of them empty")
        for name in ("stop_token_ids", "suppress_tokens"):
            if not _are_tokens(getattr(self, name)):
                raise InvalidInput(f"{name}={getattr(self, name)!r} must be token ids, 0 or more")
        words: object = self.bad_words_ids
        if not isinstance(words, list | tuple) or not all(
            isinstance(word, list | tuple) and word and _are_tokens(word) for word in words
        ):
            raise InvalidInput(f"bad_words_ids={words!r} must be lists of token ids, none of them empty")
        object.__setattr__(self, "bad_words_ids", tuple(tuple(word) for word in words))
        if self.logprobs_of not in ("model", "sampled"):
            raise InvalidInput(f"logprobs_of={self.logprobs_of!r} must be 'model' or 'sampled'")
        if self.early_stopping not in (True, False, "never"):
            raise InvalidInput(f"early_stopping={self.early_stopping!r} must be True, False or 'never'")
        if self.num_beams > 1 and (self.grammar or self.stop or self.logprobs):
            raise InvalidInput(
                f"num_beams={self.num_beams} excludes grammar, stop and logprobs: set num_beams=1, or end beams by "
                "stop_token_ids"
            )

    @property
    def greedy(self) -> bool:
        """Whether the most probable token is taken each time."""
        return self.temperature == 0.0 or self.top_k == 1

    @property
    def penalized(self) -> bool:
        """Whether tokens seen before change the logits."""
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0

    def _whole(self, name: str, least: int, most: int | None) -> None:
        value = getattr(self, name)
        upper = "" if most is None else f" and at most {most}"
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or value < least
            or (most is not None and value > most)
        ):
            raise InvalidInput(f"{name}={value!r} must be a whole number of at least {least}{upper}")

    def _number(self, name: str, least: float, most: float, *, open_below: bool = False) -> None:
        value = getattr(self, name)
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not good or not least <= value <= most or (open_below and value == least):
            lower = "above" if open_below else "at least"
            raise InvalidInput(f"{name}={value!r} must be a number, {lower} {least:g} and at most {most:g}")


def _are_tokens(ids: Sequence[object]) -> bool:
    return all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in ids)
