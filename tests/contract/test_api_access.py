"""Keys, scopes, collections, rates, health, metrics and the OpenAPI document."""

import re

import pytest

from app.api.openai.error_shape import speaks_openai
from app.settings import LimitSettings
from tests.unit.api.harness import assert_problem, running

KEYS = "full,reader:read,writer:write,team:read+write:team,boss:admin"


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home", api_keys=KEYS) as running_api:
        running_api.client.headers["Authorization"] = "Bearer full"
        await running_api.client.post("/v1/collections", json={"name": "team"})
        yield running_api


def key(name):
    return {"headers": {"Authorization": f"Bearer {name}"}}


REQUESTS = {
    ("GET", "/v1/documents"): "read",
    ("GET", "/v1/documents/none"): "read",
    ("GET", "/v1/documents/none/text"): "read",
    ("GET", "/v1/documents/none/content"): "read",
    ("GET", "/v1/documents/none/chunks"): "read",
    ("GET", "/v1/documents/none/versions"): "read",
    ("POST", "/v1/documents"): "write",
    ("PUT", "/v1/documents/none"): "write",
    ("DELETE", "/v1/documents/none"): "write",
    ("GET", "/v1/jobs"): "read",
    ("GET", "/v1/jobs/none"): "read",
    ("GET", "/v1/jobs/none/events"): "read",
    ("DELETE", "/v1/jobs/none"): "write",
    ("GET", "/v1/collections"): "read",
    ("GET", "/v1/collections/default"): "read",
    ("POST", "/v1/collections"): "write",
    ("DELETE", "/v1/collections/none"): "write",
    ("POST", "/v1/ask"): "read",
    ("POST", "/v1/search"): "read",
    ("POST", "/v1/feedback"): "write",
    ("GET", "/metrics"): "admin",
    ("POST", "/v1/admin/backup"): "admin",
    ("POST", "/v1/evaluations"): "write",
    ("GET", "/v1/evaluations"): "read",
    ("GET", "/v1/evaluations/none"): "read",
    ("DELETE", "/v1/evaluations/none"): "write",
    ("POST", "/v1/rerankers/train"): "write",
    ("POST", "/v1/rerankers/rollback"): "write",
    ("POST", "/v1/rerankers/none/activate"): "write",
    ("GET", "/v1/rerankers"): "read",
    ("GET", "/v1/rerankers/ratings"): "read",
    ("POST", "/v1/calibrations/train"): "write",
    ("POST", "/v1/calibrations/rollback"): "write",
    ("POST", "/v1/calibrations/none/activate"): "write",
    ("GET", "/v1/calibrations"): "read",
    ("GET", "/v1/calibrations/ratings"): "read",
    ("POST", "/v1/chat/completions"): "read",
    ("POST", "/v1/responses"): "read",
    ("GET", "/v1/responses/none"): "read",
    ("DELETE", "/v1/responses/none"): "write",
    ("GET", "/v1/models"): "read",
    ("GET", "/v1/models/none"): "read",
    ("POST", "/v1/embeddings"): "read",
    ("POST", "/v1/rerank"): "read",
    ("POST", "/v1/files"): "write",
    ("GET", "/v1/files"): "read",
    ("GET", "/v1/files/none"): "read",
    ("GET", "/v1/files/none/content"): "read",
    ("DELETE", "/v1/files/none"): "write",
    ("POST", "/v1/vector_stores"): "write",
    ("GET", "/v1/vector_stores"): "read",
    ("GET", "/v1/vector_stores/none"): "read",
    ("POST", "/v1/vector_stores/none"): "write",
    ("DELETE", "/v1/vector_stores/none"): "write",
    ("POST", "/v1/vector_stores/none/search"): "read",
    ("POST", "/v1/vector_stores/none/files"): "write",
    ("GET", "/v1/vector_stores/none/files"): "read",
    ("GET", "/v1/vector_stores/none/files/none"): "read",
    ("GET", "/v1/vector_stores/none/files/none/content"): "read",
    ("DELETE", "/v1/vector_stores/none/files/none"): "write",
    ("POST", "/v1/vector_stores/none/file_batches"): "write",
    ("GET", "/v1/vector_stores/none/file_batches/none"): "read",
    ("POST", "/v1/vector_stores/none/file_batches/none/cancel"): "write",
    ("GET", "/v1/vector_stores/none/file_batches/none/files"): "read",
    ("POST", "/retrieval"): "read",
    ("POST", "/v1/query/translate"): "read",
    ("POST", "/v1/query/construct"): "read",
    ("POST", "/v1/query/route"): "read",
    ("GET", "/v1/routes"): "read",
    ("GET", "/v1/routes/none"): "read",
    ("PUT", "/v1/routes/none"): "admin",
    ("DELETE", "/v1/routes/none"): "admin",
}
BODIES = {
    "/v1/ask": {"question": "q"},
    "/v1/search": {"query": "q"},
    "/v1/feedback": {"answer_id": "none", "rating": 1},
    "/v1/evaluations": {"golden": [{"question": "q"}]},
    "/v1/rerankers/train": {"collection": "none"},
    "/v1/rerankers/rollback": {"collection": "none"},
    "/v1/calibrations/train": {"collection": "none"},
    "/v1/calibrations/rollback": {"collection": "none"},
    "/v1/collections": {"name": "new"},
    "/v1/documents": {"text": "t"},
    "/v1/documents/none": {"text": "t"},
    "/v1/chat/completions": {"model": "default", "messages": [{"role": "user", "content": "q"}]},
    "/v1/responses": {"model": "default", "input": "q"},
    "/v1/embeddings": {"model": "m", "input": "q"},
    "/v1/rerank": {"query": "q", "documents": ["d"]},
    "/v1/vector_stores": {"name": "store"},
    "/v1/vector_stores/none": {"name": "store"},
    "/v1/vector_stores/none/search": {"query": "q"},
    "/v1/vector_stores/none/files": {"file_id": "none"},
    "/v1/vector_stores/none/file_batches": {"file_ids": ["none"]},
    "/v1/vector_stores/none/file_batches/none/cancel": {},
    "/v1/query/translate": {"question": "q"},
    "/v1/query/construct": {"question": "q", "target": "metadata"},
    "/v1/query/route": {"question": "q"},
    "/v1/routes/none": {"description": "d"},
    "/retrieval": {"knowledge_id": "default", "query": "q", "retrieval_setting": {"top_k": 1}},
}


