"""What Open WebUI and LibreChat send, answered: people's questions from the documents, their own prompts without."""

import json

import pytest

from app.api.openai.chat_bodies import generation_options
from app.settings import GenerationSettings, RemoteSettings, Settings
from tests.contract import front_end_requests as recorded
from tests.contract.front_end_requests import QUESTION
from tests.unit.api.harness import parse_events, running

TEXT = "Prelude.\n\nThe zebra fee is 30 euros. Nothing else costs anything."


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        await running_api.add(TEXT, title="Fees")
        yield running_api


async def chat(api, body, **headers):
    """The message of a completion, streamed or not, with what came beside it."""
    response = await api.client.post("/v1/chat/completions", json=body, headers=headers)
    assert response.status_code == 200, response.text
    if not body.get("stream"):
        whole = response.json()
        return whole["choices"][0]["message"], whole
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk.get("choices")]
    message = {
        "content": "".join(delta.get("content") or "" for delta in deltas),
        "annotations": [note for delta in deltas for note in delta.get("annotations", [])],
        "tool_calls": [call for delta in deltas for call in delta.get("tool_calls", [])],
    }
    return message, chunks


@pytest.mark.parametrize(
    "body", [recorded.open_webui_chat(), recorded.librechat_chat()], ids=["open-webui", "librechat"]
)
async def test_a_turn_is_answered_from_the_documents(api, body):
    message, chunks = await chat(api, body)
    assert "30 euros" in message["content"]
    assert message["annotations"][0]["url_citation"]["title"] == "Fees"
    assert chunks[-1]["usage"]["total_tokens"] > 0
    (prompt,) = api.generator.prompts
    assert prompt.question == QUESTION
    assert "pirate" not in prompt.text


