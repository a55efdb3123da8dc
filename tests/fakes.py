"""Fakes that satisfy `app/protocols.py` without a model: fast, deterministic, the same on every machine.

`FakeEncoder` hashes words into signed buckets, so texts that share words are near; `FakeGenerator` copies the passage
sentence that shares most words with the question, so citations, offsets and abstention can be checked end to end.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.errors import Cancelled
from app.protocols import Float32
from app.types import Evidence, Generated, GenerationOptions, PassageSpan, Prompt

_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?](?=\s|$)|[.!?](?=\S)[^.!?。！？\n]*|[。！？])*", re.DOTALL)
_STOP = frozenset(
    re.findall(
        r"\S+",
        "a an and are at be by did do does for from had has have how in is it its of on or that the "
        "this to was were what when where which who whom whose why will with 的 了 是 在 什 么 吗 呢 谁 哪 多 少 几 何",
    )
)


def words(text: str) -> list[str]:
    """Lower-cased words; every Chinese character is a word of its own."""
    return [match.group().casefold() for match in _WORD.finditer(text)]


def content_words(text: str) -> set[str]:
    """The words that carry meaning (stop words left out); all words when nothing else is there."""
    found = set(words(text))
    return (found - _STOP) or found


def sentences(text: str) -> list[tuple[int, int]]:
    """Trimmed, non-empty sentence spans `[char_start, char_end)`, in order."""
    spans: list[tuple[int, int]] = []
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        while start < end and text[start].isspace():
            start += 1
        while end > start and text[end - 1].isspace():
            end -= 1
        if end > start:
            spans.append((start, end))
    return spans


@dataclass
class FakeEncoder:
    """Hashed bag of words: [n, embed_dim] float32 rows of unit length; `calls` counts the texts it was given."""

    embed_dim: int = 64
    name: str = "fake-bag-of-words@1"
    max_tokens: int = 256
    calls: list[int] = field(default_factory=list)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(words(text)) for text in texts]

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        return self._encode(texts)

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Float32:
        self.calls.append(len(texts))
        vectors = np.zeros((len(texts), self.embed_dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words(text)[: self.max_tokens]:
                digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
                weight = 0.1 if word in _STOP else 1.0
                sign = 1.0 if digest[7] & 1 else -1.0
                vectors[row, int.from_bytes(digest[:4], "little") % self.embed_dim] += sign * weight
            norm = float(np.linalg.norm(vectors[row]))
            if norm == 0.0:
                vectors[row, 0], norm = 1.0, 1.0
            vectors[row] /= norm
        return vectors


@dataclass
class FakeGenerator:
    """Copies the passage sentence with most of the question's words; says "no answer" when fewer than half are there.

    `on_generate` runs first with the `cancelled` callable: tests block, count or fail there.
    """

    name: str = "fake-copier@1"
    on_generate: Callable[[Callable[[], bool]], None] | None = None
    prompts: list[Prompt] = field(default_factory=list)

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        self.prompts.append(prompt)
        if self.on_generate is not None:
            self.on_generate(cancelled)
        wanted = content_words(prompt.question)
        candidates: list[tuple[float, int, int, int]] = []  # (−share, passage, start, end): ties to the first
        for index, passage in enumerate(prompt.passages):
            if cancelled():
                raise Cancelled("the request was cancelled while the answer was being written")
            for start, end in sentences(passage.text):
                shared = wanted & set(words(passage.text[start:end]))
                candidates.append((-len(shared) / max(1, len(wanted)), index, start, end))
        candidates.sort()
        if not candidates:
            evidence = Evidence(answer_logprob=-20.0, null_logprob=-0.01, margin=-20.0, question_coverage=0.0)
            return Generated("", (), False, evidence, prompt.tokens, 0, self.name)
        share, index, start, end = -candidates[0][0], *candidates[0][1:]
        probability = min(0.98, max(0.02, share))
        mass = [0.0] * len(prompt.passages)
        mass[index] = 1.0
        other = next((item for item in candidates[1:] if item[1:] != (index, start, end)), None)
        evidence = Evidence(
            answer_logprob=math.log(probability),
            null_logprob=math.log(1.0 - probability),
            margin=math.log(probability) - math.log(1.0 - probability),
            passage_mass=tuple(mass),
            runner_up=prompt.passages[other[1]].text[other[2] : other[3]] if other else None,
            runner_up_logprob=math.log(min(0.98, max(0.02, -other[0]))) if other else None,
            question_coverage=share,
        )
        text = prompt.passages[index].text[start:end]
        return Generated(
            text=text,
            spans=(PassageSpan(index, start, end),),
            answered=share >= 0.5,
            evidence=evidence,
            prompt_tokens=prompt.tokens,
            completion_tokens=len(words(text)),
            model=self.name,
        )
