"""Evaluations over HTTP: what goes in, what comes out, cancelling, restarting, and bad input named by its row."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from app.errors import Unavailable
from tests.unit.api.harness import assert_problem, running

TEXTS = {
    "fees": "The zebra fee is 30 euros.",
    "hours": "The giraffe house opens at nine in the morning.",
    "food": "The penguins eat forty herrings a day.",
    "zh": "熊猫馆的门票是二十元。",
}
GOLDEN = [
    {
        "question": "What is the zebra fee?",
        "answers": ["The zebra fee is 30 euros."],
        "relevant_document_ids": ["fees"],
    },
    {"question": "When does the giraffe house open?", "answers": ["nine"], "relevant_document_ids": ["hours"]},
    {"question": "How many herrings do penguins eat?", "relevant_document_ids": ["food"]},
    {"question": "熊猫馆的门票是多少元", "answers": ["熊猫馆的门票是二十元"], "relevant_document_ids": ["zh"]},
    {"question": "Who painted the volcano mural?", "answerable": False},
]
METRICS = ("recall@1", "recall@5", "recall@10", "recall@20", "mrr@10", "ndcg@10", "exact_match", "f1",
           "citation_precision")  # fmt: skip


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        for name, text in TEXTS.items():
            await running_api.add(text, id=name)
        yield running_api


async def finished(api, started):
    """The evaluation once its job has ended; the job's own events say when."""
    assert started.status_code == 202, started.text
    body = started.json()
    assert body["job"] == {"id": body["id"], "status": "queued"}
    events = await api.events("GET", f"/v1/jobs/{body['id']}/events")
    assert events[-1][0] == "done"
    found = await api.client.get(f"/v1/evaluations/{body['id']}")
    assert found.status_code == 200
    return found.json()


async def test_an_evaluation_measures_every_setting_and_the_paired_difference(api):
    settings = [{"name": "both"}, {"name": "words", "retrieval": {"dense": False}, "context_chunks": 1}]
    request = {"collection": "default", "golden": GOLDEN, "settings": settings}
    done = await finished(api, await api.client.post("/v1/evaluations", json=request))
    assert (done["status"], done["questions"], done["collection"]) == ("succeeded", 5, "default")
    assert done["job"]["progress"] == {"done": 10, "total": 10, "unit": "questions"}
    both, words = done["settings"]
    assert (both["name"], words["name"]) == ("both", "words")
    assert words["request"] == {"retrieval": {"dense": False}, "context_chunks": 1}
    for entry in (both, words):
        for name in METRICS:
            assert 0 <= entry[name] <= 1, name
        assert 0 <= entry["latency_ms"]["p50"] <= entry["latency_ms"]["p95"]
        assert entry["counts"]["questions"] == 5
        assert entry["counts"]["recall@10"] == 4
        assert entry["counts"]["failed"] == 0
        curve = entry["abstention"]["risk_coverage"]
        assert [point["coverage"] for point in curve] == sorted(point["coverage"] for point in curve)
        assert curve[-1]["coverage"] == 1
    # by hand: four one-chunk documents, all of them found by both, each first for its own words
    assert both["recall@20"] == both["recall@10"] == 1
    # the copier's sentence equals two gold answers, is one of nine words of the third, and it refuses the unanswerable
    assert both["exact_match"] == pytest.approx(3 / 4)
    assert both["abstention"]["refused_unanswerable"] == 1
    assert both["citation_precision"] == 1
    assert both["difference"] is None
    difference = words["difference"]["ndcg@10"]
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert difference["mean"] == pytest.approx(words["ndcg@10"] - both["ndcg@10"])
    assert difference["n"] == 4
    assert done["method"]["seed"] == 0


