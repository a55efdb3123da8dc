"""The few Protocols. Each has two production implementations, or one and the fake that many tests use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from app.types import Generated, GenerationOptions, Message, Prompt

Float32 = npt.NDArray[np.float32]


class Encoder(Protocol):
    """Texts → unit-length vectors."""

    @property
    def name(self) -> str:
        """Model identity and weights fingerprint; an index built under another name must be rebuilt."""

    @property
    def embed_dim(self) -> int: ...

    @property
    def max_tokens(self) -> int:
        """Longest input, in tokens, special tokens included; longer texts are cut."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not included."""

    def encode_passages(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given."""

    def encode_queries(self, texts: Sequence[str]) -> Float32:
        """[n, embed_dim] float32, L2-normalised, in the order given."""


class Generator(Protocol):
    """Prompt → short answer with the spans that it was copied from."""

    @property
    def name(self) -> str: ...

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        """Raises `Cancelled` between two steps once `cancelled()` is true."""


OnText = Callable[[str, Generated], bool]
"""Takes the next piece of an answer and all of it so far; says whether anything has reached the reader's eyes."""


@runtime_checkable
class StreamingGenerator(Generator, Protocol):
    """A `Generator` that can show its answer while it writes it."""

    def stream(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool], on_text: OnText
    ) -> Generated:
        """As `generate`; the pieces given to `on_text` join to `Generated.text` exactly.

        The `Generated` that comes with a piece promises: what is verified stays verified, and the evidence of the
        whole answer will not be weaker.
        """


class SentenceWriter(Protocol):
    """Short answer → the full sentence that says it."""

    def sentence(self, question: str, answer: str, source: str) -> str | None:
        """A sentence that answers `question` and holds `answer` verbatim; None where the writer has none to offer.

        Args:
            question: as asked.
            answer: copied from `source`.
            source: the sentence around it.
        """


class TextModel(Protocol):
    """A model that follows instructions: a local or remote chat model. The bundled reader is none."""

    @property
    def name(self) -> str: ...

    def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        """The text that continues the conversation, obeying the JSON Schema where the model can be bound to one.

        Raises:
            Cancelled: soon after `cancelled()` is true. Unavailable, Overloaded: the model can not answer, or not now.
        """


class Interval(Protocol):
    """A mean difference with its interval."""

    @property
    def mean(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class Compare(Protocol):
    """A paired comparison of `b` with `a`: `app.evaluation.metrics.paired_bootstrap`."""

    def __call__(self, a: Sequence[float], b: Sequence[float], *, confidence: float, seed: int) -> Interval: ...
