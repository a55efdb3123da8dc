"""Whatever is sent, the server answers with what the contract allows: never a 5xx, always a problem document."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.api.harness import assert_problem, running

NASTY = [
    "",
    "\x00",
    "\ud800",
    "😀" * 10,
    "\u202e",
    "' OR 1=1 --",
    "../../x",
    "default",
    "auto",
    "null",
    '"',
    "*",
    "AND (",
    "a:b",
]
ODD_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=20) | st.sampled_from(NASTY)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 2**31, 2**63, -(2**63), 10**30, 10**400])
SCALARS = st.none() | st.booleans() | NUMBERS | ODD_TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3), max_leaves=6
)
OPERATORS = st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "exists"])
FIELDS = ODD_TEXT | st.sampled_from(["year", "title", "created_at", "any", "all", "not"])
FILTERS = st.dictionaries(
    FIELDS, st.dictionaries(OPERATORS, SCALARS | st.lists(SCALARS), max_size=2) | JSON, max_size=2
)
SHARED = {
    "collections": st.lists(ODD_TEXT, max_size=2),
    "filters": FILTERS,
    "as_of": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    "translate": st.just("auto") | st.lists(st.sampled_from(["multi_query", "hyde"])),
    "retrieval": st.fixed_dictionaries({}, optional={"dense": st.booleans(), "top_k": NUMBERS, "rrf_k": NUMBERS}),
    "rerank": st.booleans(),
    "trace": st.booleans(),
}
ASK = SHARED | {
    "question": ODD_TEXT,
    "history": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": ODD_TEXT}), max_size=2),
    "route": ODD_TEXT,
    "context_chunks": st.integers(-1, 60),
    "abstain": NUMBERS | st.just("never"),
    "stream": st.booleans(),
    "generation": st.fixed_dictionaries({}, optional={"temperature": NUMBERS, "top_p": NUMBERS, "seed": NUMBERS}),
}
SEARCH = SHARED | {"query": ODD_TEXT, "top_k": NUMBERS}
DOCUMENT = {
    "text": ODD_TEXT,
    "title": ODD_TEXT,
    "media_type": ODD_TEXT | st.sampled_from(["text/html", "text/markdown", "application/pdf", "application/json"]),
    "collection": ODD_TEXT,
    "metadata": st.dictionaries(ODD_TEXT, SCALARS | st.lists(SCALARS), max_size=3),
    "source_url": ODD_TEXT,
    "id": ODD_TEXT,
    "documents": JSON,
}
COLLECTION = {"name": ODD_TEXT, "description": ODD_TEXT, "settings": JSON}
FEEDBACK = {"answer_id": ODD_TEXT, "rating": NUMBERS, "chunk_id": ODD_TEXT, "comment": ODD_TEXT}


def bodies(valid, fields):
    """A valid body with one or two fields made odd (or of any type, or unknown), so that most get far; or anything."""
    odd = st.sampled_from(sorted(fields)).flatmap(lambda name: st.tuples(st.just(name), fields[name]))
    any_type = st.tuples(st.sampled_from([*sorted(fields), "unknown"]), JSON)
    changes = st.lists(odd, min_size=1, max_size=2) | st.lists(any_type, min_size=1, max_size=1)
    return changes.map(lambda pairs: valid | dict(pairs)) | JSON


FUZZED = [
    ("POST", "/v1/ask", bodies({"question": "What is the zebra fee?"}, ASK)),
    ("POST", "/v1/search", bodies({"query": "zebra fee"}, SEARCH)),
    ("POST", "/v1/documents", bodies({"text": "Words."}, DOCUMENT)),
    ("PUT", "/v1/documents/known", bodies({"text": "Words."}, DOCUMENT)),
    ("POST", "/v1/collections", bodies({"name": "fuzzed"}, COLLECTION)),
    ("POST", "/v1/feedback", bodies({"answer_id": "ans_none", "rating": 1}, FEEDBACK)),
]


@pytest.fixture
def runner():
    """One event loop for all examples: a server is built once, not for each of them."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def api(runner, tmp_path):
    context = running(tmp_path / "home")
    entered = runner.run(context.__aenter__())
    runner.run(entered.add("The zebra fee is 30 euros.", id="known", metadata={"year": 2024}))
    yield entered
    runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize(("method", "path", "body"), FUZZED, ids=[path for _, path, _ in FUZZED])
