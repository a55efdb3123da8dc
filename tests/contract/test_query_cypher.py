"""`target: "cypher"` of `POST /v1/query/construct`, and questions that are routed to a collection's graph."""

import importlib.util

import pytest

from ingestion.graph import GraphBuilder
from tests.unit.api.harness import assert_problem, running

URL = "/v1/query/construct"
SCHEMA = {
    "nodes": [{"label": "Person", "properties": {"name": "string"}}, {"label": "Movie", "properties": ["title"]}],
    "relationships": [{"type": "DIRECTED", "start": "Person", "end": "Movie"}],
}
needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("ladybug") is None, reason="the graph engine is an optional package"
)


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


async def with_graph(api):
    api.services.catalog.update_collection("default", {"graph.enabled": True})
    await api.add("Paris is the capital of France. Acme was founded by Ada Byron.", id="a", title="Facts")
    record = api.services.catalog.get_collection("default")
    assert GraphBuilder(api.services.catalog, api.services.index).build(record)


async def test_cypher_of_a_given_schema(api):
    body = {"question": "Who directed the movie 'Heat'?", "target": "cypher", "schema": SCHEMA}
    found = (await api.client.post(URL, json=body)).json()
    assert found["target"] == "cypher"
    assert found["statement"] == "MATCH (p:Person)-[:DIRECTED]->(m:Movie) WHERE m.title = $p1 RETURN p LIMIT 100"
    assert found["parameters"] == {"p1": "Heat"}
    assert found["how"] == "rules"
    nothing = (await api.client.post(URL, json={**body, "question": "Why?"})).json()
    assert nothing["statement"] is None
    assert "labels: Person, Movie" in nothing["explanation"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"schema": {"nodes": []}}, "schema.nodes"),
        ({"schema": {"tables": []}}, "schema has no nodes"),
        ({"schema": SCHEMA, "execute": True}, "a schema has no rows"),
    ],
)
async def test_schemas_that_do_not_hold_are_refused(api, body, told):
    problem = assert_problem(await api.client.post(URL, json={"question": "q", "target": "cypher", **body}), 422)
    assert told in problem["detail"]


async def test_a_collection_without_a_graph_says_how_it_gets_one(api):
    problem = assert_problem(await api.client.post(URL, json={"question": "q", "target": "cypher"}), 503)
    assert "graph.enabled" in problem["detail"] or "attest-rag[graph]" in problem["detail"]


@needs_engine
async def test_the_collections_own_graph_is_asked_and_cited(api):
    await with_graph(api)
    body = {"question": "What is the capital of France?", "target": "cypher"}
    built = (await api.client.post(URL, json=body)).json()
    assert "RELATION" in built["statement"]
    assert built["parameters"] == {"p1": "france", "p2": "capital of"}
    assert "rows" not in built
    found = (await api.client.post(URL, json={**body, "execute": True})).json()
    assert found["answer"] == "Paris [1]"
    assert found["columns"][0] == "answer"
    assert found["rows"][0][0] == "Paris"
    assert found["citations"][0]["quote"] == "Paris is the capital of France."
    assert found["citations"][0]["document_id"] == "a"


@needs_engine
async def test_a_question_routed_to_the_graph_is_answered_from_it_or_from_the_text(api):
    await with_graph(api)
    added = await api.client.put("/v1/routes/facts", json={"kind": "graph", "description": "who and what"})
    assert added.status_code in (200, 201), added.text
    found = (await api.client.post("/v1/ask", json={"question": "Who founded Acme?", "route": "facts"})).json()
    assert found["short_answer"] == "Ada Byron"
    assert found["citations"][0]["quote"] == "Acme was founded by Ada Byron."
    other = (await api.client.post("/v1/ask", json={"question": "How large is Acme?", "route": "facts"})).json()
    assert any("documents were searched instead" in warning for warning in other["warnings"])


@needs_engine
async def test_after_deletion_the_graph_holds_nothing_and_is_not_asked(api):
    await with_graph(api)
    deleted = (await api.client.delete("/v1/documents/a")).json()
    assert deleted["residual"] == {"vectors": 0, "postings": 0, "chunks": 0, "derived": 0}
    folder = api.services.index.collection(api.services.catalog.get_collection("default").id).layout.root / "graph"
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["lock"]
    body = {"question": "What is the capital of France?", "target": "cypher", "execute": True}
    assert_problem(await api.client.post(URL, json=body), 503)
