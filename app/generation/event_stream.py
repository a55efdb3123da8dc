"""Server-sent events as they arrive: bytes in, the `data` of each event out."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.errors import Unavailable

MAX_EVENT_BYTES = 2**20


async def event_data(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The `data` field of every event, its lines joined by a line feed; names, ids and comments are passed over.

    Lines end at LF or CRLF and nowhere else: U+2028 inside a JSON string is text. A last event without its blank line
    counts, since some servers leave it out.

    Raises:
        Unavailable: an event is longer than `MAX_EVENT_BYTES`.

    Source: WHATWG HTML, section 9.2.6, "Interpreting an event stream".
    """
    pending = b""
    fields: list[str] = []
    async for chunk in chunks:
        pending += chunk
        if len(pending) > MAX_EVENT_BYTES or sum(map(len, fields)) > MAX_EVENT_BYTES:
            raise Unavailable("the model server sent an event of over a mebibyte: it does not speak this protocol")
        *lines, pending = pending.split(b"\n")
        for line in lines:
            if bare := line.removesuffix(b"\r"):
                _take(bare, fields)
            elif fields:
                yield "\n".join(fields)
                fields = []
    if pending:
        _take(pending.removesuffix(b"\r"), fields)
    if fields:
        yield "\n".join(fields)


def _take(line: bytes, fields: list[str]) -> None:
    name, _, value = line.partition(b":")
    if name == b"data":
        fields.append(value.removeprefix(b" ").decode("utf-8", "replace"))
