"""`/v1/ask`, `/v1/search` and `/v1/feedback` as the contract words them."""

import threading
from datetime import UTC, datetime

import pytest

from app.errors import IntegrityError
from app.settings import LimitSettings, ServerSettings
from tests.unit.api.harness import assert_problem, running

ANSWER_FIELDS = {
    "id", "question", "answer", "abstained", "confidence", "citations", "model", "collection_generation", "usage",
    "timings_ms",
}  # fmt: skip
CITATION_FIELDS = {
    "index", "document_id", "version", "title", "source_url", "page", "char_start", "char_end", "quote",
    "answer_start", "answer_end", "score",
}  # fmt: skip
HIT_FIELDS = {
    "rank", "chunk_id", "document_id", "version", "title", "page", "char_start", "char_end", "text", "metadata",
    "scores", "ranks",
}  # fmt: skip
ASTRAL = (
    "😀 Prelude 👩‍👩‍👧.\n\n北京是中国的首都。上海是最大的城市。\n\n"
    "The zebra fee is 30 euros. Nothing else costs anything."
)


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


async def assert_citations_are_exact(api, answer):
    assert answer["citations"]
    for citation in answer["citations"]:
        assert set(citation) >= CITATION_FIELDS
        text = await api.text(citation["document_id"])
        assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]
        assert 0 <= citation["answer_start"] < citation["answer_end"] <= len(answer["answer"])
        assert f"[{citation['index']}]" in answer["answer"]


@pytest.mark.parametrize(
    ("question", "word"), [("What is the zebra fee?", "30 euros"), ("中国的首都是北京吗？", "北京是中国的首都")]
)
async def test_an_answer_with_citations_right_to_the_character(api, question, word):
    await api.add(ASTRAL, title="Fees", source_url="https://x.example/fees")
    answer = (await api.client.post("/v1/ask", json={"question": question})).json()
    assert set(answer) >= ANSWER_FIELDS
    assert answer["question"] == question
    assert answer["abstained"] is False
    assert word in answer["answer"]
    assert answer["collection_generation"] == {"default": 1}
    assert set(answer["usage"]) == {"prompt_tokens", "completion_tokens"}
    assert answer["timings_ms"]["total"] > 0
    assert "trace" not in answer
    await assert_citations_are_exact(api, answer)
    assert answer["citations"][0]["source_url"] == "https://x.example/fees"
    assert answer["citations"][0]["page"] is None


async def test_questions_and_texts_are_not_logged(api):
    await api.add(ASTRAL)
    await api.client.post("/v1/ask", json={"question": "What is the zebra fee?"})
    await api.events("POST", "/v1/ask", json={"question": "What is the zebra fee?", "stream": True})
    assert [line["event"] for line in api.logs].count("request") >= 3
    assert "zebra" not in str(api.logs)


async def test_it_abstains_honestly(api):
    await api.add(ASTRAL)
    answer = (await api.client.post("/v1/ask", json={"question": "Who painted Guernica in Paris?"})).json()
    assert answer["abstained"] is True
    assert answer["citations"] == []
    assert answer["confidence"] < answer["threshold"]
    assert answer["answer"]


async def test_an_empty_collection_is_an_abstention_not_an_error(api):
    answer = (await api.client.post("/v1/ask", json={"question": "Anything?"})).json()
    assert answer["abstained"] is True
    assert answer["collection_generation"] == {"default": 0}


async def test_the_trace_comes_when_asked_for(api):
    await api.add(ASTRAL)
    response = await api.client.post(
        "/v1/ask", json={"question": "zebra fee?", "trace": True}, headers={"X-Request-ID": "trace-me"}
    )
    trace = response.json()["trace"]
    assert trace["request_id"] == "trace-me"
    stages = [stage["stage"] for stage in trace["stages"]]
    assert {"retrieve", "assemble", "generate", "cite"} <= set(stages)
    assert all(stage["ms"] >= 0 for stage in trace["stages"])
    prompt = next(stage for stage in trace["stages"] if stage["stage"] == "assemble")["detail"]["prompt"]
    assert "zebra" in prompt


