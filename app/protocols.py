"""The few Protocols. Each has two production implementations, or one and the fake that many tests use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.types import Generated, GenerationOptions, Prompt

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
