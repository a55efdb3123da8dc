"""`generation.mode` of `POST /v1/ask` with the bundled reader and its calibration, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.bootstrap import build_services
from app.main import create_app
from app.settings import Settings
from ingestion.bootstrap import build_worker
from tests.fakes import FakeEncoder
from tests.unit.api.harness import BASE_URL, assert_problem

BRIDGE = "The Kestrel bridge was opened in 1931 by the engineer Maria Lindqvist. It is 412 metres long."
PLAQUE = "A plaque on the pier names Maria Lindqvist, the engineer who opened the Kestrel bridge."
BAKERY = "The bakery in Hollow Street sells rye bread. Its owner is Tomas Reyes."
QUESTION = "Who opened the Kestrel bridge?"
MODES = ("rag_sequence", "rag_token")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def client(home: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The whole service but for the embeddings, which are a bag of words."""
    settings, encoder = Settings(home=home), FakeEncoder()
    services = build_services(settings, encoder=encoder)
    app = create_app(settings, services)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client,
        ):
            if not (await client.get("/v1/documents")).json()["data"]:
                for text in (BAKERY, BRIDGE, PLAQUE):
                    assert (await client.post("/v1/documents", json={"text": text})).status_code == 202
                with build_worker(settings, encoder=encoder) as worker:
                    while worker.run_once():
                        pass
            yield client
    finally:
        services.close()


@pytest.mark.parametrize("mode", MODES)
async def test_an_answer_says_which_passage_it_comes_from(client: httpx.AsyncClient, mode: str) -> None:
    body = {"question": QUESTION, "generation": {"mode": mode}, "abstain": "never"}
    response = await client.post("/v1/ask", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["short_answer"] == "Maria Lindqvist"
    assert answer["abstained"] is False
    assert answer["confidence_kind"] == "calibrated"
    assert 0 < answer["confidence"] < 1
    assert answer["warnings"] == []
    posterior = answer["document_posterior"]
    assert all(set(each) == {"document_id", "chunk_id", "probability"} for each in posterior)
    assert sum(each["probability"] for each in posterior) == pytest.approx(1.0)
    likeliest = max(posterior, key=lambda each: each["probability"])
    assert len(answer["citations"]) == 1
    citation = answer["citations"][0]
    assert citation["chunk_id"] == likeliest["chunk_id"]
    assert citation["score"] == pytest.approx(likeliest["probability"])
    assert "Maria Lindqvist" in citation["quote"]
    text = (await client.get(f"/v1/documents/{citation['document_id']}/text")).content.decode()
    assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]
    documents = (await client.get("/v1/documents")).json()["data"]
    bakery = next(document["id"] for document in documents if document["chars"] == len(BAKERY))
    assert [each["probability"] for each in posterior if each["document_id"] == bakery] == [0.0]


async def test_fusion_has_no_posterior_and_a_refusal_neither(client: httpx.AsyncClient) -> None:
    fused = (await client.post("/v1/ask", json={"question": QUESTION, "abstain": "never"})).json()
    assert fused["short_answer"] == "Maria Lindqvist"
    assert "document_posterior" not in fused
    body = {"question": "Which king signed the treaty of Vardo?", "generation": {"mode": "rag_token"}}
    refused = (await client.post("/v1/ask", json=body)).json()
    assert refused["abstained"] is True
    assert refused["confidence"] < refused["threshold"]
    assert refused["citations"] == []
    assert "document_posterior" not in refused


@pytest.mark.parametrize("mode", MODES)
async def test_the_stream_ends_with_the_posterior(client: httpx.AsyncClient, mode: str) -> None:
    body = {"question": QUESTION, "generation": {"mode": mode, "num_beams": 8}, "abstain": "never", "stream": True}
    response = await client.post("/v1/ask", json=body)
    done = response.text.split("event: done")[1]
    assert '"document_posterior":[{"document_id":' in done.replace(": ", ":")


async def test_what_cannot_marginalize_says_so(client: httpx.AsyncClient) -> None:
    body = {"question": "Кто построил этот мост?", "generation": {"mode": "rag_token"}, "abstain": "never"}
    answer = (await client.post("/v1/ask", json=body)).json()
    assert any("mode rag_token was not used" in warning for warning in answer["warnings"])
    assert_problem(await client.post("/v1/ask", json={"question": QUESTION, "generation": {"mode": "rag_both"}}), 422)
