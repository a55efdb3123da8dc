"""`/v1/jobs` and `/v1/collections` as the contract words them."""

import asyncio

import pytest

from tests.unit.api.harness import assert_problem, running

JOB_FIELDS = {
    "id", "kind", "status", "progress", "stage", "attempts", "error", "documents", "created_at", "started_at",
    "finished_at",
}  # fmt: skip


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


async def submit(api, *texts, **fields):
    body = {"documents": [{"text": text} for text in texts], **fields}
    return (await api.client.post("/v1/documents", json=body)).json()["job"]["id"]


async def test_a_job_tells_its_progress_and_its_documents(api):
    job_id = await submit(api, "one", "two")
    queued = (await api.client.get(f"/v1/jobs/{job_id}")).json()
    assert set(queued) >= JOB_FIELDS
    assert (queued["kind"], queued["status"], queued["started_at"]) == ("ingest", "queued", None)
    assert queued["progress"]["total"] == 2
    assert [document["status"] for document in queued["documents"]] == ["queued", "queued"]
    await api.work()
    done = (await api.client.get(f"/v1/jobs/{job_id}")).json()
    assert (done["status"], done["attempts"], done["error"]) == ("succeeded", 1, None)
    assert done["progress"]["done"] == 2
    assert done["finished_at"].endswith("Z")


async def test_jobs_are_listed_in_pages(api):
    ids = [await submit(api, f"text {number}") for number in range(3)]
    first = (await api.client.get("/v1/jobs?limit=2")).json()
    second = (await api.client.get(f"/v1/jobs?limit=2&cursor={first['next_cursor']}")).json()
    assert sorted(job["id"] for job in first["data"] + second["data"]) == sorted(ids)
    assert second["next_cursor"] is None
    assert (await api.client.get("/v1/jobs?status=running")).json()["data"] == []
    assert_problem(await api.client.get("/v1/jobs?status=lost"), 422)


async def test_cancelling_a_queued_job(api):
    job_id = await submit(api, "never read")
    cancelled = await api.client.delete(f"/v1/jobs/{job_id}")
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    await api.work()
    assert (await api.client.get(f"/v1/jobs/{job_id}")).json()["status"] == "cancelled"
    assert_problem(await api.client.delete(f"/v1/jobs/{job_id}"), 409, "conflict")
    assert_problem(await api.client.delete("/v1/jobs/job_none"), 404)


async def test_events_follow_a_job_to_its_end(api):
    job_id = await submit(api, "followed")
    following = asyncio.create_task(api.events("GET", f"/v1/jobs/{job_id}/events"))
    await asyncio.sleep(0)
    await api.work()
    events = await following
    names = [name for name, _ in events]
    assert names[-1] == "done"
    assert set(names[:-1]) == {"progress"}
    assert events[-1][1]["status"] == "succeeded"
    assert events[-1][1]["documents"][0]["status"] == "ready"


async def test_events_of_a_finished_job_end_at_once_and_of_none_are_404(api):
    job_id = await submit(api, "quick")
    await api.work()
    assert [name for name, _ in await api.events("GET", f"/v1/jobs/{job_id}/events")] == ["progress", "done"]
    assert_problem(await api.client.get("/v1/jobs/job_none/events"), 404)


async def test_default_always_exists_and_stays(api):
    listed = (await api.client.get("/v1/collections")).json()["data"]
    assert [collection["name"] for collection in listed] == ["default"]
    assert_problem(await api.client.delete("/v1/collections/default"), 422)


async def test_a_collection_from_birth_to_death(api):
    created = await api.client.post("/v1/collections", json={"name": "laws", "description": "All of them"})
    assert created.status_code == 201
    assert created.json()["generation"] == 0
    assert_problem(await api.client.post("/v1/collections", json={"name": "laws"}), 409, "conflict")
    document_id = await api.add("Article 1: be kind.", collection="laws")
    collection = (await api.client.get("/v1/collections/laws")).json()
    assert collection["description"] == "All of them"
    assert (collection["documents"], collection["chunks"]) == (1, 1)
    assert collection["chars"] == len("Article 1: be kind.")
    assert collection["generation"] >= 1
    assert collection["by_status"] == {"ready": 1}
    blobs = [path for path in (api.services.blobs.root).rglob("*") if path.is_file()]
    assert len(blobs) == 1
    deleted = await api.client.delete("/v1/collections/laws")
    assert deleted.json() == {"name": "laws", "deleted": True}
    assert_problem(await api.client.get("/v1/collections/laws"), 404)
    assert_problem(await api.client.get(f"/v1/documents/{document_id}"), 404)
    assert_problem(await api.client.post("/v1/search", json={"query": "kind", "collections": ["laws"]}), 404)
    assert [path for path in api.services.blobs.root.rglob("*") if path.is_file()] == []
    again = await api.client.post("/v1/collections", json={"name": "laws"})
    assert again.json()["documents"] == 0


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "..", "x" * 65, "a b", 5, None])
async def test_collection_names_are_checked(api, name):
    assert_problem(await api.client.post("/v1/collections", json={"name": name}), 422)


async def test_bytes_shared_with_another_collection_outlive_it(api):
    await api.client.post("/v1/collections", json={"name": "copy"})
    kept = await api.add("Shared words.")
    await api.add("Shared words.", collection="copy")
    await api.client.delete("/v1/collections/copy")
    record = api.services.catalog.get_document(kept)
    assert api.services.blobs.exists(record.sha256)