async def test_what_can_not_be_told_is_null_with_its_reason(api):
    done = await finished(api, await api.client.post("/v1/evaluations", json={"golden": [{"question": "zebra fee?"}]}))
    (only,) = done["settings"]
    assert only["name"] == "setting 1"
    for name in METRICS:
        assert only[name] is None
        assert only["not_computed"][name]
    assert "relevant_document_ids" in only["not_computed"]["ndcg@10"]
    assert only["abstention"]["auroc"] is None
    assert only["abstention"]["risk_coverage"] is None
    assert only["latency_ms"]["p50"] > 0


async def test_rankings_by_chunk_and_details_by_question(api):
    chunk = (await api.client.get("/v1/documents/fees/chunks")).json()["data"][0]
    chunk_id = chunk.get("id") or chunk["chunk_id"]
    golden = [{"question": "What is the zebra fee?", "relevant_chunk_ids": [chunk_id], "id": "row one"}]
    done = await finished(api, await api.client.post("/v1/evaluations", json={"golden": golden}))
    assert done["settings"][0]["mrr@10"] == 1
    detailed = (await api.client.get(f"/v1/evaluations/{done['id']}?details=true")).json()
    (row,) = detailed["observed"]
    assert row["question"] == "What is the zebra fee?"
    assert row["settings"][0]["scores"]["recall@1"] == 1
    assert "30 euros" not in json.dumps(row), "no word of a document is kept"


@pytest.mark.parametrize(
    ("golden", "settings", "where", "what"),
    [
        ([], None, "golden", "at least 1"),
        ([{"question": "q"}, {"question": "  "}], None, "golden.1.question", "white space"),
        ([{"question": "q"}, {"answers": ["a"]}], None, "golden.1.question", "required"),
        ([{"question": "q", "answer": "a"}], None, "golden.0.answer", "not permitted"),
        ([{"question": "q", "answers": "a"}], None, "golden.0.answers", "list"),
        ([{"question": "q", "answers": [" "]}], None, "golden.0", "blank"),
        ([{"question": "q", "answers": ["a"], "answerable": False}], None, "golden.0", "answerable is false"),
        ([{"question": "q", "relevant_document_ids": ["a"], "relevant_chunk_ids": ["1-0"]}], None, "golden.0", "both"),
        ([{"question": "q"}, {"question": "q", "relevant_document_ids": ["gone"]}], None,
         "golden.1.relevant_document_ids", "'gone' is not in the collection"),
        ([{"question": "q", "relevant_chunk_ids": ["99-0"]}], None, "golden.0.relevant_chunk_ids", "'99-0'"),
        ([{"question": "q", "relevant_chunk_ids": ["-"]}], None, "golden.0.relevant_chunk_ids", "'-'"),
        ([{"question": "q"}], [], "settings", "at least 1"),
        ([{"question": "q"}], [{}, {"rerank": "yes"}], "settings.1.rerank", "boolean"),
        ([{"question": "q"}], [{"rerankk": True}], "settings.0.rerankk", "not permitted"),
        ([{"question": "q"}], [{}, {"question": "another"}], "settings.1", "question can not be part"),
        ([{"question": "q"}], [{}, {"retrieval": {"top_k": 100000}}], "settings.1.retrieval.top_k", "at most"),
        ([{"question": "q"}], [{"filters": {"year": {"near": 3}}}], "settings.0.filters", "near"),
    ],
)  # fmt: skip
async def test_bad_input_is_named_by_its_row(api, golden, settings, where, what):
    body = {"golden": golden} | ({"settings": settings} if settings is not None else {})
    problem = assert_problem(await api.client.post("/v1/evaluations", json=body), 422)
    told = {".".join(str(part) for part in each["loc"]): each["msg"] for each in problem["errors"]}
    assert f"body.{where}" in told, told
    assert what in told[f"body.{where}"]
    assert (await api.client.get("/v1/evaluations")).json()["data"] == []


async def test_unknown_collections_and_evaluations_are_404(api):
    body = {"collection": "nowhere", "golden": [{"question": "q"}]}
    assert_problem(await api.client.post("/v1/evaluations", json=body), 404)
    assert_problem(await api.client.get("/v1/evaluations/none"), 404)
    job = (await api.client.get("/v1/jobs")).json()["data"][0]["id"]
    assert_problem(await api.client.get(f"/v1/evaluations/{job}"), 404)