async def test_events_come_in_the_contracts_order(api):
    await api.add(ASTRAL, title="Fees")
    events = await api.events("POST", "/v1/ask", json={"question": "What is the zebra fee?", "stream": True})
    names = [name for name, _ in events]
    order = ["status", "sources", "token", "citation", "done"]
    assert [name for name in order if name in names] == order
    assert names == sorted(names, key=order.index)
    assert names.count("sources") == names.count("done") == 1
    done = events[-1][1]
    assert set(done) >= ANSWER_FIELDS
    assert "".join(body["text"] for name, body in events if name == "token") == done["answer"]
    assert [body for name, body in events if name == "citation"] == done["citations"]
    sources = next(body for name, body in events if name == "sources")["passages"]
    assert sources
    for passage in sources:
        text = await api.text(passage["document_id"])
        assert text[passage["char_start"] : passage["char_end"]] == passage["text"]
    await assert_citations_are_exact(api, done)


async def test_an_error_in_the_middle_of_a_stream_is_an_event_that_tells_nothing_internal(api):
    await api.add(ASTRAL)

    def fail(cancelled):
        raise IntegrityError("/srv/secret/weights.bin is broken")

    api.generator.on_generate = fail
    events = await api.events("POST", "/v1/ask", json={"question": "zebra fee?", "stream": True})
    name, problem = events[-1]
    assert name == "error"
    assert problem["status"] == 500
    assert problem["request_id"]
    assert "/srv" not in str(problem)
    assert_problem(await api.client.post("/v1/ask", json={"question": "zebra fee?"}), 500, "integrity")


async def test_a_crash_of_the_generator_is_a_bare_500(api):
    await api.add(ASTRAL)

    def crash(cancelled):
        raise RuntimeError("SELECT secret")

    api.generator.on_generate = crash
    response = await api.client.post("/v1/ask", json={"question": "zebra fee?"})
    assert_problem(response, 500, "internal")
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["body", "question"]),
        ({"question": ""}, ["body", "question"]),
        ({"question": " \n\t\u3000"}, ["body", "question"]),
        ({"question": 5}, ["body", "question"]),
        ({"question": "nul\x00"}, ["body", "question"]),
        ({"question": "q" * 101}, ["body", "question"]),
        ({"question": "q", "strem": True}, ["body", "strem"]),
        ({"question": "q", "stream": "yes"}, ["body", "stream"]),
        ({"question": "q", "collections": []}, ["body", "collections"]),
        ({"question": "q", "collections": "default"}, ["body", "collections"]),
        ({"question": "q", "filters": {"year": {"near": 5}}}, ["body", "filters"]),
        ({"question": "q", "filters": {"year": {"gte": [1]}}}, ["body", "filters"]),
        ({"question": "q", "as_of": "yesterday"}, ["body", "as_of"]),
        ({"question": "q", "as_of": "2026-01-01T00:00:00"}, ["body", "as_of"]),
        ({"question": "q", "retrieval": {"dens": True}}, ["body", "retrieval", "dens"]),
        ({"question": "q", "retrieval": {"dense": False, "lexical": False}}, ["body", "retrieval"]),
        ({"question": "q", "retrieval": {"top_k": 0}}, ["body", "retrieval", "top_k"]),
        ({"question": "q", "retrieval": {"top_k": 21}}, ["body", "retrieval", "top_k"]),
        ({"question": "q", "retrieval": {"top_k": True}}, ["body", "retrieval", "top_k"]),
        ({"question": "q", "generation": {"temperature": -1}}, ["body", "generation", "temperature"]),
        ({"question": "q", "generation": {"mode": "magic"}}, ["body", "generation", "mode"]),
        ({"question": "q", "generation": {"max_tokens": "64"}}, ["body", "generation", "max_tokens"]),
        ({"question": "q", "abstain": 1.5}, ["body", "abstain"]),
        ({"question": "q", "abstain": "maybe"}, ["body", "abstain"]),
        ({"question": "q", "history": [{"role": "robot", "content": "x"}]}, ["body", "history", 0, "role"]),
        ({"question": "q", "context_chunks": 0}, ["body", "context_chunks"]),
    ],
)
async def test_a_wrong_field_is_named(tmp_path, body, loc):
    limits = LimitSettings(question_chars=100, top_k=20)
    async with running(tmp_path / "home", limits=limits) as api:
        problem = assert_problem(await api.client.post("/v1/ask", json=body), 422)
        assert loc in [error["loc"][: len(loc)] for error in problem["errors"]]


