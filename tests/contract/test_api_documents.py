"""`/v1/documents` as the contract words it."""

import asyncio
import json

import pytest

from app.settings import LimitSettings
from tests.unit.api.harness import assert_problem, running

DOCUMENT_FIELDS = {
    "id", "collection", "title", "version", "status", "media_type", "bytes", "pages", "chars", "chunks", "sha256",
    "metadata", "source_url", "created_at", "updated_at", "error",
}  # fmt: skip


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


async def test_one_text_becomes_a_job_and_a_document(api):
    response = await api.client.post(
        "/v1/documents",
        json={
            "text": "The fee is 30 euros.",
            "title": "Fees",
            "metadata": {"year": 2024},
            "source_url": "https://x.example/f",
        },
    )
    assert response.status_code == 202
    body = response.json()
    assert body["job"]["status"] == "queued"
    (submitted,) = body["documents"]
    assert (submitted["version"], submitted["status"], submitted["duplicate"]) == (1, "queued", False)
    await api.work()
    document = (await api.client.get(f"/v1/documents/{submitted['id']}")).json()
    assert set(document) >= DOCUMENT_FIELDS
    assert document["status"] == "ready"
    assert document["collection"] == "default"
    assert document["title"] == "Fees"
    assert document["media_type"] == "text/plain"
    assert document["metadata"]["year"] == 2024
    assert document["chars"] == len("The fee is 30 euros.")
    assert document["pages"] is None
    assert document["created_at"].endswith("Z")
    job = (await api.client.get(f"/v1/jobs/{body['job']['id']}")).json()
    assert job["status"] == "succeeded"


async def test_the_same_bytes_are_stored_once(api):
    first = await api.add("The same words.")
    again = await api.client.post("/v1/documents", json={"text": "The same words."})
    assert again.status_code == 200
    assert again.json()["documents"] == [
        {"id": first, "version": 1, "status": "ready", "duplicate": True, "error": None}
    ]
    assert again.json()["job"]["status"] == "succeeded"
    mixed = await api.client.post("/v1/documents", json={"documents": [{"text": "The same words."}, {"text": "New."}]})
    assert mixed.status_code == 202
    assert [document["duplicate"] for document in mixed.json()["documents"]] == [True, False]
    await api.client.post("/v1/collections", json={"name": "other"})
    elsewhere = await api.client.post("/v1/documents", json={"text": "The same words.", "collection": "other"})
    assert elsewhere.status_code == 202


async def test_several_files_in_one_form(api):
    files = [
        ("file", ("notes.md", "# Märchen\n\nEs war einmal.".encode(), "text/markdown")),
        ("file", ("../../etc/pass\x01wd.txt", b"root has no password", "text/plain")),
    ]
    fields = {"collection": "default", "metadata": '{"lang": "de"}', "source_url": "https://x.example/n"}
    response = await api.client.post("/v1/documents", files=files, data=fields)
    assert response.status_code == 202, response.text
    await api.work()
    documents = [
        (await api.client.get(f"/v1/documents/{document['id']}")).json() for document in response.json()["documents"]
    ]
    assert [document["status"] for document in documents] == ["ready", "ready"]
    assert documents[0]["media_type"] == "text/markdown"
    assert documents[1]["filename"].startswith("pass")
    assert not set(documents[1]["filename"]) & set("/\\\x01")
    assert all(document["metadata"]["lang"] == "de" for document in documents)
    assert "Es war einmal." in await api.text(documents[0]["id"])


async def test_a_batch_fails_one_by_one(api):
    entries = [
        {"text": "A good one."},
        {"text": 5, "id": "number"},
        {"text": "Bad metadata.", "metadata": {"a": {"b": 1}}},
        {"text": "Bad id.", "id": "no/slash"},
        {"text": "First of two.", "id": "twice"},
        {"text": "Second of two.", "id": "twice"},
        {"text": "Another good one."},
    ]
    response = await api.client.post("/v1/documents", json={"documents": entries})
    assert response.status_code == 202
    documents = response.json()["documents"]
    assert [document["status"] for document in documents] == [
        "queued", "failed", "failed", "failed", "queued", "failed", "queued",
    ]  # fmt: skip
    assert documents[1]["id"] == "number"
    assert "documents.1.text" in documents[1]["error"]
    assert "stands twice" in documents[5]["error"]
    await api.work()
    listed = (await api.client.get("/v1/documents")).json()["data"]
    assert sorted(document["status"] for document in listed) == ["ready"] * 3


