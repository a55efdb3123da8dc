"""`attest serve` and `attest worker`: the API in this process, the worker in a child; both end together."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.worker_process import WorkerProcess
from app.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from app.settings import Settings

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Where everything that must survive lives (ATTEST_HOME, else ~/.attest).")
]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port (default 8000; 0 picks a free one).")] = None,
    home: HomeOption = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only the API; run `attest worker` elsewhere.")
    ] = False,
) -> None:
    """Run the API and one ingestion worker until Ctrl-C."""
    from app.cli.home import find_server, prepare

    settings = prepare(home, serving=True)
    overrides = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if overrides:
        checked = type(settings.server).model_validate(settings.server.model_dump() | overrides)
        settings = settings.model_copy(update={"server": checked})
    running = find_server(settings.home)
    if running is not None:
        raise Unavailable(f"a server already runs on {settings.home}: {running}; stop it, or give another --home")
    raise typer.Exit(_serve(settings, with_worker=not no_worker))


def worker(home: HomeOption = None) -> None:
    """Run an ingestion worker until Ctrl-C; several may run on one home."""
    from app.cli.home import prepare
    from ingestion.__main__ import run

    raise typer.Exit(run(prepare(home, serving=True)))


def _serve(settings: Settings, *, with_worker: bool) -> int:
    from app.cli.home import recorded
    from app.main import check_bind

    check_bind(settings)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # a plain end either way: KeyboardInterrupt
    listener = listen(settings.server.host, settings.server.port)
    command = [sys.executable, "-m", "ingestion", "--home", str(settings.home), "--until-stdin-closes"]
    child = WorkerProcess(command) if with_worker else None
    try:
        with recorded(settings.home, address(listener)):
            return _run(settings, listener, child)
    except KeyboardInterrupt:  # uvicorn hands the signal on once it has shut down
        return 0
    finally:
        listener.close()
        if child is not None:
            child.stop()


def _run(settings: Settings, listener: socket.socket, child: WorkerProcess | None) -> int:
    import uvicorn

    from app.main import create_app

    app = create_app(settings)
    state = app.state.attest
    failure: list[str] = []

    class Announced(uvicorn.Server):
        """Once it can answer, starts the worker and says where it is; ends when the models can not be loaded."""

        announcing: asyncio.Task[None] | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            self.announcing = asyncio.create_task(self.announce())

        async def announce(self) -> None:
            while not (state.ready or self.should_exit):
                if state.reason.startswith("loading failed"):
                    failure.append(f"the API can not start: {state.reason}")
                    self.should_exit = True
                await asyncio.sleep(0.02)
            if state.ready:
                if child is not None:  # not before: two processes that import torch at once are both late
                    child.start(on_dead=give_up)
                where = f"{address(listener)} (documents in {settings.home}; Ctrl-C stops it)"
                print(f"Attest answers at {where}", flush=True)

    server = Announced(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))

    def give_up() -> None:
        server.should_exit = True

    server.run(sockets=[listener])
    if child is not None and child.death is not None:
        failure.append(child.death)
    if not server.started:
        failure.append("the API did not start; its reason stands above")
    if failure:
        raise Unavailable("; ".join(failure))
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, before any model is loaded.

    Raises:
        InvalidInput: the address is none of this machine's.
        Unavailable: the port is taken or not permitted.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise InvalidInput(f"--host {host!r} is no address of this machine: {error.strerror}") from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(where)
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"can not listen on {host} port {port}: {error.strerror}; "
            "stop what uses it, or give another with --port (0 picks a free one)"
        ) from None
    return bound


def address(listener: socket.socket) -> str:
    """The URL under which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
