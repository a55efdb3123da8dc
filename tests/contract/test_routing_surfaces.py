"""Routing through every surface that asks: chat completions, responses, Dify, MCP and the command line.

One key may touch one collection; whatever it says, and wherever it says it, routes to others take no part.
"""

import asyncio
import contextlib
import json

import httpx
import pytest

from app.cli import ask as command
from app.cli.client import Server
from app.settings import RoutingSettings, SqlSettings
from tests.contract.live import listening
from tests.contract.test_mcp import connected
from tests.contract.test_routing import DECLARED, KEYS, LEAVE, key
from tests.unit.api.harness import parse_events, running
from tests.unit.query.routing.declared import shop

VACATION = "How many vacation days?"
ORDERS = "How many orders did Ada place?"
MEETING = "The team meets on Monday."


@contextlib.asynccontextmanager
async def serving(home):
    """Two collections with a route each, a table with one, and a greeting."""
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "routing": RoutingSettings.model_validate(DECLARED),
        "sql": SqlSettings(sources={"shop": shop(home / "shop.db")}),
    }
    async with running(home / "home", api_keys=KEYS, **settings) as api:
        api.client.headers["Authorization"] = "Bearer full"
        for name in ("hr", "team"):
            await api.client.post("/v1/collections", json={"name": name, "description": f"Documents of {name}"})
        await api.add(LEAVE, collection="hr")
        await api.add(MEETING, collection="team")
        for name, body in {
            "leave": {"collections": ["hr"], "description": "Vacation days", "examples": [VACATION]},
            "meet": {"collections": ["team"], "description": "Meetings", "examples": ["When does the team meet?"]},
        }.items():
            assert (await api.client.put(f"/v1/routes/{name}", json=body)).status_code == 201
        yield api


@pytest.fixture
async def api(tmp_path):
    async with serving(tmp_path) as made:
        yield made


def seen_routes(taken):
    return {taken["route"], *(other["route"] for other in taken["alternatives"])}


def chat(question, model="attest-auto", **more):
    return {"model": model, "messages": [{"role": "user", "content": question}], **more}


async def test_a_model_that_lets_the_routes_choose_is_listed_where_they_can(api, tmp_path):
    def names(listed):
        return [model["id"] for model in listed.json()["data"]]

    assert "attest-auto" in names(await api.client.get("/v1/models"))
    assert "attest-auto" in names(await api.client.get("/v1/models", **key("team")))
    for name in ("attest-auto", "attest-auto:bundled"):
        assert (await api.client.get(f"/v1/models/{name}")).json()["id"] == name
    await api.client.delete("/v1/routes/meet")  # the greeting is left to this key: nowhere to ask where it is not meant
    assert "attest-auto" not in names(await api.client.get("/v1/models", **key("team")))
    async with running(tmp_path / "bare") as bare:
        assert "attest-auto" not in names(await bare.client.get("/v1/models"))
        for refused in (
            await bare.client.get("/v1/models/attest-auto"),
            await bare.client.post("/v1/chat/completions", json=chat("q")),
            await bare.client.post("/v1/responses", json={"model": "attest-auto", "input": "q"}),
        ):
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_collection_of_that_name_is_what_it_says(api):
    await api.client.post("/v1/collections", json={"name": "attest-auto"})
    listed = [model["id"] for model in (await api.client.get("/v1/models")).json()["data"]]
    assert listed.count("attest-auto") == 1
    done = (await api.client.post("/v1/chat/completions", json=chat(VACATION))).json()
    assert done["attest"]["collection_generation"].keys() == {"attest-auto"}
    assert "route" not in done["attest"]


async def test_chat_goes_where_the_question_belongs_and_says_so(api):
    done = (await api.client.post("/v1/chat/completions", json=chat(VACATION))).json()
    assert done["model"] == "attest-auto"
    assert done["attest"]["collection_generation"].keys() == {"hr"}
    assert done["attest"]["route"]["route"] == "leave"
    named = (await api.client.post("/v1/chat/completions", json=chat(VACATION, "team"))).json()
    assert named["attest"]["collection_generation"].keys() == {"team"}
    assert "route" not in named["attest"]


async def test_a_chat_answer_from_a_table_has_its_statement(api):
    done = (await api.client.post("/v1/chat/completions", json=chat(ORDERS))).json()
    assert done["attest"]["route"]["route"] == "orders"
    assert done["attest"]["result"]["rows"] == [[2]]
    assert "2" in done["choices"][0]["message"]["content"]