def assert_refused(response, status, problem_code, openai_code):
    """The detail of a refusal, in the shape of the address: a problem document, or OpenAI's error object."""
    if not speaks_openai(response.request.url.path):
        return assert_problem(response, status, problem_code)["detail"]
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["code"] == openai_code
    assert error["request_id"] == response.headers["x-request-id"]
    return error["message"]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_the_matrix_of_scopes(api, method, path):
    body = {"json": BODIES[path]} if path in BODIES and method in ("POST", "PUT") else {}
    if (method, path) == ("POST", "/v1/files"):
        body = {"files": {"file": ("a.txt", b"a")}}
    needed = REQUESTS[method, path]
    for name, scopes in {"reader": {"read"}, "writer": {"write"}, "boss": {"admin"}}.items():
        response = await api.client.request(method, path, **body, **key(name))
        if needed in scopes:
            assert response.status_code in (200, 201, 202, 404), (name, response.text)
        else:
            assert f"'{needed}'" in assert_refused(response, 403, "not_permitted", "not_permitted")
    for headers in (
        {"Authorization": ""},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "", "X-API-Key": "wrong"},
    ):
        refused = await api.client.request(method, path, **body, headers=headers)
        assert_refused(refused, 401, "not_authenticated", "invalid_api_key")
        assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_the_matrix_covers_every_route(api):
    schema = (await api.client.get("/openapi.json")).json()
    served = {
        (method.upper(), path)
        for path, methods in schema["paths"].items()
        for method in methods
        if "/health" not in path
    }
    covered = {(method, re.sub(r"/(none|default)(?=/|$)", "/{}", path)) for method, path in REQUESTS}
    assert {(method, re.sub(r"{\w+}", "{}", path)) for method, path in served} == covered


async def test_health_alone_needs_no_key(api):
    for path in ("/health/live", "/health/ready"):
        assert (await api.client.get(path, headers={"Authorization": ""})).status_code == 200
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/nope"):
        assert_problem(await api.client.get(path, headers={"Authorization": ""}), 401)
    assert (await api.client.get("/docs", headers={"Authorization": "", "X-API-Key": "reader"})).status_code == 200


