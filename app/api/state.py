"""What the routes share: the services once they are loaded, the executors, and the annotated dependencies."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import structlog
from fastapi import Depends, Request

from app.api.background import Background, through
from app.api.executor import ModelExecutor
from app.api.keys import ANYONE, Principal, Scope
from app.errors import AttestError, Unavailable
from app.settings import Settings

if TYPE_CHECKING:
    from app.bootstrap import Services
    from app.telemetry import Metrics

T = TypeVar("T")
_CATALOG_THREADS = 4


class ApiState:
    """One per application, on `app.state.attest`.

    `services` is None until they are loaded; `reason` then says why, in words that may leave the server.
    """

    def __init__(self, settings: Settings, services: Services | None = None) -> None:
        self.settings = settings
        self.reason = "loading models"
        self._services: Services | None = None
        self._owns_services = services is None
        self._blocking = ThreadPoolExecutor(_CATALOG_THREADS, thread_name_prefix="attest-catalog")
        self.models = ModelExecutor(settings.model_threads, settings.server.model_queue, self._gauge_depth)
        self._background: Background | None = None
        if services is not None:
            self._services = services

    @property
    def services(self) -> Services:
        """Raises `Unavailable` with the reason while they are not there."""
        if self._services is None:
            raise Unavailable(f"the server is not ready: {self.reason}")
        return self._services

    @property
    def ready(self) -> bool:
        return self._services is not None

    @property
    def metrics(self) -> Metrics | None:
        return self._services.metrics if self._services is not None else None

    async def load(self, build: Callable[[Settings], Services]) -> None:
        """Builds the services off the event loop; a failure is kept as the reason that `/health/ready` gives."""
        if self._services is not None:
            return
        try:
            self._services = await asyncio.to_thread(build, self.settings)
        except AttestError as error:
            structlog.get_logger("api").error("loading_failed", error=error.message)
            self.reason = f"loading failed: {error.message}"
        except Exception:  # noqa: BLE001 - the loader's boundary: its death fails readiness
            structlog.get_logger("api").exception("loading_failed")
            self.reason = "loading failed: see the server's log"

    def wake_background(self) -> None:
        """There is a new job for the thread that does those which need the models."""
        if self._background is not None:
            self._background.wake()

    @property
    def background_died(self) -> bool:
        """Whether the thread that does the other jobs was started and is no more."""
        return self._background is not None and not self._background.alive

    def start_background(self) -> None:
        """Starts the jobs that run beside the requests, if the services could be loaded."""
        if self._services is not None:
            from app.api.chores import build_background  # here: it takes the wire models, which take this module

            background = build_background(self._services, through(self.models))
            background.start()
            self._background = background  # only now: one that has not begun is not one that has died

    async def blocking(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`call(*args, **kwargs)` on one of the few threads kept for SQLite and the disk."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._blocking, functools.partial(call, *args, **kwargs))

    def close(self) -> None:
        """Waits for running work, then closes the services that this state loaded itself."""
        if self._background is not None:
            self._background.stop()
        self.models.close()
        self._blocking.shutdown(wait=True, cancel_futures=True)
        if self._owns_services and self._services is not None:
            self._services.close()
            self._services = None

    def _gauge_depth(self, depth: int) -> None:
        if self._services is not None:
            self._services.metrics.model_queue.set(depth)


def _state(request: Request) -> ApiState:
    state = request.app.state.attest
    assert isinstance(state, ApiState)
    return state


def _services(request: Request) -> Services:
    return _state(request).services


def principal_of(request: Request) -> Principal:
    """The caller that the gate identified."""
    principal = request.scope.get("state", {}).get("principal", ANYONE)
    assert isinstance(principal, Principal)
    return principal


def _scoped(scope: Scope) -> Callable[[Request], Principal]:
    def need(request: Request) -> Principal:
        principal = principal_of(request)
        principal.need(scope)
        return principal

    return need


State = Annotated[ApiState, Depends(_state)]
if TYPE_CHECKING:
    Ready = Services
else:  # FastAPI reads this one; naming Services here would import torch before the process can answer
    Ready = Annotated[Any, Depends(_services)]
Reader = Annotated[Principal, Depends(_scoped("read"))]
Writer = Annotated[Principal, Depends(_scoped("write"))]
Admin = Annotated[Principal, Depends(_scoped("admin"))]