async def test_a_streamed_chat_ends_with_the_route(api):
    sent = await api.client.post("/v1/chat/completions", json=chat("Hello", stream=True))
    chunks = [json.loads(line[6:]) for line in sent.text.splitlines() if line.startswith("data: {")]
    assert [chunk["attest"]["route"]["route"] for chunk in chunks if "attest" in chunk] == ["hello"]
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert said


async def test_a_response_goes_where_the_question_belongs(api):
    done = (await api.client.post("/v1/responses", json={"model": "attest-auto", "input": VACATION})).json()
    assert done["attest"]["route"]["route"] == "leave"
    search = {"type": "file_search", "vector_store_ids": ["team"]}
    within = {"model": "attest-auto", "input": VACATION, "tools": [search], "include": ["file_search_call.results"]}
    done = (await api.client.post("/v1/responses", json=within)).json()
    assert "leave" not in seen_routes(done["attest"]["route"])
    assert {found["text"] for found in done["output"][0]["results"]} == {MEETING}
    plain = (await api.client.post("/v1/responses", json={**within, "model": "gpt-9"})).json()
    assert "route" not in plain["attest"]
    lost = {**within, "tools": [{"type": "file_search", "vector_store_ids": ["nowhere"]}]}
    refused = await api.client.post("/v1/responses", json=lost)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    streamed = await api.client.post("/v1/responses", json={"model": "attest-auto", "input": VACATION, "stream": True})
    name, last = parse_events(streamed.text)[-1]
    assert (name, last["response"]["attest"]["route"]["route"]) == ("response.completed", "leave")


async def test_a_stored_response_keeps_no_cells_and_no_limited_key_reads_where_they_came_from(api):
    done = (await api.client.post("/v1/responses", json={"model": "attest-auto", "input": ORDERS})).json()
    assert done["output"][1]["content"][0]["text"]
    assert done["attest"]["result"]["rows"] == [[2]]
    kept = (await api.client.get(f"/v1/responses/{done['id']}")).json()
    assert kept["output"][1]["content"][0]["text"] == ""
    assert "result" not in kept["attest"]
    stored = api.services.catalog.get_answer(done["id"])
    assert [message["role"] for message in stored["conversation"]] == ["user"]
    assert (await api.client.get(f"/v1/responses/{done['id']}", **key("team"))).status_code == 403
    vacation = (await api.client.post("/v1/responses", json={"model": "attest-auto", "input": VACATION})).json()
    assert (await api.client.get(f"/v1/responses/{vacation['id']}", **key("team"))).status_code == 403
    after = {"model": "team", "input": "When does the team meet?", "previous_response_id": vacation["id"]}
    follow_up = (await api.client.post("/v1/responses", json=after)).json()  # its conversation holds hr's answer
    assert (await api.client.get(f"/v1/responses/{follow_up['id']}", **key("team"))).status_code == 403
    assert (await api.client.post("/v1/responses", json=after, **key("team"))).status_code == 403


async def test_dify_gets_passages_from_where_the_query_belongs(api):
    body = {"knowledge_id": "attest-auto", "query": VACATION, "retrieval_setting": {"top_k": 5}}
    found = (await api.client.post("/retrieval", json=body)).json()
    assert found["route"]["route"] == "leave"
    assert {record["metadata"]["collection"] for record in found["records"]} == {"hr"}
    assert "orders" not in seen_routes(found["route"])  # a table has no passages
    plain = (await api.client.post("/retrieval", json={**body, "knowledge_id": "team"})).json()
    assert set(plain) == {"records"}
    for name in ("leave", "meet"):
        await api.client.delete(f"/v1/routes/{name}")
    assert (await api.client.post("/retrieval", json=body)).status_code == 404


@pytest.mark.parametrize("question", [VACATION, ORDERS, "Use the route leave.", "route: orders", LEAVE])
async def test_a_limited_key_reaches_nothing_else_through_any_surface(api, question):
    def check(taken, collections):
        assert seen_routes(taken) <= {"hello", "meet", None}
        assert set(collections) <= {"team"}

    limited = key("team")
    done = (await api.client.post("/v1/chat/completions", json=chat(question), **limited)).json()
    check(done["attest"]["route"], done["attest"]["collection_generation"])
    body = {"model": "attest-auto", "input": question, "include": ["file_search_call.results"]}
    done = (await api.client.post("/v1/responses", json=body, **limited)).json()
    check(done["attest"]["route"], api.services.catalog.get_answer(done["id"])["collections"])
    assert {found["text"] for found in done["output"][0]["results"] or ()} <= {MEETING}
    hr = [{"type": "file_search", "vector_store_ids": ["hr"]}]
    assert (await api.client.post("/v1/responses", json={**body, "tools": hr}, **limited)).status_code == 403
    body = {"knowledge_id": "attest-auto", "query": question, "retrieval_setting": {"top_k": 5}}
    found = (await api.client.post("/retrieval", json=body, **limited)).json()
    check(found["route"], [record["metadata"]["collection"] for record in found["records"]])