async def test_a_failed_document_says_why_and_the_rest_goes_on(api):
    files = [
        ("file", ("broken.pdf", b"%PDF-1.7\nnot really", "application/pdf")),
        ("file", ("fine.txt", b"All is fine here.", "text/plain")),
    ]
    response = await api.client.post("/v1/documents", files=files)
    await api.work()
    broken, fine = [
        (await api.client.get(f"/v1/documents/{document['id']}")).json() for document in response.json()["documents"]
    ]
    assert broken["status"] == "failed"
    assert broken["error"]
    assert fine["status"] == "ready"
    job = (await api.client.get(f"/v1/jobs/{response.json()['job']['id']}")).json()
    assert [document["status"] for document in job["documents"]] == ["failed", "ready"]


async def test_text_keeps_every_character_and_chunks_point_into_it(api):
    text = "Crème 😀 brûlée costs €5.\n\n北京是中国的首都。👩‍👩‍👧 家庭。\n\nLast line"
    document_id = await api.add(text)
    stored = await api.text(document_id)
    assert stored == text
    chunks = (await api.client.get(f"/v1/documents/{document_id}/chunks")).json()["data"]
    assert chunks
    for chunk in chunks:
        assert stored[chunk["char_start"] : chunk["char_end"]] == chunk["text"]


async def test_chunks_come_in_pages(api):
    text = "\n\n".join(f"# Heading {number}\n\n" + f"Sentence {number} is here. " * 60 for number in range(6))
    document_id = await api.add(text, media_type="text/markdown")
    whole = (await api.client.get(f"/v1/documents/{document_id}/chunks")).json()
    assert whole["next_cursor"] is None
    assert len(whole["data"]) >= 6
    paged, cursor = [], -1
    while True:
        page = (await api.client.get(f"/v1/documents/{document_id}/chunks?limit=2&cursor={cursor}")).json()
        paged += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert paged == whole["data"]


async def test_put_makes_a_version_that_takes_over_when_it_is_published(api):
    document_id = await api.add("The price is 10 euros.", id="price")
    response = await api.client.put(f"/v1/documents/{document_id}", json={"text": "The price is 12 euros."})
    assert response.status_code == 202
    assert response.json()["documents"][0] | {"error": None} == {
        "id": "price", "version": 2, "status": "queued", "duplicate": False, "error": None,
    }  # fmt: skip
    assert await api.text("price") == "The price is 10 euros."
    await api.work()
    assert await api.text("price") == "The price is 12 euros."
    old = await api.client.get("/v1/documents/price/text?version=1")
    assert old.text == "The price is 10 euros."
    versions = (await api.client.get("/v1/documents/price/versions")).json()["data"]
    assert sorted(version["version"] for version in versions) == [1, 2]
    by_number = {version["version"]: version for version in versions}
    assert by_number[1]["valid_to"] == by_number[2]["valid_from"]
    again = await api.client.put("/v1/documents/price", json={"text": "The price is 12 euros."})
    assert again.status_code == 200


async def test_put_needs_an_existing_document_and_its_own_id(api):
    assert_problem(await api.client.put("/v1/documents/none", json={"text": "x"}), 404, "not_found")
    await api.add("Words.", id="mine")
    wrong_id = await api.client.put("/v1/documents/mine", json={"text": "y", "id": "yours"})
    assert assert_problem(wrong_id, 422)["errors"][0]["loc"] == ["body", "id"]
    await api.client.post("/v1/collections", json={"name": "other"})
    moved = await api.client.put("/v1/documents/mine", json={"text": "y", "collection": "other"})
    assert assert_problem(moved, 422)["errors"][0]["loc"] == ["body", "collection"]
    two = [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]
    assert_problem(await api.client.put("/v1/documents/mine", files=two), 422)


async def test_delete_leaves_nothing_and_measures_it(api):
    document_id = await api.add("Delete these very words, please.")
    found = await api.client.post("/v1/search", json={"query": "very words"})
    assert found.json()["hits"]
    told: list[str] = []
    api.services.index.on_deletion(told.append)  # a language model that remembers prompts forgets them then
    response = await api.client.delete(f"/v1/documents/{document_id}")
    assert response.status_code == 200
    assert told == ["default"]
    assert response.json() == {
        "id": document_id,
        "deleted": True,
        "residual": {"vectors": 0, "postings": 0, "chunks": 0, "derived": 0},
    }
    for path in ("", "/text", "/chunks", "/versions"):
        assert_problem(await api.client.get(f"/v1/documents/{document_id}{path}"), 404)
    assert_problem(await api.client.delete(f"/v1/documents/{document_id}"), 404)
    assert (await api.client.post("/v1/search", json={"query": "very words"})).json()["hits"] == []
    assert (await api.client.get("/v1/documents")).json()["data"] == []


