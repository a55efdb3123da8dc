"""Text → token ids with the character span of every token: a thin wrapper on the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from app.errors import Unavailable


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """Ids without special tokens; `offsets[i]` is the half-open character span of token i in the text."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class TextTokenizer:
    """Returns token ids and offsets of texts; neither cuts nor pads them.

    Args:
        path: a `tokenizer.json`.

    Raises:
        Unavailable: the file is missing.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise Unavailable(f"tokenizer file {path} is missing: copy tokenizer.json beside the weights")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def vocabulary(self) -> list[str]:
        """Return a token for every id: the first in alphabetical order where several share one, "" where none does."""
        ids = self._tokenizer.get_vocab()
        tokens = [""] * (max(ids.values(), default=-1) + 1)
        for token in sorted(ids, reverse=True):
            tokens[ids[token]] = token
        return tokens

    def token_id(self, token: str) -> int:
        """Return the id of a vocabulary entry.

        Raises:
            ValueError: the vocabulary has no such entry.
        """
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"token {token!r} is not in the vocabulary: choose a model that has it")
        return found

    def encode(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Return each text's tokens, in order, without special tokens."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [TokenizedText(encoding.ids, encoding.offsets) for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; lossy where the tokenizer normalises (case, accents, spaces)."""
        return self._tokenizer.decode(list(ids))
