"""A chat model that says what a test wants, and a stand-in for an OpenAI-compatible server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.errors import Cancelled
from app.generation.chat import Delta
from app.types import GenerationOptions, Message


@dataclass
class FakeChat:
    """Yields `pieces`, then raises `error` if there is one; `asked` keeps what it was asked with."""

    pieces: Sequence[str | Delta]
    error: Exception | None = None
    name: str = "remote:fake"
    asked: list[tuple[list[Message], GenerationOptions, str]] = field(default_factory=list)
    stopped: int = 0
    closed: bool = False

    def chat(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancelled: Callable[[], bool],
        namespace: str = "",
    ) -> Iterator[Delta]:
        self.asked.append((list(messages), options, namespace))
        try:
            for piece in self.pieces:
                if cancelled():
                    raise Cancelled("cancelled")
                yield piece if isinstance(piece, Delta) else Delta(piece)
            if self.error is not None:
                raise self.error
        finally:
            self.stopped += 1

    def close(self) -> None:
        self.closed = True


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One `chat.completion.chunk`."""
    delta = {} if text is None else {"content": text}
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def events(*chunks: dict[str, Any] | str, done: bool = True) -> list[bytes]:
    """The bytes of an event stream, one item an event."""
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in chunks]
    return [f"data: {text}\n\n".encode() for text in [*texts, *(["[DONE]"] if done else [])]]


class Stream(httpx.AsyncByteStream):
    """Parts of a body; an exception among them is raised in its place. `closed` says that the client let go."""

    def __init__(self, parts: Sequence[bytes | Exception | Callable[[], Any]]) -> None:
        self._parts = parts
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            if callable(part):
                await part()
                continue
            yield part

    async def aclose(self) -> None:
        self.closed = True


def sending(stream: Stream) -> httpx.Response:
    """A 200 whose body is this event stream."""
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)


def streamed(*parts: bytes | Exception | Callable[[], Any]) -> httpx.Response:
    """A 200 whose body is an event stream."""
    return sending(Stream(parts))


GOOD = events(chunk(""), chunk("It opened "), chunk("in 1932 [1]."), chunk(finish="stop"))


@dataclass
class Server:
    """Answers one prepared response after another, the last again and again; an exception is raised instead."""

    responses: Sequence[Callable[[], httpx.Response] | Exception]
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[httpx.Headers] = field(default_factory=list)

    def transport(self) -> httpx.MockTransport:
        async def answer(request: httpx.Request) -> httpx.Response:
            self.requests.append(json.loads(request.content))
            self.headers.append(request.headers)
            response = self.responses[min(len(self.requests), len(self.responses)) - 1]
            if isinstance(response, Exception):
                raise response
            return response()

        return httpx.MockTransport(answer)


def well() -> httpx.Response:
    """An answer in order."""
    return streamed(*GOOD)


def failing(status: int, body: Any = None, **headers: str) -> Callable[[], httpx.Response]:
    """A refusal with this status."""
    return lambda: httpx.Response(status, headers=headers, json=body if body is not None else {})
