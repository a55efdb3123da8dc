"""MCP over streamable HTTP at `/mcp`: the tools `search`, `ask`, `list_documents` and `get_document`.

The SDK is imported with the first request that needs it: it costs a second that starting should not wait for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from starlette.types import Receive, Scope, Send

from app.api.state import ApiState

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


class McpEndpoint:
    """The ASGI endpoint; `close` ends its sessions."""

    def __init__(self, state: ApiState) -> None:
        self._state = state
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._manager: StreamableHTTPSessionManager | None = None
        self._serving: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        manager = await self._started()
        await manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """Waits until every session has ended."""
        self._stopping.set()
        if self._serving is not None:
            await self._serving

    async def _started(self) -> StreamableHTTPSessionManager:
        async with self._starting:
            if self._manager is None:
                manager = await asyncio.to_thread(_build, self._state)
                running = asyncio.Event()
                self._serving = asyncio.create_task(self._serve(manager, running))
                begun = asyncio.create_task(running.wait())
                await asyncio.wait({begun, self._serving}, return_when=asyncio.FIRST_COMPLETED)
                if self._serving.done():  # it failed before it ran: nobody would ever set the event
                    begun.cancel()
                    await self._serving
                self._manager = manager
        return self._manager

    async def _serve(self, manager: StreamableHTTPSessionManager, running: asyncio.Event) -> None:
        """The manager's task group must be left by the task that entered it: this one, and no request's."""
        async with manager.run():
            running.set()
            await self._stopping.wait()


def _build(state: ApiState) -> StreamableHTTPSessionManager:
    from app.api.mcp_tools import build_server

    server = build_server(state)
    # the gate before this has checked Host, Origin and key already, by the same rules as everywhere else
    server.streamable_http_app(stateless_http=True, transport_security=_gate_checks())
    structlog.get_logger("api").info("mcp_ready")
    return server.session_manager


def _gate_checks() -> Any:
    from mcp.server.transport_security import TransportSecuritySettings

    return TransportSecuritySettings(enable_dns_rebinding_protection=False)
