"""Chat completions, models, embeddings and rerank, spoken by the official `openai` client, unmodified."""

import base64
import json

import httpx
import numpy as np
import openai
import pytest

from app.settings import LimitSettings, ServerSettings
from tests.unit.api.harness import BASE_URL, running

TEXT = "Prelude.\n\nThe zebra fee is 30 euros. Nothing else costs anything."
ASK = [{"role": "user", "content": "What is the zebra fee?"}]


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


def client_of(api, key="none"):
    transport = api.client._transport
    return openai.AsyncOpenAI(
        base_url=f"{BASE_URL}/v1",
        api_key=key,
        max_retries=0,
        http_client=httpx.AsyncClient(transport=transport, base_url=BASE_URL),
    )


@pytest.fixture
async def client(api):
    async with client_of(api) as made:
        yield made


async def test_a_collection_answers_as_a_model_with_annotations(api, client):
    document = await api.add(TEXT, title="Fees", source_url="https://x.example/fees")
    done = await client.chat.completions.create(model="default", messages=ASK)
    assert done.object == "chat.completion"
    assert done.model == "default"
    assert done.id.startswith("chatcmpl-")
    (choice,) = done.choices
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert "30 euros" in choice.message.content
    (annotation,) = choice.message.annotations
    assert annotation.type == "url_citation"
    cited = annotation.url_citation
    assert (cited.url, cited.title) == ("https://x.example/fees", "Fees")
    assert "30 euros" in choice.message.content[cited.start_index : cited.end_index]
    (citation,) = done.model_extra["citations"]
    text = await api.text(document)
    assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0
    assert done.model_extra["attest"]["abstained"] is False


async def test_without_a_source_address_the_link_opens_our_page_at_the_words(api, client):
    document = await api.add(TEXT, title="Fees")
    done = await client.chat.completions.create(model="default", messages=ASK)
    (citation,) = done.model_extra["citations"]
    url = done.choices[0].message.annotations[0].url_citation.url
    assert url.startswith(f"{BASE_URL}/#/documents/{document}?")
    assert f"start={citation['char_start']}&end={citation['char_end']}" in url


async def test_a_stream_is_one_completion_in_pieces(api, client):
    await api.add(TEXT, title="Fees")
    whole = await client.chat.completions.create(model="default", messages=ASK)
    stream = await client.chat.completions.create(
        model="default", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert len({chunk.id for chunk in chunks}) == len({chunk.created for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    told = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in told) == whole.choices[0].message.content
    assert [choice.finish_reason for choice in told] == [None] * (len(told) - 1) + ["stop"]
    annotations = [a for choice in told for a in (choice.delta.model_extra or {}).get("annotations", [])]
    assert annotations == [a.model_dump() for a in whole.choices[0].message.annotations]
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    finish = next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason)
    assert finish.model_extra["citations"] == whole.model_extra["citations"]


async def test_a_stream_ends_with_done_and_has_no_usage_unless_asked(api):
    await api.add(TEXT)
    request = {"model": "default", "messages": ASK, "stream": True}
    response = await api.client.post("/v1/chat/completions", json=request)
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    assert all("usage" not in json.loads(line) for line in lines[:-1])


async def test_unknown_parameters_parts_and_system_prompts_are_taken(api, client):
    await api.add(TEXT)
    done = await client.chat.completions.create(
        model="default",
        messages=[
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Ahoy"},
            {"role": "user", "content": [{"type": "text", "text": "What is the zebra fee?"}]},
        ],
        temperature=0.7,
        top_p=0,
        n=1,
        presence_penalty=0.1,
        logit_bias={"50256": -100},
        extra_body={"chat_id": "x", "features": {"web_search": False}},
    )
    assert "30 euros" in done.choices[0].message.content
    assert api.generator.prompts[-1].question == "What is the zebra fee?"


async def test_a_refusal_is_an_answer_without_citations(api, client):
    await api.add(TEXT)
    done = await client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": "Who painted the harbour bridge mural?"}]
    )
    assert done.choices[0].message.content == "The documents don't say."
    assert done.choices[0].message.annotations == []
    assert done.model_extra["attest"]["abstained"] is True


