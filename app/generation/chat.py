"""What every chat model gives, near or far: pieces of text as they are written, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.types import GenerationOptions, Message, Prompt


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of text; the last one says why the model ended and what it counted, where it can.

    `logprob` is the sum of the natural log-probabilities of the piece's `tokens` tokens, None where they are not given.
    """

    text: str = ""
    logprob: float | None = None
    tokens: int = 1
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class ChatModel(Protocol):
    """Messages → text, streamed."""

    @property
    def name(self) -> str:
        """With its kind in front: `local:Qwen2.5-0.5B-Instruct`, `remote:gpt-oss-20b`."""

    def chat(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancelled: Callable[[], bool],
        namespace: str = "",
    ) -> Iterator[Delta]:
        """The answer's pieces; closing the iterator stops the model.

        Args:
            messages: system first, then user and assistant in turn.
            options: how the text is sampled, and its length.
            cancelled: asked all the time.
            namespace: work on a shared beginning is reused among calls of one namespace only, so that nobody learns by
                the clock what others ask of documents that he may not see.

        Raises:
            Cancelled: soon after `cancelled()` is true.
            Unavailable: the model can not answer. Overloaded: not now.
        """

    def close(self) -> None:
        """Gives threads, connections and memory back."""


def chat_messages(prompt: Prompt) -> list[Message]:
    """The prompt as a conversation: instruction, earlier turns, then the passages with the question.

    Passages stand in the user's turn, not in the system's: they are material, and a model that was trained to obey its
    system message more than its user is harder to mislead by them.
    """
    passages = tuple(passage.text for passage in prompt.passages)
    asked = prompt.text.removeprefix(prompt.instruction).lstrip("\n")
    system = [Message("system", prompt.instruction)] if prompt.instruction else []
    return [*system, *_alternating([*prompt.history, Message("user", asked, passages)])]


def _alternating(turns: Sequence[Message]) -> list[Message]:
    """User and assistant in turn, the user first, as most chat templates insist; turns of one role are joined."""
    kept: list[Message] = []
    for turn in turns:
        if turn.role not in ("user", "assistant") or not turn.content.strip():
            continue
        if kept and kept[-1].role == turn.role:
            joined = f"{kept[-1].content}\n\n{turn.content}"
            kept[-1] = Message(turn.role, joined, kept[-1].passages + turn.passages)
        elif kept or turn.role == "user":
            kept.append(turn)
    return kept


def plain_prompt(messages: Sequence[Message]) -> str:
    """The conversation for a model without a chat template: each turn under its speaker's name."""
    named = {"user": "User: ", "assistant": "Assistant: "}
    return "\n\n".join([*(f"{named.get(turn.role, '')}{turn.content}" for turn in messages), "Assistant:"])


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system's words in front of the first user's, for templates without that role."""
    if not messages or messages[0].role != "system":
        return list(messages)
    if len(messages) == 1:
        return [Message("user", messages[0].content)]
    first = Message(messages[1].role, f"{messages[0].content}\n\n{messages[1].content}", messages[1].passages)
    return [first, *messages[2:]]


class ThoughtFilter:
    """Leaves out a `<think>…</think>` block at the beginning, which reasoning models put before their answer."""

    _OPEN, _CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self._held: str | None = ""  # None: the block is over, or there was none

    def feed(self, piece: str) -> str:
        """The part of the text that belongs to the answer."""
        if self._held is None:
            return piece
        self._held += piece
        start = self._held.lstrip()
        if start.startswith(self._OPEN):
            _, closed, rest = start.partition(self._CLOSE)
            if not closed:
                return ""
        elif self._OPEN.startswith(start):
            return ""
        else:
            rest = self._held
        self._held = None
        return rest

    def finish(self) -> str:
        """What was held back and turned out to be no thought."""
        held, self._held = self._held or "", None
        return "" if held.lstrip().startswith(self._OPEN) else held
