"""Server-sent events: how they are written, and how a worker thread feeds them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Message

from app.api.wire import json_ready

PING_S = 15
# characters that some clients take for line ends although the format does not
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def event(name: str | None, body: Any) -> ServerSentEvent:
    """One event with a JSON body on a single `data:` line; without a name as OpenAI's chat clients read it."""
    text = json.dumps(json_ready(body), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return ServerSentEvent(data=text.translate(_LINE_ENDS), event=name, sep="\n")


def stream(events: AsyncIterator[ServerSentEvent], on_close: Callable[[], None] | None = None) -> EventSourceResponse:
    """The response that sends the events, with a comment line every 15 s; `on_close` runs when the client hangs up."""

    async def closed(_: Message) -> None:
        if on_close is not None:
            on_close()

    handler: Callable[[Message], Awaitable[None]] = closed
    return EventSourceResponse(
        events,
        ping=PING_S,
        sep="\n",
        ping_message_factory=lambda: ServerSentEvent(comment="still here", sep="\n"),
        client_close_handler_callable=handler,
    )


class Bridge:
    """Carries events from a worker thread to the event loop, in order; iterate it on the loop.

    Iteration ends after `finish` has been told the worker's future; its outcome is then in `outcome`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self.outcome: Future[Any] | None = None

    def emit(self, name: str, body: dict[str, Any]) -> None:
        """Called on the worker thread."""
        self._put((name, body))

    def finish(self, future: Future[Any]) -> None:
        """A done-callback for the worker's future."""
        self.outcome = future
        self._put(None)

    async def __aiter__(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        while (item := await self._queue.get()) is not None:
            yield item

    def _put(self, item: tuple[str, dict[str, Any]] | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: the server is going down, nobody listens
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
