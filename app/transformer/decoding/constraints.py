"""Text that must look like something: JSON of a schema, a regular expression, one of several choices, a grammar.

The engine is llguidance (MIT): one wheel without dependencies, for any CPU. It refuses what it can't hold to instead of
ignoring it (a schema keyword that it does not know, a schema that nothing fits). xgrammar, the other candidate, would
bring Triton and a compiler runtime to machines without a GPU.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from tokenizers import Tokenizer
from torch import Tensor

from app.errors import InvalidInput, Unavailable
from app.transformer.decoding.params import GrammarSpec

_KEPT_GRAMMARS = 64
_SPECIAL_IN_REGEX = frozenset("\\.+*?()|[]{}^$#&-~/")
# Compact JSON, or one space after a colon or comma. Free white space lets a weak model write blanks up to its limit.
_JSON_LAYOUT = {"whitespace_flexible": False, "key_separator": ": ?", "item_separator": ", ?"}


class GrammarConstraint:
    """Where one sequence stands in a grammar. Made by `GrammarCompiler.compile`."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing but an ending token can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def mask(self) -> Tensor:
        """Return bool `[vocab_size]`, True = may come next; ending tokens where the text is complete.

        Raises:
            InvalidInput: the grammar outgrew the parser's limits.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, count=self._vocab_size, bitorder="little").view(np.bool_))

    def accept(self, token_id: int) -> None:
        """Advance by one token.

        Raises:
            InvalidInput: the mask does not allow it, or the grammar outgrew the parser's limits.
        """
        self._matcher.consume_token(token_id)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InvalidInput(f"the grammar can't be followed further: {_reason(self._matcher)}; simplify it")


class GrammarCompiler:
    """Turns grammars into constraints for one tokenizer; grammars used before are kept.

    Building one reads the whole vocabulary (about a second for 150,000 entries), so keep it beside the model. Safe to
    use from several threads.

    Args:
        tokenizer: of the `tokenizers` library.
        vocab_size: of the model's logits, which may be larger than the tokenizer's.
        eos_token_ids: the model's ending tokens, at least one.

    Raises:
        InvalidInput: no ending token, or one outside the vocabulary.
        Unavailable: the tokenizer does not say which bytes its tokens spell.
    """

    def __init__(self, tokenizer: Tokenizer, *, vocab_size: int, eos_token_ids: Sequence[int]) -> None:
        ends = sorted(set(eos_token_ids))
        if not ends or ends[0] < 0 or ends[-1] >= vocab_size:
            raise InvalidInput(f"eos_token_ids={ends} must be one or more ids below vocab_size={vocab_size}")
        known = tokenizer.get_vocab_size(with_added_tokens=True)
        if known > vocab_size:
            raise InvalidInput(f"vocab_size={vocab_size} is below the tokenizer's {known} entries: pass the model's")
        try:
            self._tokenizer = LLTokenizer(_spelled(tokenizer), n_vocab=vocab_size, eos_token=ends)
        except BaseException as error:
            if not isinstance(error, ValueError) and not _is_panic(error):
                raise
            raise Unavailable(f"this model's tokenizer can't be constrained to a grammar: {error}") from error
        self._vocab_size = vocab_size
        self._limits = LLParserLimits(verbose_errors=False)
        self._kept: OrderedDict[GrammarSpec, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, spec: GrammarSpec) -> GrammarConstraint:
        """Return a constraint at the start of the language `spec`.

        Raises:
            InvalidInput: the schema, pattern or grammar is wrong, can't be fulfilled, or uses what is not supported.
        """
        with self._lock:
            matcher = self._kept.pop(spec, None) or self._matcher(spec)
            self._kept[spec] = matcher
            if len(self._kept) > _KEPT_GRAMMARS:
                self._kept.popitem(last=False)
            return GrammarConstraint(matcher.deep_copy(), self._vocab_size)

    def _matcher(self, spec: GrammarSpec) -> LLMatcher:
        name = {"json_schema": "JSON Schema", "regex": "regular expression", "choice": "list of choices"}
        try:
            matcher = LLMatcher(self._tokenizer, _grammar(spec), log_level=0, limits=self._limits)
            reason = _reason(matcher) if matcher.is_error() else ""
        except ValueError as error:
            reason = str(error)
        if reason:
            raise InvalidInput(f"the {name.get(spec.kind, 'grammar')} can't be used: {reason}")
        return matcher


def _grammar(spec: GrammarSpec) -> str:
    if spec.kind == "json_schema":
        return LLMatcher.grammar_from_json_schema(spec.source, defaults=_JSON_LAYOUT)  # type: ignore[arg-type]
    if spec.kind == "regex":
        return LLMatcher.grammar_from_regex(spec.source)
    if spec.kind == "choice":
        return LLMatcher.grammar_from_regex("|".join(f"({_literal(choice)})" for choice in json.loads(spec.source)))
    return LLMatcher.grammar_from_lark(spec.source)


def _literal(text: str) -> str:
    return "".join(f"\\{character}" if character in _SPECIAL_IN_REGEX else character for character in text)


def _spelled(tokenizer: Tokenizer) -> str:
    """Return the tokenizer's JSON with a decoder that the engine can read bytes from."""
    described = tokenizer.to_str()
    if tokenizer.decoder is not None and json.loads(tokenizer.decoder.__getstate__())["type"] == "Metaspace":
        parsed = json.loads(described)
        mark = parsed["decoder"]["replacement"]
        steps = [{"type": "Replace", "pattern": {"String": mark}, "content": " "}, {"type": "ByteFallback"}]
        parsed["decoder"] = {"type": "Sequence", "decoders": [*steps, {"type": "Fuse"}]}
        return json.dumps(parsed)
    return str(described)


def _is_panic(error: BaseException) -> bool:
    """Return whether the Rust side gave up; its exception can't be imported and is no `Exception`."""
    return type(error).__name__ == "PanicException"


def _reason(matcher: LLMatcher) -> str:
    return " ".join(matcher.get_error().split())[:500]