async def test_errors_have_openais_shape(api, client):
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="nobody", messages=ASK)
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as empty:
        await client.chat.completions.create(model="default", messages=[])
    assert empty.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="role user"):
        await client.chat.completions.create(model="default", messages=[{"role": "system", "content": "x"}])
    broken = await api.client.post("/v1/chat/completions", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400
    assert set(broken.json()) == {"error"}
    assert set(broken.json()["error"]) >= {"message", "type", "param", "code"}


async def test_keys_are_needed_and_bind_to_collections(tmp_path):
    keys = "right-key:read+write,other-key:read:elsewhere"
    async with running(tmp_path / "home", api_keys=keys) as api:
        api.client.headers["Authorization"] = "Bearer right-key"
        await api.add(TEXT)
        async with client_of(api, "wrong-key") as wrong:
            with pytest.raises(openai.AuthenticationError) as refused:
                await wrong.models.list()
            assert refused.value.code == "invalid_api_key"
        async with client_of(api, "other-key") as other:
            with pytest.raises(openai.PermissionDeniedError):
                await other.chat.completions.create(model="default", messages=ASK)
            assert [model.id async for model in await other.models.list()] == [api.encoder.name.rpartition("-")[0]]
        async with client_of(api, "right-key") as right:
            assert (
                "30 euros"
                in (await right.chat.completions.create(model="default", messages=ASK)).choices[0].message.content
            )


async def test_overload_is_a_rate_limit_error_with_a_wait(tmp_path):
    limits = LimitSettings(requests_per_minute=1)
    async with running(tmp_path / "home", limits=limits) as api, client_of(api) as client:
        await client.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            await client.models.list()
        assert int(refused.value.response.headers["retry-after"]) >= 1


async def test_a_failure_in_mid_stream_is_told_and_ends_the_stream(api):
    await api.add(TEXT)

    def fail(_):
        raise RuntimeError("a secret of the inside")

    api.generator.on_generate = fail
    request = {"model": "default", "messages": ASK, "stream": True}
    raw = (await api.client.post("/v1/chat/completions", json=request)).text
    lines = [line.removeprefix("data: ") for line in raw.split("\n") if line.startswith("data: ")]
    assert json.loads(lines[-2])["error"]["type"] == "server_error"
    assert lines[-1] == "[DONE]"
    assert "secret" not in raw


@pytest.mark.parametrize("asked_by", ["setting", "header"])
async def test_open_webui_gets_its_source_frames(tmp_path, asked_by):
    server = ServerSettings(open_webui_sources=asked_by == "setting")
    async with running(tmp_path / "home", server=server) as api:
        document = await api.add(TEXT, title="Fees")
        headers = {"X-OpenWebUI-User-Id": "u1"} if asked_by == "header" else {}
        request = {"model": "default", "messages": ASK, "stream": True}
        raw = (await api.client.post("/v1/chat/completions", json=request, headers=headers)).text
        frames = [json.loads(line[6:]) for line in raw.split("\n") if line.startswith('data: {"event"')]
        (frame,) = frames
        assert frame["event"]["type"] == "source"
        data = frame["event"]["data"]
        assert data["source"]["name"] == "Fees"
        assert data["document"] == ["The zebra fee is 30 euros."]
        assert data["metadata"][0]["document_id"] == document
        assert data["metadata"][0]["source"].startswith(document)
        assert len(data["distances"]) == 1


async def test_clients_that_know_no_source_frames_read_over_them(tmp_path):
    async with (
        running(tmp_path / "home", server=ServerSettings(open_webui_sources=True)) as api,
        client_of(api) as client,
    ):
        await api.add(TEXT, title="Fees")
        async with client.chat.completions.stream(model="default", messages=ASK) as stream:
            final = await stream.get_final_completion()
        assert "30 euros" in final.choices[0].message.content
        plain = await client.chat.completions.create(model="default", messages=ASK, stream=True)
        chunks = [chunk async for chunk in plain]
        assert any("event" in chunk.model_extra for chunk in chunks)
        assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
        assert len({chunk.id for chunk in chunks}) == 1


async def test_models_are_the_collections_and_the_embedder(api, client):
    await api.client.post("/v1/collections", json={"name": "contracts", "description": "All contracts"})
    models = [model async for model in await client.models.list()]
    assert [model.id for model in models] == ["contracts", "default", api.encoder.name.rpartition("-")[0]]
    one = await client.models.retrieve("contracts")
    assert (one.object, one.owned_by) == ("model", "attest")
    assert (await client.models.retrieve("default:bundled")).id == "default:bundled"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody")


async def test_embeddings_are_the_indexs_own_in_both_encodings(api, client):
    texts = ["zebra fee", "中国的首都"]
    expected = api.encoder.encode_passages(texts)
    plain = await client.embeddings.create(model="x", input=texts, encoding_format="float")
    assert np.allclose([item.embedding for item in plain.data], expected, atol=1e-6)
    assert [item.index for item in plain.data] == [0, 1]
    assert plain.usage.total_tokens == sum(api.encoder.count_tokens(texts))
    raw = await api.client.post("/v1/embeddings", json={"model": "x", "input": texts[0], "encoding_format": "base64"})
    packed = base64.b64decode(raw.json()["data"][0]["embedding"])
    assert np.allclose(np.frombuffer(packed, "<f4"), expected[0], atol=1e-7)
    assert np.allclose((await client.embeddings.create(model="x", input=texts[0])).data[0].embedding, expected[0])


async def test_many_embeddings_come_in_their_order_though_they_are_made_in_turns(api, client):
    texts = [f"text number {number}" for number in range(150)]
    made = await client.embeddings.create(model="x", input=texts)
    assert np.allclose([item.embedding for item in made.data], api.encoder.encode_passages(texts), atol=1e-6)
    assert made.usage.total_tokens == sum(api.encoder.count_tokens(texts))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": ["a"] * 2_049}, "input"),
        ({"input": "a", "dimensions": 7}, "dimensions"),
    ],
)
async def test_embeddings_refuse_what_they_can_not_embed(api, body, param):
    response = await api.client.post("/v1/embeddings", json={"model": "x", **body})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


async def test_rerank_returns_every_document_with_its_index(api):
    documents = ["The bridge is blue.", {"text": "The zebra fee is 30 euros."}, "Zebra crossings are free."]
    body = {"model": "any", "query": "What is the zebra fee?", "documents": documents}
    found = (await api.client.post("/v1/rerank", json=body)).json()
    assert sorted(result["index"] for result in found["results"]) == [0, 1, 2]
    assert found["results"][0]["index"] == 1
    scores = [result["relevance_score"] for result in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    cut = (await api.client.post("/v1/rerank", json={**body, "top_n": 1, "return_documents": True})).json()
    assert cut["results"][0]["document"] == {"text": "The zebra fee is 30 euros."}
    assert len(cut["results"]) == 1
    bad = await api.client.post("/v1/rerank", json={**body, "documents": [{"title": "no text"}]})
    assert bad.status_code == 400
    assert bad.json()["error"]["param"] == "documents.0"