async def test_a_key_sees_its_own_collections_only(api):
    secret = await api.add("The secret of default.", id="secret")
    own = await api.add("The words of the team.", id="own", collection="team")
    secret_job = (await api.client.get("/v1/jobs")).json()["data"][-1]["id"]
    team = key("team")
    assert [c["name"] for c in (await api.client.get("/v1/collections", **team)).json()["data"]] == ["team"]
    assert [d["id"] for d in (await api.client.get("/v1/documents", **team)).json()["data"]] == [own]
    assert {j["collection"] for j in (await api.client.get("/v1/jobs", **team)).json()["data"]} == {"team"}
    forbidden = [
        ("GET", "/v1/collections/default", None),
        ("DELETE", "/v1/collections/default", None),
        ("POST", "/v1/collections", {"name": "mine"}),
        ("GET", "/v1/documents?collection=default", None),
        ("GET", f"/v1/documents/{secret}", None),
        ("GET", f"/v1/documents/{secret}/text", None),
        ("GET", f"/v1/documents/{secret}/content", None),
        ("GET", f"/v1/documents/{secret}/chunks", None),
        ("GET", f"/v1/documents/{secret}/versions", None),
        ("PUT", f"/v1/documents/{secret}", {"text": "mine now"}),
        ("DELETE", f"/v1/documents/{secret}", None),
        ("POST", "/v1/documents", {"text": "planted"}),
        ("GET", f"/v1/jobs/{secret_job}", None),
        ("GET", f"/v1/jobs/{secret_job}/events", None),
        ("DELETE", f"/v1/jobs/{secret_job}", None),
        ("POST", "/v1/ask", {"question": "secret?"}),
        ("POST", "/v1/ask", {"question": "secret?", "collections": ["team", "default"], "stream": True}),
        ("POST", "/v1/search", {"query": "secret"}),
        ("POST", "/v1/evaluations", {"golden": [{"question": "secret?"}]}),
        ("GET", "/v1/evaluations?collection=default", None),
        ("POST", "/v1/rerankers/train", {"golden": [{"question": "secret?"}]}),
        ("POST", "/v1/rerankers/rollback", {}),
        ("GET", "/v1/rerankers?collection=default", None),
        ("GET", "/v1/rerankers/ratings?collection=default", None),
        ("POST", "/v1/calibrations/train", {}),
        ("POST", "/v1/calibrations/rollback", {}),
        ("GET", "/v1/calibrations?collection=default", None),
        ("GET", "/v1/calibrations/ratings?collection=default", None),
        ("POST", "/v1/admin/backup", None),
    ]
    for method, path, body in forbidden:
        response = await api.client.request(method, path, **({"json": body} if body else {}), **team)
        assert_problem(response, 403, "not_permitted")
        assert "secret of default" not in response.text
    hits = (await api.client.post("/v1/search", json={"query": "words secret", "collections": ["team"]}, **team)).json()
    assert {hit["document_id"] for hit in hits["hits"]} == {own}
    answer = (await api.client.post("/v1/ask", json={"question": "What is the secret?"})).json()
    rated = await api.client.post("/v1/feedback", json={"answer_id": answer["id"], "rating": 1}, **team)
    assert_problem(rated, 403)


async def test_too_many_requests_are_429_for_that_key_only(tmp_path):
    limits = LimitSettings(requests_per_minute=2)
    async with running(tmp_path / "home", api_keys="one,two", limits=limits) as api:
        for _ in range(2):
            assert (await api.client.get("/v1/collections", **key("one"))).status_code == 200
        refused = await api.client.get("/v1/collections", **key("one"))
        assert_problem(refused, 429, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await api.client.get("/v1/collections", **key("two"))).status_code == 200
        assert (await api.client.get("/health/ready")).status_code == 200


async def test_metrics_name_stages_queues_generations_and_errors(api):
    await api.add("The zebra fee is 30 euros.")
    await api.client.post("/v1/ask", json={"question": "What is the zebra fee?"})
    await api.client.post("/v1/documents", json={"text": "still queued"})
    await api.client.get("/v1/documents/none")
    response = await api.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    assert 'attest_stage_seconds_count{stage="generate"} 1.0' in lines
    assert 'attest_queue_depth{status="queued"} 1.0' in lines
    assert 'attest_generation{collection="default"} 1.0' in lines
    assert 'attest_documents{collection="default"} 1.0' in lines
    assert 'attest_errors_total{code="not_found"} 1.0' in lines
    assert 'attest_answers_total{outcome="answered"} 1.0' in lines
    assert "attest_model_queue 0.0" in lines
    assert any('route="/v1/documents/{document_id}",status="404"' in line for line in lines)
    assert "zebra" not in response.text


async def test_ready_tells_workers_and_queue(api):
    ready = (await api.client.get("/health/ready")).json()
    assert ready["status"] == "ready"
    assert ready["workers"] == 0
    assert ready["queue"]["queued"] == 0
    api.services.jobs.worker_seen("w1")
    assert (await api.client.get("/health/ready")).json()["workers"] == 1


async def test_unknown_routes_and_methods_are_problems(api):
    assert_problem(await api.client.get("/v2/ask"), 404, "not_found")
    assert_problem(await api.client.get("/v1/documents/"), 404)
    wrong = await api.client.request("PATCH", "/v1/ask", json={})
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_the_openapi_document_is_complete(api):
    schema = (await api.client.get("/openapi.json")).json()
    known = set(schema["components"]["schemas"])
    used = set(re.findall(r'#/components/schemas/([^"\']+)', str(schema)))
    assert used <= known
    assert "HTTPValidationError" not in str(schema)
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert operation["tags"], (method, path)
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    shape = "application/json" if speaks_openai(path) else "application/problem+json"
                    assert set(response["content"]) == {shape}, (method, path, status)
                elif path not in ("/metrics",):
                    assert response.get("content"), (method, path, status)
    bodies = schema["paths"]["/v1/documents"]["post"]["requestBody"]["content"]
    assert set(bodies) == {"application/json", "multipart/form-data"}
