"""Token ids → text, piece by piece: what each kind of tokenizer writes for the next token.

The bytes of a character may be spread over several tokens; they are kept until the character is whole. Every piece
costs the same however long the text has become.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tokenizers import Tokenizer

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_REPLACEMENT = "\ufffd"


class PieceDecoder(Protocol):
    """Turns the tokens of one sequence into text; what it has given out never changes."""

    def push(self, token: str) -> str:
        """Return the text that is certain after one more token; empty while a character is incomplete."""
        ...

    def finish(self) -> str:
        """Return the rest: U+FFFD for bytes that never became a character."""
        ...


class Detokenizer:
    """What a tokenizer knows about writing text, read once; makes a `PieceDecoder` for each sequence.

    Tokens marked as special are left out, and so are ids that the tokenizer does not know.

    Args:
        tokenizer: of the `tokenizers` library.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(token for token, entry in added.items() if entry.special)
        self._new_decoder = _decoder_factory(tokenizer)

    def decoder(self, *, keep_space: bool = False) -> PieceDecoder:
        """Return a decoder for one sequence; `keep_space` keeps a leading space that decoding would drop."""
        return self._new_decoder(keep_space)

    def token(self, token_id: int) -> str | None:
        """Return the vocabulary's entry; None for special and unknown ids."""
        if token_id in self._special:
            return None
        entry: str | None = self._tokenizer.id_to_token(token_id)
        return entry

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of a whole sequence."""
        decoder = self.decoder()
        tokens = (self.token(token_id) for token_id in token_ids)
        return "".join([decoder.push(token) for token in tokens if token is not None]) + decoder.finish()


class ByteLevelDecoder:
    """Byte-level BPE (GPT-2, Llama 3, Qwen): every character of a token stands for a byte.

    Source: Radford et al. 2019, section 2.2.
    """

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: str) -> str:
        try:
            spelled = bytes([_BYTE_OF[character] for character in token])
        except KeyError:  # an added token is written as it is
            spelled = token.encode()
        return self._utf8.decode(spelled)

    def finish(self) -> str:
        return self._utf8.decode(b"", final=True)


class ByteFallbackDecoder:
    """SentencePiece with byte fallback (Llama 2, Gemma, Phi-3): `<0xE4>` is a byte, other tokens are text.

    Each byte that belongs to no character becomes one U+FFFD, and its neighbours keep their characters, as in
    SentencePiece itself. The `tokenizers` library gives up the whole run of bytes instead, which can't be known before
    the run ends.

    Args:
        replacements: `(old, new)` texts inside a token, such as `▁` → a space.
        strip: how many of the character `strip_character` go from the start of the text.
        strip_character: usually a space.
    """

    def __init__(self, replacements: Sequence[tuple[str, str]], strip: int, strip_character: str) -> None:
        self._replacements = replacements
        self._strip = strip
        self._strip_character = strip_character
        self._bytes = b""

    def push(self, token: str) -> str:
        for old, new in self._replacements:
            token = token.replace(old, new)
        byte = _BYTE_TOKEN.fullmatch(token)
        if byte is None:
            return self._stripped(self._give_up() + token)
        self._bytes += bytes([int(byte[1], 16)])
        return self._stripped(self._whole_characters())

    def finish(self) -> str:
        return self._stripped(self._give_up())

    def _whole_characters(self) -> str:
        text = ""
        while self._bytes:
            length = _utf8_length(self._bytes[0])
            try:
                text += self._bytes[:length].decode()
                self._bytes = self._bytes[length:]
            except UnicodeDecodeError as error:
                if error.reason == "unexpected end of data":
                    break
                text += _REPLACEMENT
                self._bytes = self._bytes[1:]
        return text

    def _give_up(self) -> str:
        lost, self._bytes = self._bytes, b""
        return _REPLACEMENT * len(lost)

    def _stripped(self, text: str) -> str:
        while self._strip and text:
            if text[0] != self._strip_character:
                self._strip = 0
                break
            text, self._strip = text[1:], self._strip - 1
        return text


class TokenwiseDecoder:
    """WordPiece, Metaspace and the like: a token's text depends on itself and on whether it is the first.

    Decoded behind the token before it, a token gives all that it adds.

    Args:
        decode: tokens → text.
        previous: the token before the first; None where there is none.
    """

    def __init__(self, decode: Callable[[list[str]], str], previous: str | None = None) -> None:
        self._decode = decode
        self._previous = previous

    def push(self, token: str) -> str:
        before = [] if self._previous is None else [self._previous]
        known = self._decode(before) if before else ""
        self._previous = token
        return self._decode([*before, token])[len(known) :]

    def finish(self) -> str:
        return ""


class WholeTextDecoder:
    """Any other decoder: nothing is certain before the end."""

    def __init__(self, decode: Callable[[list[str]], str]) -> None:
        self._decode = decode
        self._tokens: list[str] = []

    def push(self, token: str) -> str:
        self._tokens.append(token)
        return ""

    def finish(self) -> str:
        tokens, self._tokens = self._tokens, []
        return self._decode(tokens) if tokens else ""


def _decoder_factory(tokenizer: Tokenizer) -> Callable[[bool], PieceDecoder]:
    if tokenizer.decoder is None:
        return lambda _: TokenwiseDecoder(" ".join)
    decode = tokenizer.decoder.decode
    steps = _flat(json.loads(tokenizer.decoder.__getstate__()))
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"]:
        return lambda _: ByteLevelDecoder()
    if kinds == ["Metaspace"]:
        return lambda keep_space: TokenwiseDecoder(decode, "" if keep_space else None)
    if kinds in (["WordPiece"], ["BPEDecoder"]):
        return lambda _: TokenwiseDecoder(decode)
    return _byte_fallback(steps) or (lambda _: WholeTextDecoder(decode))


def _byte_fallback(steps: list[dict[str, Any]]) -> Callable[[bool], PieceDecoder] | None:
    """Return the factory for `Replace* ByteFallback Fuse [Strip at the start]`; None for another order of steps."""
    replacements: list[tuple[str, str]] = []
    while steps and steps[0]["type"] == "Replace" and "String" in steps[0]["pattern"]:
        replacements.append((steps[0]["pattern"]["String"], steps[0]["content"]))
        steps = steps[1:]
    kinds = [step["type"] for step in steps]
    if kinds not in (["ByteFallback", "Fuse"], ["ByteFallback", "Fuse", "Strip"]) or steps[-1].get("stop"):
        return None
    strip, character = (steps[-1]["start"], steps[-1]["content"]) if kinds[-1] == "Strip" else (0, " ")
    return lambda keep_space: ByteFallbackDecoder(replacements, 0 if keep_space else strip, character)


def _flat(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    if decoder["type"] != "Sequence":
        return [decoder]
    return [step for part in decoder["decoders"] for step in _flat(part)]


def _utf8_length(first: int) -> int:
    return 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def byte_level_alphabet() -> dict[str, int]:
    """Return which byte each character of a byte-level vocabulary stands for.

    Printable Latin-1 bytes stand for themselves; the others are numbered from U+0100 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


_BYTE_OF = byte_level_alphabet()