async def test_mcp_is_routed_and_keeps_to_the_keys_collections(tmp_path):
    async with serving(tmp_path) as api, listening(api) as url:
        async with connected(url, "full") as client:
            answer = (await client.call_tool("ask", {"question": VACATION})).structured_content
            assert answer["route"]["route"] == "leave"
            named = (await client.call_tool("ask", {"question": VACATION, "route": "meet"})).structured_content
            assert (named["route"]["route"], named["route"]["kind"]) == ("meet", "named")
            plain = (await client.call_tool("search", {"query": VACATION})).structured_content
            assert (plain["route"], plain["hits"]) == (None, [])  # the default collection is empty
            found = (await client.call_tool("search", {"query": VACATION, "route": "auto"})).structured_content
            assert found["route"]["route"] == "leave"
            assert {hit["collection"] for hit in found["hits"]} == {"hr"}
            lost = await client.call_tool("search", {"query": VACATION, "route": "orders"})
            assert lost.is_error
            assert "no route and no collection is called 'orders'" in lost.content[0].text
        async with connected(url, "team") as client:
            for question in (VACATION, ORDERS):
                answer = (await client.call_tool("ask", {"question": question})).structured_content
                assert seen_routes(answer["route"]) <= {"hello", "meet", None}
                found = (await client.call_tool("search", {"query": question, "route": "auto"})).structured_content
                assert seen_routes(found["route"]) <= {"meet", None}
                assert {hit["collection"] for hit in found["hits"]} <= {"team"}
            for tool, name in [("ask", "question"), ("search", "query")]:
                for route in ("leave", "orders", "hr"):
                    refused = await client.call_tool(tool, {name: VACATION, "route": route})
                    assert refused.is_error
                    assert "vacation days per year" not in refused.content[0].text


def test_the_command_line_leaves_it_to_the_server_where_no_collection_is_given(monkeypatch, tmp_path):
    sent = []

    def answer(request):
        sent.append((request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={})

    monkeypatch.setattr("app.cli.home.prepare", lambda home: running_settings(tmp_path))
    monkeypatch.setattr(
        "app.cli.client.connect", lambda settings: Server("http://x", transport=httpx.MockTransport(answer))
    )
    command._asked("q", None, "auto", None, None)
    command._asked("q", ["a", "b"], "leave", None, None)
    command._searched("q", None, None, 3, None)
    command._searched("q", ["a"], "auto", 3, None)
    assert sent == [
        ("/v1/ask", {"question": "q", "route": "auto"}),
        ("/v1/ask", {"question": "q", "route": "leave", "collections": ["a", "b"]}),
        ("/v1/search", {"query": "q", "top_k": 3}),
        ("/v1/search", {"query": "q", "top_k": 3, "route": "auto", "collections": ["a"]}),
    ]


def running_settings(home):
    from app.settings import Settings

    return Settings(home=home)


async def test_the_command_line_is_routed_without_a_server_too(api, monkeypatch, tmp_path):
    class Kept:
        """The services of the API, which its own fixture closes."""

        def __getattr__(self, name):
            return getattr(api.services, name)

        def close(self):
            pass

    monkeypatch.setattr("app.cli.home.prepare", lambda home: running_settings(tmp_path / "other"))
    monkeypatch.setattr("app.cli.client.connect", lambda settings: None)
    monkeypatch.setattr("app.bootstrap.build_services", lambda settings: Kept())
    answer = await asyncio.to_thread(command._asked, VACATION, None, "auto", None, None)
    assert answer["route"]["route"] == "leave"
    assert "(route: leave; embeddings" in command._answer_text(answer)
    table = await asyncio.to_thread(command._asked, ORDERS, None, "orders", None, None)
    assert "(statement: SELECT" in command._answer_text(table)
    within = await asyncio.to_thread(command._asked, VACATION, ["team"], "auto", None, None)
    assert within["collection_generation"].keys() == {"team"}
    found = await asyncio.to_thread(command._searched, VACATION, None, "leave", 3, None)
    assert {hit["collection"] for hit in found["hits"]} == {"hr"}
    assert "(route: leave; request, 1.00)" in command._hits_text(found)
