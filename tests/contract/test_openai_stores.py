"""Files and vector stores: the official `openai` client uploads, waits and searches without change."""

import json

import openai
import pytest

from tests.contract.live import working
from tests.contract.test_openai_chat import client_of
from tests.unit.api.harness import running

TEXT = b"The zebra fee is 30 euros. Nothing else costs anything."


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


@pytest.fixture
async def client(api):
    async with client_of(api) as made:
        yield made


async def test_upload_wait_search_and_delete(api, client):
    store = await client.vector_stores.create(name="Zebra files", metadata={"team": "zoo"})
    assert (store.id, store.name, store.metadata) == ("Zebra-files", "Zebra files", {"team": "zoo"})
    assert store.file_counts.total == 0
    file = await client.files.create(file=("fees.txt", TEXT), purpose="assistants")
    assert (file.filename, file.bytes, file.status) == ("fees.txt", len(TEXT), "processed")
    async with working(api):
        attached = await client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, poll_interval_ms=20
        )
    assert (attached.id, attached.status, attached.last_error) == (file.id, "completed", None)
    assert (await client.vector_stores.retrieve(store.id)).file_counts.completed == 1
    found = await client.vector_stores.search(store.id, query="zebra fee")
    (hit,) = found.data
    assert hit.file_id == file.id
    assert hit.filename == "fees.txt"
    assert hit.content[0].text == TEXT.decode()
    assert 0 < hit.score <= 1
    assert found.model_extra["search_query"] == ["zebra fee"]
    done = await client.responses.create(
        model="default",
        input="What is the zebra fee?",
        tools=[{"type": "file_search", "vector_store_ids": [store.id]}],
        include=["file_search_call.results"],
    )
    assert "30 euros" in done.output_text
    assert done.output[1].content[0].annotations[0].file_id == file.id
    content = await client.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert content.data[0].text == TEXT.decode()
    assert (await client.files.content(file.id)).content == TEXT

    assert (await client.vector_stores.files.delete(file.id, vector_store_id=store.id)).deleted
    assert (await client.vector_stores.search(store.id, query="zebra fee")).data == []
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.files.retrieve(file.id, vector_store_id=store.id)
    assert (await client.files.content(file.id)).content == TEXT  # the upload stays until it is deleted itself
    assert (await client.files.delete(file.id)).deleted
    assert list(api.services.blobs.sha256s()) == []
    assert (await client.vector_stores.delete(store.id)).deleted
    assert [item.id async for item in client.vector_stores.list()] == ["default"]


async def test_deleting_a_file_takes_it_out_of_every_store(api, client):
    first = await client.vector_stores.create(name="one")
    second = await client.vector_stores.create(name="two")
    file = await client.files.create(file=("fees.txt", TEXT), purpose="assistants")
    for store in (first, second):
        await client.vector_stores.files.create(store.id, file_id=file.id)
    await api.work()
    for store in (first, second):
        assert (await client.vector_stores.files.retrieve(file.id, vector_store_id=store.id)).status == "completed"
        (hit,) = (await client.vector_stores.search(store.id, query="zebra")).data
        assert hit.file_id == file.id
    await client.files.delete(file.id)
    for store in (first, second):
        assert (await client.vector_stores.search(store.id, query="zebra")).data == []
    assert list(api.services.blobs.sha256s()) == []


async def test_bytes_that_are_there_already_are_found_under_the_new_file(api, client):
    await api.add(TEXT.decode(), id="earlier")
    file = await client.files.create(file=("fees.txt", TEXT), purpose="assistants")
    attached = await client.vector_stores.files.create("default", file_id=file.id)
    assert (attached.id, attached.status) == (file.id, "completed")
    assert [item.id async for item in client.vector_stores.files.list("default")] == ["earlier"]
    await client.vector_stores.files.delete("earlier", vector_store_id="default")
    assert (await client.files.content(file.id)).content == TEXT  # the file still needs the bytes


async def test_a_batch_goes_through_file_by_file(api, client):
    store = await client.vector_stores.create(name="batch")
    good = await client.files.create(file=("good.txt", TEXT), purpose="assistants")
    bad = await client.files.create(file=("bad.pdf", b"%PDF-1.7 broken"), purpose="assistants")
    async with working(api):
        batch = await client.vector_stores.file_batches.create_and_poll(
            store.id, file_ids=[good.id, bad.id], poll_interval_ms=20
        )
    assert batch.status == "completed"
    counts = batch.file_counts
    assert (counts.total, counts.completed, counts.failed, counts.in_progress) == (2, 1, 1, 0)
    failed = await client.vector_stores.files.retrieve(bad.id, vector_store_id=store.id)
    assert failed.status == "failed"
    assert failed.last_error.code == "invalid_file"
    assert failed.last_error.message
    shown = await client.vector_stores.files.list(store.id, filter="failed")
    assert [item.id for item in shown.data] == [bad.id]
    listed = await client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
    assert {item.id for item in listed.data} == {good.id, bad.id}