async def test_unknown_collections_are_404_before_the_stream_begins(api):
    for stream in (False, True):
        body = {"question": "q", "collections": ["default", "none"], "stream": stream}
        assert_problem(await api.client.post("/v1/ask", json=body), 404, "not_found")
    assert_problem(await api.client.post("/v1/search", json={"query": "q", "collections": ["none"]}), 404)


async def test_every_option_of_the_contract_is_taken(api):
    await api.add(ASTRAL, metadata={"year": 2024})
    response = await api.client.post(
        "/v1/ask",
        json={
            "question": "What is the zebra fee?",
            "collections": ["default", "default"],
            "history": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}],
            "filters": {"year": {"gte": 2024, "lt": 2025}},
            "as_of": datetime.now(UTC).isoformat(),
            "translate": ["multi_query", "hyde", "decompose", "step_back"],
            "route": "auto",
            "retrieval": {"dense": True, "lexical": True, "late_interaction": False, "top_k": 50, "rrf_k": 60},
            "rerank": True,
            "context_chunks": 6,
            "generation": {
                "model": "bundled", "mode": "fusion", "max_tokens": 32, "temperature": 0, "top_p": 1, "top_k": 0,
                "num_beams": 1, "seed": 7,
            },
            "abstain": "never",
            "stream": False,
            "trace": True,
        },
    )  # fmt: skip
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["abstained"] is False
    translated = next(stage for stage in answer["trace"]["stages"] if stage["stage"] == "translate")
    assert translated["detail"]["requested"] == ["multi_query", "hyde", "decompose", "step_back"]
    assert translated["detail"]["queries"][0] == {"kind": "original", "text": "What is the zebra fee?"}
    assert answer["warnings"] == []


async def test_translations_are_shown_without_being_asked(api):
    await api.add(ASTRAL)
    body = {"question": "What was the zebra fee in 2024?", "kinds": ["step_back", "hyde"]}
    done = (await api.client.post("/v1/query/translate", json=body)).json()
    assert done["queries"][0] == {"kind": "original", "text": "What was the zebra fee in 2024?", "parent": None}
    assert {
        "kind": "step_back",
        "text": "What was the zebra fee?",
        "parent": "What was the zebra fee in 2024?",
    } in done["queries"]
    assert any(query["kind"] == "hyde" and "30 euros" in query["text"] for query in done["queries"])
    assert [(step["kind"], step["how"], step["error"]) for step in done["steps"]] == [
        ("step_back", "rules", None),
        ("hyde", "rules", None),
    ]
    assert_problem(await api.client.post("/v1/query/translate", json={"question": " "}), 422)
    assert_problem(await api.client.post("/v1/query/translate", json={"question": "x", "kinds": ["guess"]}), 422)
    assert_problem(await api.client.post("/v1/query/translate", json={"question": "x", "collections": ["no"]}), 404)


async def test_a_follow_up_is_understood_from_its_history(api):
    await api.add(ASTRAL)
    history = [{"role": "user", "content": "What is the zebra fee?"}, {"role": "assistant", "content": "30 euros. [1]"}]
    body = {"question": "What about it?", "history": history, "trace": True}
    answer = (await api.client.post("/v1/ask", json=body)).json()
    assert answer["question"] == "What about it?"
    condensed = next(stage for stage in answer["trace"]["stages"] if stage["stage"] == "condense")
    assert "zebra fee" in condensed["detail"]["question"]
    assert "30 euros" in answer["answer"]


async def test_a_threshold_of_the_callers_decides(api):
    await api.add(ASTRAL)
    strict = (await api.client.post("/v1/ask", json={"question": "What is the zebra fee?", "abstain": 1})).json()
    assert strict["threshold"] == 1
    assert strict["abstained"] is (strict["confidence"] < 1)


async def test_search_shows_every_stages_scores(api):
    await api.add(ASTRAL, title="Fees", metadata={"year": 2024})
    await api.add("Something about giraffes.", metadata={"year": 2020})
    response = (await api.client.post("/v1/search", json={"query": "zebra fee", "top_k": 5})).json()
    assert "trace" not in response
    hits = response["hits"]
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    best = hits[0]
    assert set(best) >= HIT_FIELDS
    assert set(best["scores"]) == {"bm25", "cosine", "rrf", "rerank", "late_interaction"}
    assert best["scores"]["late_interaction"] is None
    assert best["scores"]["bm25"] > 0
    assert best["ranks"]["bm25"] == 1
    assert "zebra" in best["text"]
    text = await api.text(best["document_id"])
    assert text[best["char_start"] : best["char_end"]] == best["text"]
    assert best["metadata"]["year"] == 2024


