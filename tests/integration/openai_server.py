"""A server on loopback that speaks enough of OpenAI's chat completions, and misbehaves when a test asks it to."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PATIENCE_S = 60


@dataclass
class OpenAiServer:
    """`says` is written word by word; `status` refuses; `hangs` stops after the first word until the client is gone."""

    says: str = ""
    status: int = 200
    hangs: bool = False
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    client_gone: threading.Event = field(default_factory=threading.Event)

    async def complete(self, request: Request) -> Response:
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("authorization", ""))
        if self.status != 200:
            return JSONResponse({"error": {"message": "no", "code": "out_of_order"}}, self.status)
        return StreamingResponse(self._write(), media_type="text/event-stream")

    async def models(self, request: Request) -> Response:
        if self.status != 200:
            return JSONResponse({"error": {"message": "no"}}, self.status)
        return JSONResponse({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def _write(self) -> AsyncIterator[str]:
        try:
            for number, word in enumerate(self.says.split(" ")):
                yield self._chunk({"content": word if number == 0 else f" {word}"})
                if self.hangs:
                    await asyncio.Event().wait()
            yield self._chunk({}, "stop")
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.client_gone.set()
            raise

    @staticmethod
    def _chunk(delta: dict[str, str], finish: str | None = None) -> str:
        body = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        return f"data: {json.dumps(body)}\n\n"


@contextmanager
def openai_server(**behaviour: Any) -> Iterator[OpenAiServer]:
    """The server, listening on a free port of loopback while the block runs."""
    fake = OpenAiServer(**behaviour)
    routes = [Route("/v1/chat/completions", fake.complete, methods=["POST"]), Route("/v1/models", fake.models)]
    app = Starlette(routes=routes)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
        assert not thread.is_alive()