def test_no_body_breaks_the_server(api, runner, method, path, body):
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(body)
    def check(value):
        sent = api.client.request(
            method, path, content=json.dumps(value).encode(), headers={"content-type": "application/json"}
        )
        response = runner.run(sent)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert_problem(response, response.status_code)
        elif response.headers["content-type"].startswith("text/event-stream"):
            assert "event: done" in response.text, response.text

    check()
    assert [line for line in api.logs if line["log_level"] == "error"] == []


CHAT = {
    "model": ODD_TEXT,
    "messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": ODD_TEXT | JSON}), max_size=2),
    "stream": st.booleans(),
    "stream_options": JSON,
    "temperature": NUMBERS,
    "top_p": NUMBERS,
    "seed": NUMBERS,
    "max_tokens": NUMBERS,
}
RESPONSE = {
    "model": ODD_TEXT,
    "input": ODD_TEXT | JSON,
    "tools": st.lists(st.fixed_dictionaries({"type": st.just("file_search")}, optional={"filters": JSON}), max_size=1),
    "previous_response_id": ODD_TEXT,
    "include": st.lists(ODD_TEXT, max_size=2),
    "metadata": JSON,
    "stream": st.booleans(),
    "max_output_tokens": NUMBERS,
}
QUESTION = "What is the zebra fee?"
OPENAI_FUZZED = [
    ("chat/completions", bodies({"model": "default", "messages": [{"role": "user", "content": QUESTION}]}, CHAT)),
    ("responses", bodies({"model": "default", "input": QUESTION}, RESPONSE)),
    ("embeddings", bodies({"model": "m", "input": "x"}, {"input": ODD_TEXT | JSON, "dimensions": NUMBERS})),
    ("rerank", bodies({"query": "x", "documents": ["y"]}, {"documents": JSON, "query": ODD_TEXT, "top_n": NUMBERS})),
]


@pytest.mark.parametrize(("path", "body"), OPENAI_FUZZED, ids=[path for path, _ in OPENAI_FUZZED])
def test_no_body_of_a_front_end_breaks_the_server(api, runner, path, body):
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(body)
    def check(value):
        sent = api.client.post(
            f"/v1/{path}", content=json.dumps(value).encode(), headers={"content-type": "application/json"}
        )
        response = runner.run(sent)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            assert set(response.json()["error"]) >= {"message", "type", "param", "code"}
        else:
            assert "server_error" not in response.text, response.text

    check()
    assert [line for line in api.logs if line["log_level"] == "error"] == []


PATHS = ["/v1/documents/{}", "/v1/documents/{}/text", "/v1/jobs/{}", "/v1/jobs/{}/events", "/v1/collections/{}", "/{}"]


async def test_no_address_breaks_the_server(tmp_path):
    async with running(tmp_path / "home") as api:
        hostile = ["%00", "%FF%FE", "..%2f..%2fetc", "%F0%9F%98%80", "'--", "a" * 2_000, "%", "%zz", "*", "null"]
        for path in PATHS:
            for part in hostile:
                assert_problem(await api.client.get(path.format(part)), 404)
        for query in ("limit=x", "limit=-1", "limit=99999999999999999999", "cursor=%FF", "cursor=czk5", "status=%00"):
            response = await api.client.get(f"/v1/documents?{query}")
            assert response.status_code in (200, 422), (query, response.text)
        for version in ("0", "-1", "x", "99999999999999999999", "1.5"):
            response = await api.client.get(f"/v1/documents/none?version={version}")
            assert response.status_code in (404, 422), (version, response.text)
