from collections.abc import AsyncIterator

import pytest

from app.errors import Unavailable
from app.generation.event_stream import MAX_EVENT_BYTES, event_data


async def read(raw: bytes, size: int) -> list[str]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    return [data async for data in event_data(chunks())]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
        (b": ping\n\nevent: x\nid: 3\ndata:one\n\n", ["one"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data: no blank line at the end", ["no blank line at the end"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        ("data: 北京\u2028\x85😀\n\n".encode(), ["北京\u2028\x85😀"]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
async def test_events_are_read_whatever_the_chunks(raw: bytes, found: list[str], size: int) -> None:
    assert await read(raw, size) == found


async def test_an_endless_event_is_refused() -> None:
    with pytest.raises(Unavailable, match="mebibyte"):
        await read(b"data: " + b"x" * (MAX_EVENT_BYTES + 1), 65536)
    with pytest.raises(Unavailable, match="mebibyte"):
        await read(b"data: 0123456789\n" * (MAX_EVENT_BYTES // 8), 65536)
