"""`POST /v1/admin/backup`: the whole home as one archive, written while it is sent."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import structlog
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from app.api.errors import documented
from app.api.state import Admin, Ready, State
from app.errors import AttestError, Cancelled, NotPermitted
from app.index.backup import back_up

if TYPE_CHECKING:
    pass

router = APIRouter(tags=["operations"])
_PIECES = 16
_PIECE_BYTES = 256 * 1024
_PATIENCE_S = 0.5


@router.post(
    "/v1/admin/backup",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A gzipped tar. Its last member, manifest.json, states every file's size and SHA-256; an "
            "archive without it was cut off. `attest restore` puts it into a home.",
            "content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}},
        },
        **documented(401, 403, 409, 503),
    },
)
async def backup(state: State, services: Ready, caller: Admin) -> StreamingResponse:
    """Everything that must survive, as it is at one moment; reading and writing go on meanwhile."""
    if caller.collections is not None:
        raise NotPermitted("this key is limited to some collections and a backup holds all of them: use another key")
    home = state.settings.home

    def write(pipe: _Pipe) -> None:
        _write(pipe, lambda: back_up(home, services.catalog, pipe, pipe.check))

    pipe = _Pipe()
    threading.Thread(target=write, args=(pipe,), name="attest-backup", daemon=True).start()
    first = await pipe.next()  # before the response begins, so that a Conflict is still a 409
    name = f"attest-{services.catalog.clock():%Y%m%dT%H%M%SZ}.tar.gz"
    return StreamingResponse(
        pipe.rest(first),
        media_type="application/gzip",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _write(pipe: _Pipe, work: Callable[[], object]) -> None:
    log = structlog.get_logger("api")
    try:
        work()
        pipe.finish(None)
    except Cancelled:
        log.info("backup_cancelled")
    except AttestError as error:
        log.error("backup_failed", error=error.message)
        pipe.finish(error)
    except Exception as error:
        log.exception("backup_failed")
        pipe.finish(error)


class _Pipe:
    """Pieces from the thread that writes to the response; bounded, so that a slow client holds the writer back."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | Exception | None] = queue.Queue(_PIECES)
        self._gone = threading.Event()
        self._pending = bytearray()

    def write(self, content: bytes) -> int:
        self._pending += content
        if len(self._pending) >= _PIECE_BYTES:
            self.flush()
        return len(content)

    def flush(self) -> None:
        if self._pending:
            self._put(bytes(self._pending))
            self._pending.clear()

    def check(self) -> None:
        if self._gone.is_set():
            raise Cancelled("the client went away")

    def finish(self, error: Exception | None) -> None:
        """The last thing that the writer says."""
        try:
            if error is None:
                self.flush()
            self._put(error)
        except Cancelled:
            pass

    async def next(self) -> bytes | None:
        """The next piece, None at the end. Raises what the writer failed with."""
        found = await asyncio.to_thread(self._take)
        if isinstance(found, Exception):
            raise found
        return found

    async def rest(self, first: bytes | None) -> AsyncIterator[bytes]:
        piece = first
        try:
            while piece is not None:
                yield piece
                piece = await self.next()
        finally:
            self._gone.set()

    def _put(self, item: bytes | Exception | None) -> None:
        while True:
            self.check()
            try:
                self._queue.put(item, timeout=_PATIENCE_S)
                return
            except queue.Full:
                continue

    def _take(self) -> bytes | Exception | None:
        while not self._gone.is_set():
            try:
                return self._queue.get(timeout=_PATIENCE_S)
            except queue.Empty:
                continue
        return None
