"""What clients in programs of their own need: the API on a port of loopback, the worker beside it, and their output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from tests.unit.api.harness import Api

ROOT = Path(__file__).resolve().parents[2]
CLIENT_S = 100


@contextlib.asynccontextmanager
async def listening(api: Api) -> AsyncIterator[str]:
    """The address of the API on a free port of loopback."""
    app = api.client._transport.app  # type: ignore[attr-defined]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        await asyncio.sleep(0.05)  # a connection that came while it stopped is nobody's: it would be left open
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def working(api: Api) -> AsyncIterator[None]:
    """The worker beside the client, as it is in service."""
    over = asyncio.Event()

    async def work() -> None:
        while not over.is_set():
            await api.work()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        over.set()
        await task


async def output_of(command: Sequence[str], folder: Path = ROOT, **environ: str) -> Any:
    """The JSON that a client program prints last; its complaint where it failed."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=clean | environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complained = await asyncio.wait_for(child.communicate(), CLIENT_S)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, f"{command}\n{said.decode()[-2_000:]}\n{complained.decode()[-4_000:]}"
    return json.loads(said.decode().strip().splitlines()[-1])
