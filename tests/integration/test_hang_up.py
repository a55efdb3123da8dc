"""A client that hangs up in mid-stream, over the real generators: the bundled reader and a local decoder."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from app.bootstrap import Services, build_services
from app.errors import Cancelled
from app.generation.local import LocalChat
from app.generation.reader import load_reader
from app.main import create_app
from app.protocols import Generator
from app.settings import GenerationSettings, LocalSettings, RerankSettings, Settings
from app.transformer.engine.engine import Engine
from app.types import Generated, GenerationOptions, Prompt
from ingestion.bootstrap import build_worker
from tests.e2e.test_api import ASKED, TIMEOUT_S, wait_until
from tests.fakes import FakeEncoder
from tests.tiny_llama import save_tiny_llama

TEXT = "Vorwort.\n\nThe zebra fee is 30 euros. Nothing else costs anything."


@contextlib.contextmanager
def serving(settings: Settings, services: Services) -> Iterator[tuple[str, Callable[[], int]]]:
    """(address, depth of the model queue) of a server over one document."""
    app = create_app(settings, services)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        wait_until(lambda: server.started)
        httpx.post(f"{url}/v1/documents", json={"text": TEXT}, timeout=TIMEOUT_S).raise_for_status()
        with build_worker(settings, encoder=FakeEncoder()) as worker:
            while worker.run_once():
                pass
        yield url, lambda: app.state.attest.models.depth
    finally:
        server.should_exit = True
        thread.join(TIMEOUT_S)
        services.close()
    assert not thread.is_alive()


def begin(url: str, path: str, **more: Any) -> contextlib.AbstractContextManager[httpx.Response]:
    """A streamed question; leaving the context hangs up."""
    return httpx.stream("POST", url + path, json=ASKED[path] | more | {"stream": True}, timeout=TIMEOUT_S)


class AskedByTheReader:
    """The bundled reader, held at the moment that it asks whether to go on, until the answer is no."""

    def __init__(self, reader: Generator) -> None:
        self._reader = reader
        self.name = reader.name
        self.held = True
        self.began = threading.Event()
        self.stopped = threading.Event()

    def generate(
        self, prompt: Prompt, options: GenerationOptions, cancelled: Callable[[], bool] = lambda: False
    ) -> Generated:
        def asked() -> bool:
            if self.held:
                self.began.set()
                wait_until(cancelled)
            return cancelled()

        try:
            return self._reader.generate(prompt, options, asked)
        except Cancelled:
            self.stopped.set()
            raise


def test_the_bundled_reader_stops_between_two_steps(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", rerank=RerankSettings(enabled=False))
    reader = AskedByTheReader(load_reader())
    services = build_services(settings, encoder=FakeEncoder(), generator=reader)
    with serving(settings, services) as (url, depth):
        for path in ASKED:
            with begin(url, path):
                assert reader.began.wait(TIMEOUT_S), path
            assert reader.stopped.wait(TIMEOUT_S), path
            wait_until(lambda: depth() == 0)
            reader.began.clear()
            reader.stopped.clear()
        reader.held = False
        answer = httpx.post(f"{url}/v1/ask", json=ASKED["/v1/ask"] | {"abstain": "never"}, timeout=TIMEOUT_S).json()
    assert "30 euros" in answer["answer"]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines that are made while the test runs."""
    made: list[Engine] = []
    init = LocalChat.__init__

    def noting(self: LocalChat, model: Any, engine: Engine) -> None:
        made.append(engine)
        init(self, model, engine)

    monkeypatch.setattr(LocalChat, "__init__", noting)
    return made


def test_a_local_decoder_drops_the_request_and_its_memory(tmp_path: Path, engine: list[Engine]) -> None:
    save_tiny_llama(tmp_path / "tiny")
    local = LocalSettings(dtype="fp32", context_tokens=2_048, cache_bytes=2**23)
    generation = GenerationSettings(model=f"local:{tmp_path / 'tiny'}", on_failure="fail", local=local)
    settings = Settings(home=tmp_path / "home", generation=generation, rerank=RerankSettings(enabled=False))
    services = build_services(settings, encoder=FakeEncoder())
    (running,) = engine
    longest = {
        "/v1/ask": {"generation": {"max_tokens": 1_500}},
        "/v1/chat/completions": {"max_tokens": 1_500},
        "/v1/responses": {"max_output_tokens": 1_500},
    }
    with serving(settings, services) as (url, depth):
        for number, path in enumerate(ASKED, start=1):
            before = running.statistics().generated_tokens
            with begin(url, path, **longest[path]):
                wait_until(lambda before=before: running.statistics().generated_tokens > before)
            wait_until(lambda number=number: running.statistics().cancelled == number)
            wait_until(lambda: depth() == 0 and running.statistics().running == 0)
            written = running.statistics()
            assert written.generated_tokens - before < 1_500, path
            assert (written.waiting, written.memory_tokens_used) == (0, 0), path
