"""A whole API over a temporary home: real services, fake models, and a worker that is stepped by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from structlog.testing import capture_logs

from app.bootstrap import Services
from app.bootstrap.targets import build_routing, open_graphs, open_tables
from app.generation.collection_calibration import CollectionCalibrations
from app.index.blobs import BlobStore
from app.index.calibrations import CalibrationStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.main import create_app
from app.pipeline import Pipeline
from app.protocols import Generator
from app.query.auto_filter import FilterReader
from app.retrieval.hybrid import HybridRetriever
from app.settings import Settings
from app.stages import Stages
from app.telemetry import Metrics
from app.types import Generated
from ingestion.bootstrap import build_worker
from ingestion.worker import Worker
from tests.fakes import FakeEncoder, FakeGenerator

BASE_URL = "http://127.0.0.1:8000"


@dataclass
class Api:
    """What a test talks to: `client` over HTTP, `work()` for the worker's part, the rest to look behind."""

    client: httpx.AsyncClient
    services: Services
    worker: Worker
    encoder: FakeEncoder
    generator: FakeGenerator
    logs: list[Any]

    async def work(self) -> None:
        """Runs the worker until nothing is queued."""
        while await asyncio.to_thread(self.worker.run_once):
            pass

    async def add(self, text: str, **fields: Any) -> str:
        """The id of a document that has been published."""
        response = await self.client.post("/v1/documents", json={"text": text, **fields})
        assert response.status_code == 202, response.text
        await self.work()
        document_id = response.json()["documents"][0]["id"]
        stored = (await self.client.get(f"/v1/documents/{document_id}")).json()
        assert stored["status"] == "ready", stored
        return str(document_id)

    async def text(self, document_id: str) -> str:
        """The extracted text, decoded as the contract says."""
        response = await self.client.get(f"/v1/documents/{document_id}/text")
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        return response.content.decode("utf-8")

    async def events(self, method: str, url: str, **request: Any) -> list[tuple[str, Any]]:
        """Every server-sent event of a stream that ends by itself."""
        response = await self.client.request(method, url, **request)
        assert response.status_code == 200, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        return parse_events(response.text)


def confidence_of(generated: Generated) -> tuple[float, float]:
    """(share of the question's words in the sentence, .5): a calibration that a test can reckon by hand."""
    styled = generated.evidence.style_probability
    return (generated.evidence.question_coverage or 0.0) if styled is None else styled, 0.5


def wired(settings: Settings, encoder: FakeEncoder, generator: Generator) -> Services:
    """Everything that the API needs, real but for the models; no reranker, so that ranks are plain RRF."""
    catalog = Catalog.open(settings.database_url)
    blobs = BlobStore(settings.home / "blobs")
    index = IndexStore(settings.home / "index", encoder_name=encoder.name, embed_dim=encoder.embed_dim)
    retriever = HybridRetriever(catalog, index, encoder)
    tables = open_tables(settings, catalog, blobs)
    routing = build_routing(settings, catalog, tables, encoder, None, open_graphs(settings, catalog, index))
    stages = Stages(
        texts=catalog,
        retriever=retriever,
        ranker=None,
        encoder=encoder,
        calibrate=confidence_of,
        budget_tokens=settings.context.budget_tokens,
        filter_reader=FilterReader(catalog.metadata_fields, enabled=settings.query.auto_filters),
        style=settings.generation.style,
        own=CollectionCalibrations(CalibrationStore(catalog).correction, "harness"),
    )
    pipeline = Pipeline(stages, generator=generator, models={"bundled": generator}, desk=routing.desk)
    return Services(
        settings=settings,
        catalog=catalog,
        jobs=JobQueue(catalog),
        blobs=blobs,
        index=index,
        encoder=encoder,
        retriever=retriever,
        ranker=None,
        generator=generator,
        pipeline=pipeline,
        metrics=Metrics(),
        tables=tables,
        routing=routing,
        graphs=open_graphs(settings, catalog, index),
    )


def parse_events(raw: str) -> list[tuple[str, Any]]:
    """(name, JSON body) of each event; comments are left out."""
    events = []
    for block in raw.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            assert set(fields) == {"event", "data"}, block
            events.append((fields["event"], json.loads(fields["data"])))
    return events


def assert_problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem document of a response that must be one."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert code is None or problem["code"] == code
    return problem


@asynccontextmanager
async def running(
    home: Path, *, wrapped: Callable[[FakeGenerator], Generator] = lambda plain: plain, **changed: Any
) -> AsyncIterator[Api]:
    """An API without a network; `changed` are settings, `wrapped` makes the service's generator of the fake one."""
    settings = Settings(home=home, **changed)
    encoder, generator = FakeEncoder(), FakeGenerator()
    services = wired(settings, encoder, wrapped(generator))
    app = create_app(settings, services)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    try:
        with capture_logs() as logs, build_worker(settings, encoder=encoder) as worker:
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client,
            ):
                yield Api(client, services, worker, encoder, generator, logs)
    finally:
        services.close()