async def test_wait_holds_the_answer_until_the_job_ends(api):
    request = asyncio.create_task(api.client.post("/v1/documents?wait=60", json={"text": "Patience pays."}))
    for _ in range(1_000):
        if (await api.client.get("/v1/jobs")).json()["data"]:
            break
    assert (await api.client.get("/health/live")).status_code == 200  # the loop is free
    await api.work()
    response = await request
    assert response.status_code == 202
    assert response.json()["job"]["status"] == "succeeded"
    assert response.json()["documents"][0]["status"] == "ready"


@pytest.mark.parametrize("wait", ["-1", "301", "nan", "soon"])
async def test_wait_is_bounded(api, wait):
    assert_problem(await api.client.post(f"/v1/documents?wait={wait}", json={"text": "x"}), 422)


async def test_listing_goes_page_by_page_and_filters(api):
    ids = {
        (await api.client.post("/v1/documents", json={"text": f"Number {n}."})).json()["documents"][0]["id"]
        for n in range(5)
    }
    seen, cursor = [], ""
    while True:
        page = (await api.client.get(f"/v1/documents?limit=2{cursor}")).json()
        assert len(page["data"]) <= 2
        seen += [document["id"] for document in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == 5
    assert set(seen) == ids
    assert (await api.client.get("/v1/documents?status=ready")).json()["data"] == []
    assert len((await api.client.get("/v1/documents?status=queued&collection=default")).json()["data"]) == 5
    assert_problem(await api.client.get("/v1/documents?collection=none"), 404)
    assert_problem(await api.client.get("/v1/documents?cursor=%00bogus"), 422)
    assert_problem(await api.client.get("/v1/documents?limit=0"), 422)
    assert_problem(await api.client.get("/v1/documents?status=lost"), 422)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"txet": "a"}, ["body", "text"]),
        ({"text": None}, ["body", "text"]),
        ({"text": "a", "collection": 5}, ["body", "collection"]),
        ({"documents": {}}, ["body", "documents"]),
        ([], ["body"]),
    ],
)
async def test_a_wrong_body_names_the_field(api, body, loc):
    problem = assert_problem(await api.client.post("/v1/documents", json=body), 422)
    assert loc in [error["loc"] for error in problem["errors"]]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"text": NaN}', b"[" * 100_000, b'{"text": "\\ud800"}'])
async def test_a_body_that_is_no_usable_json_is_a_422(api, raw):
    assert_problem(
        await api.client.post("/v1/documents", content=raw, headers={"content-type": "application/json"}), 422
    )


async def test_unknown_collections_and_documents_are_404(api):
    assert_problem(await api.client.post("/v1/documents", json={"text": "a", "collection": "none"}), 404, "not_found")
    for path in ("/v1/documents/doc_x", "/v1/documents/%00", "/v1/documents/%FF/text", "/v1/documents/doc_x/chunks"):
        assert_problem(await api.client.get(path), 404)


async def test_limits_are_413_and_leave_nothing(tmp_path):
    limits = LimitSettings(upload_bytes=1_000)
    async with running(tmp_path / "home", limits=limits) as api:
        big = [("file", ("big.txt", b"x" * 1_001))]
        assert_problem(await api.client.post("/v1/documents", files=big), 413, "too_large")
        assert_problem(await api.client.post("/v1/documents", json={"text": "x" * 1_001}), 413)
        huge = json.dumps({"text": "x" * 2_000_000}).encode()
        response = await api.client.post("/v1/documents", content=huge, headers={"content-type": "application/json"})
        assert_problem(response, 413)
        assert (await api.client.get("/v1/documents")).json()["data"] == []
        assert list((tmp_path / "home" / "tmp").iterdir()) == []


async def test_too_many_documents_at_once_are_refused(tmp_path):
    async with running(tmp_path / "home", limits=LimitSettings(batch_documents=2)) as api:
        entries = [{"text": str(number)} for number in range(3)]
        assert_problem(await api.client.post("/v1/documents", json={"documents": entries}), 422)
        files = [("file", (f"{number}.txt", b"x")) for number in range(3)]
        assert_problem(await api.client.post("/v1/documents", files=files), 422)


async def test_an_id_taken_in_another_collection_is_a_conflict(api):
    await api.add("Words.", id="mine")
    await api.client.post("/v1/collections", json={"name": "other"})
    response = await api.client.post("/v1/documents", json={"text": "y", "id": "mine", "collection": "other"})
    assert_problem(response, 409, "conflict")