async def test_open_webui_gets_its_sources_when_it_says_who_asks(api):
    _, chunks = await chat(api, recorded.open_webui_chat(), **{"X-OpenWebUI-User-Id": "u1", "X-OpenWebUI-Chat-Id": "c"})
    (source,) = [chunk["event"]["data"] for chunk in chunks if "event" in chunk]
    assert source["document"] == ["The zebra fee is 30 euros."]
    assert source["source"]["name"] == "Fees"
    assert len({item["source"] for item in source["metadata"]}) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (recorded.OPEN_WEBUI_TITLE, {"title": "What is the zebra fee"}),
        (recorded.OPEN_WEBUI_TAGS, {"tags": ["Zebra", "Fee"]}),
        (recorded.OPEN_WEBUI_FOLLOW_UPS, {"follow_ups": []}),
        (recorded.OPEN_WEBUI_QUERIES, {"queries": [QUESTION]}),
        (recorded.OPEN_WEBUI_IMAGE, {"prompt": QUESTION}),
        (recorded.OPEN_WEBUI_AUTOCOMPLETE, {"text": ""}),
        (recorded.OPEN_WEBUI_TOOLS, {"tool_calls": []}),
        (recorded.LIBRECHAT_STRUCTURED_TITLE, {"title": "What is the zebra fee", "language": "en"}),
    ],
    ids=["title", "tags", "follow-ups", "queries", "image", "autocomplete", "tools", "librechat-structured"],
)
async def test_a_front_ends_own_prompt_is_answered_as_json_without_searching(api, body, expected, stream):
    message, _ = await chat(api, body | {"stream": stream})
    assert json.loads(message["content"]) == expected
    assert api.generator.prompts == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [(recorded.LIBRECHAT_TITLE, "What is the zebra fee"), (recorded.OPEN_WEBUI_EMOJI, "💬")],
    ids=["librechat-title", "emoji"],
)
async def test_a_front_ends_own_prompt_for_plain_text(api, body, expected):
    message, whole = await chat(api, body)
    assert message["content"] == expected
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert api.generator.prompts == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_title_that_must_come_as_a_function_call_does(api, stream):
    message, _ = await chat(api, recorded.LIBRECHAT_FUNCTION_TITLE | {"stream": stream})
    (call,) = message["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "extract")
    assert json.loads(call["function"]["arguments"]) == {"title": "What is the zebra fee", "language": "en"}
    assert not message["content"]


async def test_titles_through_the_responses_api_search_nothing_either(api):
    body = {"model": "default", "input": recorded.LIBRECHAT_ASSISTANT_TITLE, "max_output_tokens": 20, "store": False}
    whole = (await api.client.post("/v1/responses", json=body)).json()
    assert [item["type"] for item in whole["output"]] == ["message"]
    assert whole["output"][0]["content"][0]["text"] == "What is the zebra fee"
    events = parse_events((await api.client.post("/v1/responses", json=body | {"stream": True})).text)
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    assert (events[0][0], events[-1][0]) == ("response.created", "response.completed")
    assert "".join(data["delta"] for name, data in events if name.endswith("delta")) == "What is the zebra fee"
    assert api.generator.prompts == []


@pytest.mark.parametrize("around", [False, True])
async def test_a_file_on_the_chat_does_not_bury_the_question(api, around):
    message, whole = await chat(api, recorded.open_webui_with_file(around=around))
    assert "30 euros" in message["content"]
    assert api.generator.prompts[-1].question == QUESTION
    assert "attached passages of its own" in whole["attest"]["warnings"][0]
    body = {"model": "default", "input": recorded.open_webui_with_file(around=around)["messages"][0]["content"]}
    await api.client.post("/v1/responses", json=body)
    assert api.generator.prompts[-1].question == QUESTION


async def test_words_in_angle_brackets_are_a_persons_own(api):
    typed = "What does <context>fee</context> mean for the zebra fee?"
    _, whole = await chat(api, {"model": "default", "messages": [{"role": "user", "content": typed}]})
    assert api.generator.prompts[-1].question == typed
    assert whole["attest"]["warnings"] == []


async def test_fields_that_are_null_were_not_set(api):
    body = {"model": "default", "messages": [{"role": "user", "content": QUESTION, "name": None}], **recorded.NULLS}
    message, _ = await chat(api, body)
    assert "30 euros" in message["content"]
    nulls = {"tools": None, "include": None, "stream": None, "store": None, "metadata": None, "temperature": None}
    response = await api.client.post("/v1/responses", json={"model": "default", "input": QUESTION, **nulls})
    assert response.status_code == 200, response.text
    embedded = {"model": "m", "input": "x", "encoding_format": None, "dimensions": None, "user": None}
    assert (await api.client.post("/v1/embeddings", json=embedded)).status_code == 200


@pytest.mark.parametrize("limit", [{"max_tokens": 0}, {"max_tokens": -1}, {"max_completion_tokens": -1}])
async def test_no_limit_written_as_a_number_is_no_limit(api, limit):
    message, _ = await chat(api, recorded.open_webui_chat(stream=False) | limit)
    assert "30 euros" in message["content"]


def options_of(api):
    """What the generator was told, question by question."""
    told = []
    generate = api.generator.generate

    def noting(prompt, options, cancelled=lambda: False):
        told.append(options)
        return generate(prompt, options, cancelled)

    api.generator.generate = noting
    return told


async def ask_everywhere(api):
    """One question on every surface that a front-end speaks, with the sampling that it sends by itself."""
    sampling = {"temperature": 0.9, "top_p": 0.8, "seed": 3}
    turn = {"model": "default", "messages": [{"role": "user", "content": QUESTION}], **sampling}
    await chat(api, turn)
    await chat(api, turn | {"stream": True})
    for stream in (False, True):
        body = {"model": "default", "input": QUESTION, "temperature": 0.9, "stream": stream}
        assert (await api.client.post("/v1/responses", json=body)).status_code == 200


async def test_a_front_ends_temperature_does_not_make_the_bundled_reader_guess(api):
    told = options_of(api)
    await ask_everywhere(api)
    assert [options.temperature for options in told] == [0.0] * 4
    asked = {"question": QUESTION, "generation": {"temperature": 0.9}}
    assert (await api.client.post("/v1/ask", json=asked)).status_code == 200
    assert told[-1].temperature == 0.9  # our own API does what it is told


async def test_a_language_model_gets_the_temperature_that_was_asked_for(tmp_path):
    generation = GenerationSettings(model="remote:any", remote=RemoteSettings(base_url="http://127.0.0.1:9/v1"))
    async with running(tmp_path / "home", generation=generation) as api:
        await api.add(TEXT)
        told = options_of(api)
        await ask_everywhere(api)
        assert [options.temperature for options in told] == [0.9] * 4


@pytest.mark.parametrize(("model", "temperature"), [(None, 0.0), ("bundled", 0.0), ("remote:any", 0.7), ("any", 0.7)])
def test_the_temperature_goes_with_the_model_that_answers(model, temperature):
    remote = RemoteSettings(base_url="http://127.0.0.1:9/v1")
    settings = Settings(generation=GenerationSettings(models=("remote:any",), remote=remote))
    options = generation_options(model, settings, max_tokens=None, temperature=0.7, top_p=None, seed=None)
    assert options.temperature == temperature
