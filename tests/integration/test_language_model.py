"""The service over a language model behind HTTP: settings to answer, with a server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.bootstrap import Services, build_services
from app.cli.doctor import Finding, examine_language_model
from app.errors import Cancelled, Unavailable
from app.index.records import NewDocument
from app.main import create_app
from app.settings import Settings, load_settings
from app.telemetry import Trace
from app.types import AskRequest, GenerationOptions
from ingestion.bootstrap import build_worker
from tests.fakes import FakeEncoder
from tests.integration.openai_server import PATIENCE_S, OpenAiServer, openai_server
from tests.tiny_llama import save_tiny_llama

DOCUMENT = "The Kestrel Bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee.\n\nDogs are not allowed on it."
QUESTION = "When did the Kestrel Bridge open?"
KEY = "sk-very-secret-0123456789"


@contextmanager
def service(home: Path, server: OpenAiServer, **generation: Any) -> Iterator[Services]:
    """Services whose model is behind `server`, over one document."""
    remote = {"base_url": server.url, "api_key": KEY, "attempts": 1} | generation.pop("remote", {})
    settings = load_settings(
        {},
        home=home,
        rerank={"enabled": False},
        generation={"model": "remote:tiny", "generator": "sentences", "remote": remote, **generation},
    )
    services = build_services(settings, encoder=FakeEncoder())
    try:
        _publish(settings, services)
        yield services
    finally:
        services.close()


def _publish(settings: Settings, services: Services) -> None:
    sha256, size = services.blobs.put(DOCUMENT.encode(), 10_000)
    document = NewDocument(sha256, size, "text/plain", None, "Bridges", None, {})
    services.catalog.submit("default", [document])
    with build_worker(settings, encoder=FakeEncoder()) as worker:
        while worker.run_once():
            pass


def test_a_setting_is_enough_to_have_a_server_answer_with_verified_citations(tmp_path: Path) -> None:
    with (
        openai_server(says="The Kestrel Bridge opened in 1932 [1]. It was free [1].") as server,
        service(tmp_path, server) as services,
    ):
        tokens: list[str] = []
        answer = services.pipeline.answer(
            AskRequest(QUESTION), Trace(), lambda name, data: tokens.append(data["text"]) if name == "token" else None
        )
    assert answer.answer == "The Kestrel Bridge opened in 1932 [1]. It was free." == "".join(tokens)
    assert len(tokens) > 2
    (citation,) = answer.citations
    assert citation.quote == "The Kestrel Bridge opened in 1932." == DOCUMENT[citation.char_start : citation.char_end]
    assert answer.model == "remote:tiny"
    assert server.keys == [f"Bearer {KEY}"]
    (sent,) = server.requests
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert QUESTION in sent["messages"][1]["content"]
    stage = next(stage for stage in answer.trace if stage.stage == "generate")
    assert stage.detail["markers_dropped"][0]["claim"] == "It was free"


async def test_over_http_the_answer_says_what_its_confidence_means(tmp_path: Path) -> None:
    with openai_server(says="It opened in 1932 [1].") as server, service(tmp_path, server) as services:
        transport = httpx.ASGITransport(app=create_app(services.settings, services))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            body = (await client.post("/v1/ask", json={"question": QUESTION})).json()
            server.status = 500
            rescued = (await client.post("/v1/ask", json={"question": QUESTION})).json()
    assert (body["answer"], body["confidence_kind"], body["warnings"]) == ("It opened in 1932 [1].", "support", [])
    assert body["confidence"] >= body["threshold"]
    assert rescued["model"] == "sentences"
    assert rescued["confidence_kind"] == "calibrated"
    (warning,) = rescued["warnings"]
    assert "HTTP 500, out_of_order" in warning
    assert server.url not in str(rescued)
    assert KEY not in str(rescued)


def test_without_a_fallback_a_failing_server_is_a_clear_error_and_then_left_alone(tmp_path: Path) -> None:
    breaker = {"breaker_failures": 2, "breaker_open_s": 3600.0}
    with openai_server(status=503) as server, service(tmp_path, server, on_failure="fail", remote=breaker) as services:
        for message in ("HTTP 503", "HTTP 503", "left alone"):
            with pytest.raises(Unavailable, match=message):
                services.pipeline.answer(AskRequest(QUESTION), Trace())
        assert len(server.requests) == 2


def test_a_reader_who_goes_away_closes_the_servers_connection(tmp_path: Path) -> None:
    with openai_server(says="The bridge opened", hangs=True) as server, service(tmp_path, server) as services:
        trace, outcome = Trace(), []

        def ask() -> None:
            try:
                services.pipeline.answer(AskRequest(QUESTION), trace)
            except Cancelled as error:
                outcome.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        pause = threading.Event()
        for _ in range(PATIENCE_S * 100):
            if server.requests:
                break
            pause.wait(0.01)
        trace.cancel()
        asking.join(PATIENCE_S)
        assert not asking.is_alive()
        assert len(outcome) == 1
        assert server.client_gone.wait(PATIENCE_S)


def test_questions_wait_for_a_server_side_by_side(tmp_path: Path) -> None:
    with openai_server(says="It opened in 1932 [1].") as server, service(tmp_path, server) as services:
        assert services.settings.model_threads == 16
        answers: list[str] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(services.pipeline.answer(AskRequest(QUESTION), Trace()).answer)
            )
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert answers == ["It opened in 1932 [1]."] * 6


def test_a_model_folder_answers_with_one_setting(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "models" / "tiny-llama"
    save_tiny_llama(folder)
    local = {"dtype": "fp32", "context_tokens": 1024, "cache_bytes": 2**23, "max_batch": 2}
    settings = load_settings(
        {},
        home=tmp_path / "home",
        rerank={"enabled": False},
        generation={"model": "local:tiny-llama", "generator": "sentences", "local": local},
    )
    services = build_services(settings, encoder=FakeEncoder())
    try:
        _publish(settings, services)
        options = GenerationOptions(max_tokens=12)
        honest = services.pipeline.answer(AskRequest(QUESTION, generation=options), Trace())
        free = services.pipeline.answer(AskRequest(QUESTION, generation=options, abstain="never"), Trace())
    finally:
        services.close()
    assert honest.model == free.model == "local:tiny-llama"
    assert honest.abstained, "random weights prove nothing"
    assert honest.answer == "The documents don't say."
    assert (free.abstained, free.citations, free.completion_tokens) == (False, (), 12)
    assert free.answer
    assert free.prompt_tokens > 100


def test_a_model_that_is_not_there_fails_the_start_with_the_remedy(tmp_path: Path) -> None:
    settings = load_settings(
        {}, home=tmp_path / "home", generation={"model": "local:nobody/nothing", "generator": "sentences"}
    )
    with pytest.raises(Unavailable, match="ATTEST_GENERATION__LOCAL__DOWNLOAD"):
        build_services(settings, encoder=FakeEncoder())


def test_doctor_looks_at_the_model_and_says_the_remedy(tmp_path: Path) -> None:
    def finding(model: str, **remote: Any) -> Finding:
        settings = load_settings({}, home=tmp_path / "home", generation={"model": model, "remote": remote})
        return examine_language_model(settings)

    with openai_server() as server:
        assert finding("remote:tiny", base_url=server.url).verdict == "ok"
        unlisted = finding("remote:other", base_url=server.url)
        assert (unlisted.verdict, "it lists tiny" in unlisted.remedy) == ("note", True)
        server.status = 401
        refused = finding("remote:tiny", base_url=server.url, api_key=KEY)
        assert (refused.verdict, "API_KEY" in refused.remedy) == ("problem", True)
        assert KEY not in str(refused)
        url = server.url
    gone = finding("remote:tiny", base_url=url)
    assert (gone.verdict, "does not answer" in gone.detail) == ("problem", True)

    folder = tmp_path / "home" / "models" / "tiny-llama"
    save_tiny_llama(folder)
    assert finding("local:tiny-llama").verdict == "ok"
    (folder / "config.json").write_text('{"model_type": "quantum-llm"}')
    broken = finding("local:tiny-llama")
    assert (broken.verdict, "quantum-llm" in broken.detail) == ("problem", True)