async def test_filters_and_as_of_reach_search(api):
    await api.add("The zebra fee is 30 euros.", id="fee", metadata={"year": 2024})
    before = datetime.now(UTC).isoformat()
    await api.client.put("/v1/documents/fee", json={"text": "The zebra fee is 40 euros.", "metadata": {"year": 2025}})
    await api.work()

    async def texts(**options):
        hits = (await api.client.post("/v1/search", json={"query": "zebra fee", **options})).json()["hits"]
        return [hit["text"] for hit in hits]

    assert await texts() == ["The zebra fee is 40 euros."]
    assert await texts(as_of=before) == ["The zebra fee is 30 euros."]
    assert await texts(filters={"year": {"eq": 2024}}) == []
    assert await texts(filters={"year": {"in": [2025]}}) == ["The zebra fee is 40 euros."]
    assert await texts(as_of="2001-01-01T00:00:00Z") == []


async def test_feedback_is_kept_with_its_answer(api):
    await api.add(ASTRAL)
    answer = (await api.client.post("/v1/ask", json={"question": "What is the zebra fee?"})).json()
    chunk_id = answer["citations"][0]["chunk_id"]
    response = await api.client.post(
        "/v1/feedback", json={"answer_id": answer["id"], "rating": -1, "chunk_id": chunk_id, "comment": "不对 😀"}
    )
    assert response.status_code == 201
    (stored,) = api.services.catalog.list_feedback(answer["id"])[0]
    assert (stored.rating, stored.chunk_id, stored.comment) == (-1, chunk_id, "不对 😀")
    streamed = await api.events("POST", "/v1/ask", json={"question": "What is the zebra fee?", "stream": True})
    later = await api.client.post("/v1/feedback", json={"answer_id": streamed[-1][1]["id"], "rating": 1})
    assert later.status_code == 201
    assert_problem(await api.client.post("/v1/feedback", json={"answer_id": "ans_none", "rating": 1}), 404)


@pytest.mark.parametrize("rating", [0, 2, "1", True, None, 1.5])
async def test_ratings_are_plus_or_minus_one(api, rating):
    problem = assert_problem(await api.client.post("/v1/feedback", json={"answer_id": "a", "rating": rating}), 422)
    assert problem["errors"][0]["loc"] == ["body", "rating"]


async def test_a_document_deleted_while_it_is_quoted_takes_its_answer_with_it(api):
    document_id = await api.add(ASTRAL)
    deleted = threading.Event()

    def delete_meanwhile(cancelled):
        if not deleted.is_set():
            deleted.set()
            from app.index.publishing import delete_document

            delete_document(api.services.catalog, api.services.index, api.services.blobs, document_id)

    api.generator.on_generate = delete_meanwhile
    response = await api.client.post("/v1/ask", json={"question": "What is the zebra fee?"})
    assert "ask again" in assert_problem(response, 409)["detail"]
    assert "30 euros" not in response.text


async def test_a_full_queue_is_429_for_json_and_stream_alike(tmp_path):
    import asyncio

    server = ServerSettings(model_threads=1, model_queue=0)
    async with running(tmp_path / "home", server=server) as api:
        await api.add(ASTRAL)
        inside, release = threading.Event(), threading.Event()

        def hold(cancelled):
            inside.set()
            release.wait(30)

        api.generator.on_generate = hold
        held = asyncio.create_task(api.client.post("/v1/ask", json={"question": "What is the zebra fee?"}))
        assert await asyncio.to_thread(inside.wait, 30)
        for path, body in (
            ("/v1/ask", {"question": "q"}),
            ("/v1/ask", {"question": "q", "stream": True}),
            ("/v1/search", {"query": "q"}),
        ):
            refused = await api.client.post(path, json=body)
            assert_problem(refused, 429, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
        assert (await api.client.get("/health/ready")).status_code == 200
        release.set()
        assert (await held).status_code == 200
        api.generator.on_generate = None
        assert (await api.client.post("/v1/ask", json={"question": "q"})).status_code == 200
