"""A model folder's tokenizer: text ↔ ids, its special tokens, and chats turned into prompts by its own template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from app.errors import InvalidInput
from app.transformer.chat_template import ChatTemplate, Message, read_template_sources
from app.transformer.json_files import read_json_object
from app.transformer.vocabularies import read_backend

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Private-use characters around the number of a control token that a message spelled out. See `encode_chat`.
_OPEN, _CLOSE = "\U0010fffc", "\U0010fffd"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
_EDGE = "\U0010fffb"  # stands before and after each passage while a template is rendered


@dataclass(frozen=True)
class ModelTokenizer:
    """Text to ids and back as the makers of a model meant it.

    `backend` is the `tokenizers.Tokenizer` below it, `special_tokens` the named ones ("eos_token" → "</s>"),
    `template` the chat template, None for a model that has none.
    """

    backend: Tokenizer
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    template: ChatTemplate | None = None

    @property
    def vocab_size(self) -> int:
        """Number of ids, added tokens included."""
        size: int = self.backend.get_vocab_size()
        return size

    def id_of(self, name: str) -> int | None:
        """Return the id of a named special token such as "eos_token"; None where the model has none."""
        token = self.special_tokens.get(name)
        found: int | None = None if token is None else self.backend.token_to_id(token)
        return found

    def encode(self, text: str, *, special_tokens: bool = True) -> list[int]:
        """Return the ids of `text`; special tokens spelled out in it are recognised.

        Args:
            text: any text.
            special_tokens: add those that the model's inputs begin or end with.
        """
        ids: list[int] = self.backend.encode(text, add_special_tokens=special_tokens).ids
        return ids

    def encode_literally(self, text: str) -> list[int]:
        """Return the ids of `text` in which a spelled-out special token is text like any other; none are added."""
        backend = self._without_special_tokens
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of `ids`."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return each text's number of tokens, without special tokens."""
        return [len(encoded) for encoded in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def apply_chat_template(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True, **variables: Any
    ) -> str:
        """Return the prompt of a chat as text; other arguments and errors as `ChatTemplate.render`.

        Raises:
            InvalidInput: the model has no chat template, or its template refuses the chat.
        """
        if self.template is None:
            raise InvalidInput(
                "this model has no chat template, so it was not trained for chats: give it a plain prompt, or add "
                "chat_template.jinja to its folder"
            )
        return self.template.render(messages, add_generation_prompt=add_generation_prompt, **variables)

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True, **variables: Any
    ) -> list[int]:
        """Return the prompt of a chat as ids.

        Only the template writes control tokens. A message that spells one out ("<|im_end|>" in a passage that
        somebody uploaded) could otherwise end its turn and speak as another role; here it stays text.
        Arguments and errors: see `apply_chat_template`.
        """
        controls = self._controls
        marked = [_mark_all(message, controls) for message in messages]
        marked_variables = {name: _mark_all(value, controls) for name, value in variables.items()}
        text = self.apply_chat_template(marked, add_generation_prompt=add_generation_prompt, **marked_variables)
        return self._encode_marked(text)

    def encode_chat_with_passages(
        self, messages: Sequence[Message], passages: Sequence[str], **variables: Any
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the prompt of a chat as ids, and where in them the passages stand: `[start, end)` in tokens.

        A passage has the same tokens wherever it stands: it is encoded apart from the text around it, so that the ids
        may differ from `encode_chat` at its edges.

        Args:
            messages: the oldest first.
            passages: texts that the last message holds, in its order; one that it does not hold is left out.
            variables: what else the template reads.

        Raises:
            InvalidInput: see `apply_chat_template`.
        """
        last = str(messages[-1]["content"]).replace(_EDGE, "")
        pieces, done = [], 0
        for passage in passages:
            start = last.find(passage, done) if passage.strip() else -1
            if start >= 0:
                pieces += [last[done:start], passage]
                done = start + len(passage)
        content = _EDGE.join([*pieces, last[done:]])
        earlier = [{**each, "content": str(each["content"]).replace(_EDGE, "")} for each in messages[:-1]]
        controls = self._controls
        marked = [_mark_all(message, controls) for message in [*earlier, {**messages[-1], "content": content}]]
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for place, part in enumerate(self.apply_chat_template(marked, **variables).split(_EDGE)):
            tokens = self._encode_marked(part)
            if place % 2 and tokens:
                spans.append((len(ids), len(ids) + len(tokens)))
            ids += tokens
        return ids, spans

    def _encode_marked(self, text: str) -> list[int]:
        controls = self._controls
        ids: list[int] = []
        # Split at the marks: even places are the template's and the messages' text, odd ones numbers of controls.
        for place, part in enumerate(_MARK.split(text)):
            if place % 2:
                ids += self.encode_literally(controls[int(part)])
            elif part:
                ids += self.encode(part, special_tokens=False)
        return ids

    @cached_property
    def _controls(self) -> list[str]:
        added = self.backend.get_added_tokens_decoder().values()
        # Longest first: one control token may begin with another.
        return sorted((token.content for token in added if token.special), key=len, reverse=True)

    @cached_property
    def _without_special_tokens(self) -> Tokenizer:
        copied = Tokenizer.from_str(self.backend.to_str())
        copied.encode_special_tokens = True
        return copied


def load_tokenizer(path: Path) -> ModelTokenizer:
    """Return the tokenizer of a model folder, or of one vocabulary file.

    Args:
        path: see `read_backend`; a folder's tokenizer_config.json and chat template are read too.

    Raises:
        Unavailable, IntegrityError, MissingPackage: see `read_backend`.
    """
    backend = read_backend(path)
    if path.is_file():
        return ModelTokenizer(backend)
    said = read_json_object(path / "tokenizer_config.json") if (path / "tokenizer_config.json").is_file() else {}
    special = _special_tokens(path, said)
    _add_missing(backend, said, special)
    sources = read_template_sources(path, said)
    return ModelTokenizer(backend, special, ChatTemplate(sources, special) if sources else None)


def _special_tokens(folder: Path, said: Mapping[str, Any]) -> dict[str, str]:
    older = folder / "special_tokens_map.json"
    merged = {**(read_json_object(older) if older.is_file() else {}), **said}
    found: dict[str, str] = {}
    for name in _NAMED:
        value = merged.get(name)
        token = value.get("content") if isinstance(value, Mapping) else value
        if isinstance(token, str):
            found[name] = token
    return found


def _add_missing(backend: Tokenizer, said: Mapping[str, Any], special: Mapping[str, str]) -> None:
    """Tokens that only tokenizer_config.json names get the next free ids, as their makers' library does it."""
    listed = said.get("added_tokens_decoder") or {}
    for _, token in sorted(listed.items(), key=lambda item: int(item[0])):
        flags = {
            name: token[name] for name in ("lstrip", "rstrip", "normalized", "single_word", "special") if name in token
        }
        if backend.token_to_id(token["content"]) is None:
            backend.add_tokens([AddedToken(token["content"], **flags)])
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    backend.add_special_tokens(
        [AddedToken(token, normalized=False) for token in special.values() if token not in known]
    )


def _mark_all(value: Any, controls: Sequence[str]) -> Any:
    """`value` with every control token in its texts replaced by a mark; texts that hold none are the same objects."""
    if isinstance(value, str):
        value = value.replace(_OPEN, "").replace(_CLOSE, "") if _OPEN in value or _CLOSE in value else value
        for number, control in enumerate(controls):
            if control in value:
                value = value.replace(control, f"{_OPEN}{number}{_CLOSE}")
        return value
    if isinstance(value, Mapping):
        return {key: _mark_all(each, controls) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_mark_all(each, controls) for each in value]
    return value
