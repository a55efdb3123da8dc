"""The Responses API with file search, spoken by the official `openai` client, unmodified."""

import openai
import pytest

from tests.contract.test_openai_chat import TEXT, client_of
from tests.unit.api.harness import parse_events, running

QUESTION = "What is the zebra fee?"


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


@pytest.fixture
async def client(api):
    async with client_of(api) as made:
        yield made


def search_in(*stores, **more):
    return [{"type": "file_search", "vector_store_ids": list(stores), **more}]


async def test_an_answer_with_file_citations_and_the_results_that_were_asked_for(api, client):
    document = await api.add(TEXT, title="fees.txt", metadata={"year": 2024, "tags": ["a", "b"]})
    done = await client.responses.create(
        model="default", input=QUESTION, tools=search_in("default"), include=["file_search_call.results"]
    )
    assert done.status == "completed"
    search, message = done.output
    assert (search.type, search.status, search.queries) == ("file_search_call", "completed", [QUESTION])
    assert search.results[0].file_id == document
    assert search.results[0].filename == "fees.txt"
    assert 0 < search.results[0].score <= 1
    assert search.results[0].attributes.items() >= {"year": 2024, "tags": "a, b"}.items()
    (part,) = message.content
    assert "30 euros" in part.text == done.output_text
    (annotation,) = part.annotations
    assert (annotation.type, annotation.file_id, annotation.filename) == ("file_citation", document, "fees.txt")
    assert 0 < annotation.index <= len(part.text)
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens


async def test_results_are_left_out_unless_asked_for(api, client):
    await api.add(TEXT)
    done = await client.responses.create(model="default", input=QUESTION)
    assert done.output[0].results is None


async def test_the_events_of_a_stream_come_in_order_and_add_up(api, client):
    await api.add(TEXT, title="fees.txt")
    stream = await client.responses.create(model="default", input=QUESTION, stream=True, tools=search_in("default"))
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    folded = [kind for place, kind in enumerate(kinds) if place == 0 or kind != kinds[place - 1]]
    assert folded == [
        "created", "in_progress", "output_item.added", "file_search_call.in_progress", "file_search_call.searching",
        "file_search_call.completed", "output_item.done", "output_item.added", "content_part.added",
        "output_text.delta", "output_text.annotation.added", "output_text.done", "content_part.done",
        "output_item.done", "completed",
    ]  # fmt: skip
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert len({event.response.id for event in events if hasattr(event, "response")}) == 1
    assert events[0].response.status == "in_progress"
    assert events[0].response.output == []


async def test_the_name_of_an_event_is_its_type(api):
    await api.add(TEXT)
    raw = (await api.client.post("/v1/responses", json={"model": "default", "input": QUESTION, "stream": True})).text
    assert all(name == data["type"] for name, data in parse_events(raw))


async def test_a_response_is_kept_continued_and_forgotten(api, client):
    await api.add(TEXT)
    first = await client.responses.create(model="default", input=QUESTION)
    assert (await client.responses.retrieve(first.id)).output_text == first.output_text
    second = await client.responses.create(model="default", input=QUESTION, previous_response_id=first.id)
    assert second.previous_response_id == first.id
    kept = api.services.catalog.get_answer(second.id)["conversation"]
    assert [(m["role"], m["content"]) for m in kept] == [
        ("user", QUESTION), ("assistant", first.output_text), ("user", QUESTION), ("assistant", second.output_text),
    ]  # fmt: skip
    await client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(first.id)
    unkept = await client.responses.create(model="default", input=QUESTION, store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(unkept.id)


async def test_a_stored_response_goes_with_the_document_that_it_quotes(api, client):
    document = await api.add(TEXT)
    done = await client.responses.create(model="default", input=QUESTION)
    await api.client.delete(f"/v1/documents/{document}")
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(done.id)


async def test_stores_and_filters_choose_what_is_searched(api, client):
    await api.client.post("/v1/collections", json={"name": "other"})
    await api.add("The zebra fee is 10 euros.", metadata={"year": 2020})
    await api.add("The zebra fee is 99 euros.", collection="other", metadata={"year": 2024})
    elsewhere = await client.responses.create(model="default", input=QUESTION, tools=search_in("other"))
    assert "99 euros" in elsewhere.output_text
    recent = {"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2022}]}
    both = await client.responses.create(
        model="default", input=QUESTION, tools=search_in("default", "other", filters=recent, max_num_results=1)
    )
    assert "99 euros" in both.output_text
    old = {"type": "or", "filters": [{"type": "eq", "key": "year", "value": y} for y in (2019, 2020)]}
    past = await client.responses.create(
        model="default", input=QUESTION, tools=search_in("default", "other", filters=old)
    )
    assert "10 euros" in past.output_text


@pytest.mark.parametrize(
    "filters",
    [
        {"type": "like", "key": "a", "value": "b"},
        {"type": "eq", "key": "a"},
        {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}, {"type": "eq", "key": "b", "value": 1}]},
        {"type": "and", "filters": []},
        {"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}, {"type": "eq", "key": "a", "value": 2}]},
    ],
)
async def test_filters_that_can_not_be_said_are_refused(client, filters):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="default", input="x", tools=search_in("default", filters=filters))
    assert refused.value.param.startswith("tools.0.filters")


async def test_a_conversation_as_items(api, client):
    await api.add(TEXT)
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
        {"type": "function_call_output", "call_id": "c", "output": "ignored"},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
    ]
    done = await client.responses.create(model="default", input=items)
    assert "30 euros" in done.output_text
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="default", input=[])
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.create(model="default", input="x", tools=search_in("nowhere"))
    assert missing.value.code == "model_not_found"


async def test_a_failure_in_mid_stream_fails_the_response_without_saying_why_inside(api, client):
    await api.add(TEXT)

    def fail(_):
        raise RuntimeError("a secret of the inside")

    api.generator.on_generate = fail
    stream = await client.responses.create(model="default", input=QUESTION, stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"
    assert "secret" not in events[-1].response.error.message
