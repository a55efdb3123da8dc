"""Tokens that may not come next: ends that are too early, n-grams that would repeat, words that are not wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from app.transformer.decoding.params import SamplingParams


def repeats(size: int, text: Sequence[int], history: Sequence[int]) -> set[int]:
    """Return the tokens that would end, behind `history`, an n-gram of `size` tokens that stands in `text` already."""
    if len(history) < size - 1:
        return set()
    before = list(history[len(history) - size + 1 :]) if size > 1 else []
    text = list(text)
    return {text[start + size - 1] for start in range(len(text) - size + 1) if text[start : start + size - 1] == before}


class Bans:
    """Says which tokens one request holds back, as the logits processors of `transformers` do.

    Args:
        params: of the request.
        eos_token_ids: the model's ending tokens. A bad word that is one of them is no bad word.
        source: what `encoder_no_repeat_ngram_size` must not repeat: the encoder's input, or the prompt.

    Source: Paulus et al. 2017, section 2.5 (no trigram twice).
    """

    def __init__(self, params: SamplingParams, eos_token_ids: Iterable[int], source: Sequence[int]) -> None:
        self._params = params
        ends = set(eos_token_ids)
        self._ends = ends | set(params.stop_token_ids)
        self._source = list(source) if params.encoder_no_repeat_ngram_size else []
        single = {word[0] for word in params.bad_words_ids if len(word) == 1}
        self._always = set(params.suppress_tokens) | single - ends
        self._words = [word for word in params.bad_words_ids if len(word) > 1]

    def active(self, generated: int, prompt_tokens: int) -> bool:
        """Return whether a token may be held back after `generated` tokens."""
        params = self._params
        lasting = params.no_repeat_ngram_size or params.encoder_no_repeat_ngram_size
        return bool(self._always or self._words or lasting) or self._early(generated, prompt_tokens)

    def apply(self, logits: Tensor, history: Sequence[int], generated: int) -> None:
        """Set what may not follow `history` to −inf in `logits` `[vocab_size]`.

        Where that would leave nothing (a forced token, a grammar at its end), everything stays.
        """
        params = self._params
        banned = set(self._always)
        if params.no_repeat_ngram_size:
            banned |= repeats(params.no_repeat_ngram_size, history, history)
        if params.encoder_no_repeat_ngram_size:
            banned |= repeats(params.encoder_no_repeat_ngram_size, self._source, history)
        for word in self._words:
            before = len(word) - 1
            if len(history) >= before and tuple(history[len(history) - before :]) == word[:-1]:
                banned.add(word[-1])
        if self._early(generated, len(history) - generated):
            banned |= self._ends
        ids = sorted(token for token in banned if token < logits.shape[0])
        if ids:
            without = logits.index_fill(0, torch.tensor(ids, device=logits.device), -torch.inf)
            if bool(without.max() > -torch.inf):
                logits.copy_(without)

    def _early(self, generated: int, prompt_tokens: int) -> bool:
        params = self._params
        return bool(self._ends) and (generated < params.min_tokens or prompt_tokens + generated < params.min_length)