async def test_a_running_evaluation_can_be_cancelled_and_then_removed(api):
    began, release = threading.Event(), threading.Event()

    def hold(cancelled):
        began.set()
        assert release.wait(60)

    api.generator.on_generate = hold
    started = (await api.client.post("/v1/evaluations", json={"golden": GOLDEN})).json()
    assert await asyncio.to_thread(began.wait, 60)
    assert_problem(await api.client.delete(f"/v1/evaluations/{started['id']}"), 409)
    cancelled = await api.client.delete(f"/v1/jobs/{started['id']}")
    assert cancelled.json()["status"] == "cancelled"
    release.set()
    found = (await api.client.get(f"/v1/evaluations/{started['id']}")).json()
    assert found["status"] == "cancelled"
    assert "recall@10" not in found["settings"][0]
    listed = (await api.client.get("/v1/evaluations")).json()["data"]
    assert [row["id"] for row in listed] == [started["id"]]
    assert listed[0]["questions"] == 5
    removed = await api.client.delete(f"/v1/evaluations/{started['id']}")
    assert removed.json() == {"id": started["id"], "deleted": True}
    assert_problem(await api.client.get(f"/v1/evaluations/{started['id']}"), 404)


async def test_a_restarted_server_goes_on_where_the_evaluation_stopped(tmp_path):
    """Stopped in the middle of the third question; the second server asks that and the rest, no question twice."""
    asked = []
    async with running(tmp_path / "home") as first:
        for name, text in TEXTS.items():
            await first.add(text, id=name)
        in_third, stopping = threading.Event(), threading.Event()

        def hold(cancelled):
            asked.append(first.generator.prompts[-1].question)
            if len(asked) == 3:
                in_third.set()
                assert stopping.wait(60)

        first.generator.on_generate = hold
        started = (await first.client.post("/v1/evaluations", json={"golden": GOLDEN})).json()
        assert await asyncio.to_thread(in_third.wait, 60)
        catalog = first.services.catalog
        loop = asyncio.get_running_loop()
        # the server's end waits for the call at work, which goes on only once the end has begun
        loop.call_later(0.2, stopping.set)
    async with running(tmp_path / "home") as second:
        assert catalog is not second.services.catalog
        second.generator.on_generate = lambda cancelled: asked.append(second.generator.prompts[-1].question)
        events = await second.events("GET", f"/v1/jobs/{started['id']}/events")
        assert events[-1][1]["status"] == "succeeded"
        done = (await second.client.get(f"/v1/evaluations/{started['id']}")).json()
        assert done["settings"][0]["counts"]["questions"] == 5
    questions = [row["question"] for row in GOLDEN]
    assert sorted(set(asked)) == sorted(questions)
    assert all(asked.count(question) == 1 for question in questions if question != questions[2])


async def test_a_setting_that_can_not_work_fails_the_job_in_plain_words(api):
    def broken(cancelled):
        raise Unavailable("the model's server is away")

    api.generator.on_generate = broken
    started = (await api.client.post("/v1/evaluations", json={"golden": GOLDEN[:1]})).json()
    for _ in range(400):
        job = (await api.client.get(f"/v1/jobs/{started['id']}")).json()
        if job["error"]:
            break
        await asyncio.sleep(0.05)
    assert job["error"] == "every question failed; the first: the model's server is away"
    api.generator.on_generate = None
    await api.client.delete(f"/v1/jobs/{started['id']}")


async def test_deleting_a_collection_takes_its_evaluations_along(api):
    await api.client.post("/v1/collections", json={"name": "team"})
    done = await finished(
        api, await api.client.post("/v1/evaluations", json={"collection": "team", "golden": GOLDEN[4:]})
    )
    assert (await api.client.delete("/v1/collections/team")).status_code == 200
    assert_problem(await api.client.get(f"/v1/evaluations/{done['id']}"), 404)
