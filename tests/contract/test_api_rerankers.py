"""Rerankers trained on feedback: promoted on a held-out rise only, serving at once, taken back; too little is said."""

from __future__ import annotations

import pytest

from app.index.rerankers import RerankerStore, model_folder
from app.rerank.judgements import JudgedQuestion
from app.rerank.serving import MODEL, ServingRanker, following
from tests.animals import ANIMALS, documents, praise, question, with_ranker
from tests.unit.api import harness
from tests.unit.api.harness import assert_problem, running


@pytest.fixture
def ranked(monkeypatch):
    """The harness with the shipped reranker in service, which follows promotions."""
    plain = harness.wired

    monkeypatch.setattr(harness, "wired", lambda *parts: with_ranker(plain(*parts)))


@pytest.fixture
async def api(tmp_path, ranked):
    async with running(tmp_path / "home") as running_api:
        assert (await running_api.client.post("/v1/documents", json={"documents": documents()})).status_code == 202
        await running_api.work()
        yield running_api


async def order(api, animal: str) -> list[str]:
    body = {"query": question(animal), "top_k": 2}
    hits = (await api.client.post("/v1/search", json=body)).json()["hits"]
    return [hit["document_id"] for hit in hits]


async def rate(api, animals, kind: str) -> None:
    """Every question is asked once, and the document of that kind is said to have helped."""
    for animal in animals:
        chunks = (await api.client.get(f"/v1/documents/{animal}-{kind}/chunks")).json()["data"]
        answer = (await api.client.post("/v1/ask", json={"question": question(animal)})).json()
        rating = {"answer_id": answer["id"], "rating": 1, "chunk_id": chunks[0].get("id") or chunks[0]["chunk_id"]}
        assert (await api.client.post("/v1/feedback", json=rating)).status_code == 201


async def train(api, **body) -> dict:
    """The job once it has ended."""
    started = await api.client.post("/v1/rerankers/train", **({"json": body} if body else {}))
    assert started.status_code == 202, started.text
    assert started.json()["job"] == {"id": started.json()["id"], "status": "queued"}
    events = await api.events("GET", f"/v1/jobs/{started.json()['id']}/events")
    assert events[-1][0] == "done"
    return events[-1][1]


async def listed(api) -> list[dict]:
    return (await api.client.get("/v1/rerankers?collection=default")).json()["data"]


async def test_consistent_feedback_is_learned_served_at_once_and_can_be_taken_back(api):
    """The shipped model puts the short text first; everybody says that the long one helped."""
    assert await order(api, "otter") == ["otter-short", "otter-long"]
    assert (await api.client.get("/v1/rerankers")).json()["obstacle"] is None
    (shipped,) = await listed(api)
    assert (shipped["id"], shipped["active"], shipped["collection"]) == ("shipped", True, None)
    await rate(api, ANIMALS, "long")
    job = await train(api)
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["promoted"] is True

    first, shipped = await listed(api)
    assert (first["status"], first["active"], first["number"], shipped["active"]) == ("active", True, 1, False)
    held_out = first["figures"]["held_out"]
    expected = sum(JudgedQuestion(question(animal), frozenset("x")).held_out for animal in ANIMALS)
    assert held_out["questions"] == expected >= 8
    assert first["figures"]["training"]["questions"] == len(ANIMALS) - expected
    # by hand: one relevant passage at rank 2 is 1 / log2(3), at rank 1 it is 1
    assert held_out["ndcg@10"]["base"] == pytest.approx(0.6309, abs=1e-3)
    assert held_out["ndcg@10"]["trained"] > 0.9
    assert held_out["difference"]["low"] > 0
    assert first["reason"].startswith("promoted: held-out nDCG@10 0.631 before")
    assert await order(api, "otter") == ["otter-long", "otter-short"], "the next request, without a restart"

    # the same feedback again: the serving model already does what it says, so nothing rises
    again = await train(api, collection="default")
    assert again["status"] == "succeeded"
    assert again["result"]["promoted"] is False
    second = (await listed(api))[0]
    assert (second["status"], second["active"], second["promoted"], second["base"]) == (
        "rejected", False, False, first["id"])  # fmt: skip
    assert "not promoted" in second["reason"]
    assert_problem(await api.client.post(f"/v1/rerankers/{second['id']}/activate"), 409)

    back = (await api.client.post("/v1/rerankers/rollback", json={"collection": "default"})).json()
    assert (back["removed"]["id"], back["active"]["id"]) == (first["id"], "shipped")
    assert await order(api, "otter") == ["otter-short", "otter-long"]
    assert_problem(await api.client.post("/v1/rerankers/rollback"), 409)
    assert (await api.client.post(f"/v1/rerankers/{first['id']}/activate")).json()["active"] is True
    assert await order(api, "otter") == ["otter-long", "otter-short"]

    folder = model_folder(api.services.settings.home, first["id"])
    (folder / MODEL).write_text("rot")
    fresh = following(ServingRanker.load(), api.services.settings.home, api.services.catalog)
    assert fresh.promoted("default") is None, "a damaged model is not served"
    assert any(line["event"] == "reranker_not_loaded" for line in api.logs)