async def test_a_batch_can_be_cancelled(api, client):
    store = await client.vector_stores.create(name="batch")
    file = await client.files.create(file=("good.txt", TEXT), purpose="assistants")
    batch = await client.vector_stores.file_batches.create(store.id, file_ids=[file.id])
    assert batch.status == "in_progress"
    stopped = await client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert stopped.status == "cancelled"
    assert stopped.file_counts.cancelled == 1


async def test_attributes_filter_the_search(api, client):
    store = await client.vector_stores.create(name="years")
    for year in (2020, 2024):
        file = await client.files.create(
            file=(f"{year}.txt", f"The zebra fee of {year}.".encode()), purpose="assistants"
        )
        await client.vector_stores.files.create(store.id, file_id=file.id, attributes={"year": year})
    await api.work()
    recent = {"type": "gt", "key": "year", "value": 2022}
    (hit,) = (await client.vector_stores.search(store.id, query="zebra fee", filters=recent)).data
    assert hit.attributes["year"] == 2024


async def test_lists_come_in_pages(api, client):
    ids = [
        (await client.files.create(file=(f"{n}.txt", f"file {n}".encode()), purpose="assistants")).id for n in range(5)
    ]
    assert [item.id async for item in client.files.list(limit=2)] == ids[::-1]
    assert [item.id async for item in client.files.list(limit=2, order="asc")] == ids
    assert [item.id async for item in client.files.list(purpose="batch")] == []
    store = await client.vector_stores.create(name="pages", file_ids=ids)
    await api.work()
    assert [item.id async for item in client.vector_stores.files.list(store.id, limit=2, order="asc")] == ids
    for n in range(3):
        await client.vector_stores.create(name=f"s{n}")
    names = [item.id async for item in client.vector_stores.list(limit=2, order="asc")]
    assert names == ["default", "pages", "s0", "s1", "s2"]


async def test_names_need_not_be_unique_and_can_change(api, client):
    first = await client.vector_stores.create(name="same")
    second = await client.vector_stores.create(name="same")
    assert first.id == "same"
    assert second.id.startswith("same-")
    changed = await client.vector_stores.update(second.id, name="other", metadata={"a": "b"})
    assert (changed.id, changed.name, changed.metadata) == (second.id, "other", {"a": "b"})
    nameless = await client.vector_stores.create()
    assert nameless.id.startswith("vs_")


async def test_a_store_of_a_missing_file_is_not_made(api, client):
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.create(name="half", file_ids=["file_none"])
    assert [item.id async for item in client.vector_stores.list()] == ["default"]


async def test_what_is_missing_is_said(api, client):
    for call in (
        client.files.retrieve("file_none"),
        client.files.delete("file_none"),
        client.vector_stores.retrieve("nowhere"),
        client.vector_stores.files.create("default", file_id="file_none"),
        client.vector_stores.search("nowhere", query="x"),
    ):
        with pytest.raises(openai.NotFoundError):
            await call
    with pytest.raises(openai.BadRequestError):
        await client.vector_stores.search("default", query=" ")
    for form in ({"data": {"purpose": "assistants"}, "files": {"other": ("a.txt", b"a")}}, {"json": {}}):
        refused = await api.client.post("/v1/files", **form)
        assert refused.status_code == 400, refused.text
        assert set(json.loads(refused.text)) == {"error"}


async def test_a_key_limited_to_a_collection_sees_its_own_files_only(tmp_path):
    async with running(tmp_path / "home", api_keys="full,team:read+write:team") as api:
        api.client.headers["Authorization"] = "Bearer full"
        await api.client.post("/v1/collections", json={"name": "team"})
        async with client_of(api, "full") as full, client_of(api, "team") as team:
            secret = await full.files.create(file=("secret.txt", TEXT), purpose="assistants")
            own = await team.files.create(file=("own.txt", b"own words"), purpose="assistants")
            assert [item.id async for item in team.files.list()] == [own.id]
            assert {item.id async for item in full.files.list()} == {own.id, secret.id}
            for call in (team.files.content(secret.id), team.vector_stores.files.create("team", file_id=secret.id)):
                with pytest.raises(openai.NotFoundError):
                    await call
            for call in (
                team.vector_stores.search("default", query="x"),
                team.vector_stores.create(name="mine"),
                team.vector_stores.files.create("default", file_id=own.id),
            ):
                with pytest.raises(openai.PermissionDeniedError):
                    await call
            assert [item.id async for item in team.vector_stores.list()] == ["team"]
