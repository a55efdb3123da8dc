"""Cypher's text → tokens, and a place among them: comments and unknown characters are refused here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.errors import InvalidInput
from app.query.construction.cypher_tree import KEYWORDS

MAX_CHARS = 10_000
MAX_TOKENS = 800
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<comment>//|/\*|--\s|\#)
    | (?P<number>\d+\.\d+(?:[eE][-+]?\d+)?|\d+(?:[eE][-+]?\d+)?(?!\w)|\.\d+)
    | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<parameter>\$[A-Za-z_]\w*)
    | (?P<name>[^\W\d]\w*)
    | (?P<sign><=|>=|<>|\.\.|[-+*/%=<>()\[\]{}:,.|;])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is "end" behind the last one; `word` is a keyword's capital form, else empty."""

    kind: str
    text: str
    at: int
    word: str = ""


def tokens_of(text: str) -> list[Token]:
    """The tokens, "end" behind the last. Raises InvalidInput for comments, unknown characters, and too long a text."""
    if len(text) > MAX_CHARS:
        raise InvalidInput(f"the statement has {len(text)} characters: use at most {MAX_CHARS}")
    tokens: list[Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise InvalidInput(f"the statement can't be read at character {at} ({text[at : at + 20].strip()!r})")
        kind = str(match.lastgroup)
        found = match.group(kind)
        if kind == "comment" and found.startswith("--") and _is_edge(text, match.start(kind)):
            kind, found = "sign", "-"
            tokens.append(Token(kind, found, match.start("comment")))
            at = match.start("comment") + 1
            continue
        if kind == "comment":
            raise InvalidInput(f"the statement holds a comment at character {match.start(kind)}: remove it")
        if kind == "quoted":
            tokens.append(Token("name", found[1:-1].replace("``", "`"), match.start(kind)))
        elif kind == "string":
            tokens.append(Token(kind, _ESCAPE.sub(_unescaped, found[1:-1]), match.start(kind)))
        else:
            word = found.upper() if kind == "name" else ""
            tokens.append(Token(kind, found, match.start(kind), word))
        at = match.end()
        if len(tokens) > MAX_TOKENS:
            raise InvalidInput(f"the statement has more than {MAX_TOKENS} words and signs: write a shorter one")
    tokens.append(Token("end", "its end", len(text)))
    return tokens


def _is_edge(text: str, at: int) -> bool:
    """Whether `-- ` is an edge between two nodes: a bracket stands on both sides."""
    return text[:at].rstrip().endswith((")", "<")) and text[at + 2 :].lstrip().startswith(("(", ">"))


def _unescaped(match: re.Match[str]) -> str:
    if match.group(1):
        code = int(match.group(1), 16)
        return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
    return _ESCAPES.get(match.group(2), match.group(2))


class Cursor:
    """A place among tokens: `take_…` moves past what stands there and says whether it did, `need_…` raises."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self.at = 0

    @property
    def now(self) -> Token:
        """The token that stands here."""
        return self._tokens[self.at]

    def peek(self, ahead: int) -> Token:
        """The token so many further on, the last one past the end."""
        return self._tokens[min(self.at + ahead, len(self._tokens) - 1)]

    def take_word(self, word: str) -> bool:
        """Whether the keyword stands here; then it is passed."""
        taken = self.now.word == word
        self.at += taken
        return taken

    def take_sign(self, sign: str) -> bool:
        """Whether the sign stands here; then it is passed."""
        taken = self.now.kind == "sign" and self.now.text == sign
        self.at += taken
        return taken

    def need_word(self, word: str) -> None:
        """Passes the keyword. Raises InvalidInput where it does not stand here."""
        if not self.take_word(word):
            raise self.wrong(word)

    def need_sign(self, sign: str) -> None:
        """Passes the sign. Raises InvalidInput where it does not stand here."""
        if not self.take_sign(sign):
            raise self.wrong(repr(sign))

    def name(self, *, any_word: bool = False) -> str:
        """Passes a name and returns it; a keyword is one only where `any_word` lets it. Raises InvalidInput."""
        token = self.now
        if token.kind != "name" or (token.word in KEYWORDS and not any_word):
            raise self.wrong("a name")
        self.at += 1
        return token.text

    def wrong(self, wanted: str) -> InvalidInput:
        """The error that says what stands here instead of `wanted`."""
        shown = self.now.text[:40] if self.now.kind == "end" else repr(self.now.text[:40])
        return InvalidInput(f"the statement has {shown} at character {self.now.at} where {wanted} should stand")