async def test_feedback_that_agrees_with_the_order_promotes_nothing(api):
    await rate(api, ANIMALS, "short")
    job = await train(api)
    assert job["status"] == "succeeded"
    assert job["result"]["promoted"] is False
    rejected, shipped = await listed(api)
    assert (rejected["status"], shipped["active"]) == ("rejected", True)
    assert "it does not rise" in rejected["reason"]
    assert await order(api, "otter") == ["otter-short", "otter-long"]


async def test_too_little_feedback_is_said_with_numbers(api):
    await rate(api, ANIMALS[:3], "long")
    job = await train(api)
    assert job["status"] == "failed"
    assert job["attempts"] == 1
    assert job["error"].startswith("too little feedback to train on: 3 ratings and golden questions name")
    assert "needed are 30 such questions, at least 16 to train on and 8 to measure with" in job["error"]
    assert [each["id"] for each in await listed(api)] == ["shipped"]


async def test_what_is_collected_and_needed_is_told_before_there_is_enough(api):
    none = (await api.client.get("/v1/rerankers/ratings")).json()
    assert none == {
        "collection": "default",
        "ratings": 0,
        "questions": 0,
        "to_train": 0,
        "to_measure": 0,
        "unhelpful": 0,
        "gone": 0,
        "needed": {"questions": 30, "to_train": 16, "to_measure": 8},
        "enough": False,
    }
    catalog = api.services.catalog
    praise(catalog, "default", ANIMALS[:5])
    praise(catalog, "default", ANIMALS[:1], kind="short")  # a second passage of the same question
    praise(catalog, "default", ANIMALS[5:7], rating=-1)
    praise(catalog, "elsewhere", ANIMALS[7:9])  # sought in another collection
    await api.client.delete("/v1/documents/heron-long")
    await api.work()
    some = (await api.client.get("/v1/rerankers/ratings?collection=default")).json()
    aside = sum(JudgedQuestion(question(animal), frozenset()).held_out for animal in ("otter", *ANIMALS[2:5]))
    assert (some["ratings"], some["questions"], some["unhelpful"], some["gone"]) == (8, 4, 2, 1)
    assert (some["to_train"], some["to_measure"]) == (4 - aside, aside)
    assert some["needed"] == {"questions": 26, "to_train": 12 + aside, "to_measure": 8 - aside}
    praise(catalog, "default", ANIMALS[7:])
    praise(catalog, "default", ANIMALS[5:7], kind="short")
    assert (await api.client.get("/v1/rerankers/ratings")).json()["enough"] is True


async def test_a_golden_set_alone_will_do(api):
    golden = [{"question": question(animal), "relevant_document_ids": [f"{animal}-long"]} for animal in ANIMALS]
    job = await train(api, golden=golden)
    assert job["result"]["promoted"] is True, job
    assert await order(api, "heron") == ["heron-long", "heron-short"]


async def test_bad_requests_are_told(api):
    unknown = [{"question": "q"}, {"question": "q", "relevant_document_ids": ["gone"]}]
    problem = assert_problem(await api.client.post("/v1/rerankers/train", json={"golden": unknown}), 422)
    assert problem["errors"][0]["loc"] == ["body", "golden", 1, "relevant_document_ids"]
    assert_problem(await api.client.post("/v1/rerankers/train", json={"collection": "nowhere"}), 404)
    assert_problem(await api.client.post("/v1/rerankers/train", json={"colection": "default"}), 422)
    assert_problem(await api.client.post("/v1/rerankers/none/activate"), 404)
    assert_problem(await api.client.post("/v1/rerankers/shipped/activate"), 409)
    assert_problem(await api.client.get("/v1/rerankers?collection=nowhere"), 404)
    assert_problem(await api.client.get("/v1/rerankers/ratings?collection=nowhere"), 404)


async def test_without_a_reranker_there_is_nothing_to_train(tmp_path):
    async with running(tmp_path / "home") as api:
        assert "switched off" in assert_problem(await api.client.post("/v1/rerankers/train"), 409)["detail"]
        body = (await api.client.get("/v1/rerankers")).json()
        assert body["enabled"] is False
        assert "switched off" in body["obstacle"]
        assert body["data"][0]["active"] is False


async def test_a_model_that_was_overtaken_is_not_promoted(api):
    """Somebody else's model came into service between the start of the training and its end."""
    store = RerankerStore(api.services.catalog)

    def add(name: str, base: str | None):
        return store.add("default", name, job_id="job_x", promote=True, reason="better", figures={}, base=base)

    assert add("rrk_a", None).status == "active"
    late = add("rrk_b", None)
    assert late.status == "rejected"
    assert "another one was put into service" in late.reason
    assert add("rrk_c", "rrk_a").status == "active"
    removed, active = store.rollback("default")
    assert (removed.id, active.id) == ("rrk_c", "rrk_a")
    removed, active = store.rollback("default")
    assert (removed.id, active) == ("rrk_a", None)
