"""Many streaming clients at once on a live server: every one gets its own whole answer, and nobody is left waiting."""

import asyncio
import json
import threading

import httpx

from app.settings import ServerSettings
from tests.e2e.test_api import TIMEOUT_S, Held, serving, wait_until
from tests.unit.api.harness import parse_events

ANIMALS = (
    "aardvark", "badger", "camel", "dingo", "emu", "ferret", "gibbon", "heron", "ibis", "jackal", "koala", "lemur",
    "marmot", "newt", "ocelot", "panda", "quail", "rhino", "serval", "tapir", "urchin", "vole", "walrus", "yak",
    "zebra", "wombat", "toucan", "sloth", "puffin", "otter", "moose", "lynx",
)  # fmt: skip


async def told_by_ask(client, question):
    response = await client.post("/v1/ask", json={"question": question, "stream": True})
    assert response.status_code == 200, response.text
    events = parse_events(response.text)
    assert events[-1][0] == "done"
    assert "".join(data["text"] for name, data in events if name == "token") == events[-1][1]["answer"]
    return events[-1][1]["answer"], [citation["quote"] for citation in events[-1][1]["citations"]]


async def told_by_chat(client, question):
    messages = [{"role": "user", "content": question}]
    response = await client.post(
        "/v1/chat/completions", json={"model": "default", "messages": messages, "stream": True}
    )
    assert response.status_code == 200, response.text
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    return text, [citation["quote"] for citation in chunks[-1]["citations"]]


async def told_by_responses(client, question):
    response = await client.post("/v1/responses", json={"model": "default", "input": question, "stream": True})
    assert response.status_code == 200, response.text
    events = parse_events(response.text)
    assert events[-1][0] == "response.completed"
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    text = "".join(data["delta"] for name, data in events if name == "response.output_text.delta")
    return text, [citation["quote"] for citation in events[-1][1]["response"]["citations"]]


def test_32_clients_get_32_different_answers_each_its_own(tmp_path):
    documents = [
        {"text": f"The {name} ticket costs {price} euros.", "id": name} for price, name in enumerate(ANIMALS, start=11)
    ]
    surfaces = (told_by_ask, told_by_chat, told_by_responses)
    with serving(tmp_path / "home") as (running, client):
        client.post("/v1/documents", json={"documents": documents}).raise_for_status()
        running.work()
        held = running.generator.on_generate = Held()

        async def everybody():
            async with httpx.AsyncClient(
                base_url=running.url, timeout=TIMEOUT_S * 3, limits=httpx.Limits(max_connections=None)
            ) as crowd:
                asking = [
                    surfaces[number % 3](crowd, f"What does the {name} ticket cost?")
                    for number, name in enumerate(ANIMALS)
                ]
                return await asyncio.gather(*asking)

        models = running.app.state.attest.models
        all_in = threading.Thread(target=lambda: (wait_until(lambda: models.depth == len(ANIMALS)), held.let_go.set()))
        all_in.start()  # nobody is answered before all of them are in
        answers = asyncio.run(everybody())
        all_in.join(TIMEOUT_S)
        assert models.depth == 0
    for price, (name, (text, quotes)) in enumerate(zip(ANIMALS, answers, strict=True), start=11):
        assert quotes == [f"The {name} ticket costs {price} euros."], name
        assert f"{price} euros" in text, name


def test_a_key_that_fills_its_queue_leaves_the_other_keys_their_turn(tmp_path):
    server = ServerSettings(model_threads=1, model_queue=4)
    with serving(tmp_path / "home", server=server, api_keys="greedy,modest") as (running, client):
        client.headers["Authorization"] = "Bearer greedy"
        client.post("/v1/documents", json={"text": "The zebra fee is 30 euros."}).raise_for_status()
        running.work()
        held = running.generator.on_generate = Held()
        models = running.app.state.attest.models

        async def everybody():
            async with httpx.AsyncClient(base_url=running.url, timeout=TIMEOUT_S) as crowd:

                def ask(key, question):
                    headers = {"Authorization": f"Bearer {key}"}
                    return asyncio.ensure_future(crowd.post("/v1/ask", json={"question": question}, headers=headers))

                many = [ask("greedy", f"What is the zebra fee? {number}") for number in range(8)]
                while sum(one.done() for one in many) < 3:  # these are refused at once
                    await asyncio.wait(many, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.sleep(0.01)
                one = ask("modest", "What is the modest zebra fee?")
                await asyncio.to_thread(wait_until, lambda: models.depth == 6)
                held.let_go.set()
                return await asyncio.gather(*many), await one

        greedy, modest = asyncio.run(everybody())
        assert modest.status_code == 200
        assert sorted(response.status_code for response in greedy) == [200] * 5 + [429] * 3
        asked = [prompt.question for prompt in running.generator.prompts]
        assert asked.index("What is the modest zebra fee?") <= 2  # after the one that ran and one of the line
