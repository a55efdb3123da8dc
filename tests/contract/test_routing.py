"""Routes over HTTP: declaring them, asking which one a question takes, and asking through them."""

import pytest

from app.settings import GenerationSettings, QuerySettings, RoutingSettings, SqlSettings
from tests.unit.api.harness import assert_problem, running
from tests.unit.query.routing.declared import shop

KEYS = "full,reader:read,boss:admin,team:read+write+admin:team"
LEAVE = "Everybody gets 30 vacation days per year."
DECLARED = {
    "routes": {
        "orders": {
            "source": "shop",
            "description": "Orders with customer and amount",
            "examples": ["How many orders?"],
        },
        "hello": {"kind": "chitchat"},
    }
}


def key(name):
    return {"headers": {"Authorization": f"Bearer {name}"}}


@pytest.fixture
async def api(tmp_path):
    settings = {
        "routing": RoutingSettings.model_validate(DECLARED),
        "sql": SqlSettings(sources={"shop": shop(tmp_path / "shop.db")}),
    }
    async with running(tmp_path / "home", api_keys=KEYS, **settings) as api:
        api.client.headers["Authorization"] = "Bearer full"
        for name in ("hr", "team"):
            await api.client.post("/v1/collections", json={"name": name, "description": f"Documents of {name}"})
        await api.add(LEAVE, collection="hr")
        await api.add("The team meets on Monday.", collection="team")
        yield api


async def declare(api, name="leave", **body):
    body = body or {"collections": ["hr"], "description": "Vacation days", "examples": ["How many vacation days?"]}
    return await api.client.put(f"/v1/routes/{name}", json=body)


async def test_a_route_is_declared_shown_changed_and_forgotten(api):
    made = await declare(api)
    assert made.status_code == 201
    assert made.json() == {
        "name": "leave", "kind": "collections", "collections": ["hr"], "source": None, "description": "Vacation days",
        "examples": ["How many vacation days?"], "template": "", "reply": "", "declared_in": "api", "problems": [],
    }  # fmt: skip
    assert (await declare(api)).status_code == 200
    assert (await api.client.get("/v1/routes/leave")).json() == made.json()
    listed = (await api.client.get("/v1/routes")).json()["data"]
    assert [(route["name"], route["declared_in"]) for route in listed] == [
        ("orders", "settings"), ("hello", "settings"), ("leave", "api"),
    ]  # fmt: skip
    assert (await api.client.delete("/v1/routes/leave")).json() == {"name": "leave", "deleted": True}
    assert_problem(await api.client.get("/v1/routes/leave"), 404, "not_found")
    assert_problem(await api.client.delete("/v1/routes/leave"), 404, "not_found")


async def test_routes_survive_a_restart(tmp_path):
    async with running(tmp_path / "home") as api:
        await api.client.put("/v1/routes/bye", json={"kind": "refuse", "description": "Gossip", "reply": "No."})
    async with running(tmp_path / "home") as api:
        assert (await api.client.get("/v1/routes/bye")).json()["reply"] == "No."


async def test_what_can_not_be_declared_says_why(api):
    for name, body, status, says in [
        ("auto", {}, 422, "must begin with"),
        ("x", {"kind": "sql"}, 422, "name either its source"),
        ("x", {"source": "nope"}, 422, "'nope' is not configured; there are shop"),
        ("x", {"collections": ["nope"]}, 404, "'nope' does not exist"),
        ("x", {"kind": "everything"}, 422, "kind"),
        ("x", {"colections": ["hr"]}, 422, "colections"),
        ("x", {"kind": "chitchat", "collections": ["hr"]}, 422, "leave them out"),
        ("hello", {"description": "d"}, 409, "declared in the settings"),
    ]:
        assert says in assert_problem(await api.client.put(f"/v1/routes/{name}", json=body), status)["detail"]
    assert_problem(await api.client.delete("/v1/routes/hello"), 409, "conflict")


async def test_a_limited_key_declares_and_sees_its_own_collections_routes_only(api):
    await declare(api)
    own = {"collections": ["team"], "description": "Meetings"}
    assert (await api.client.put("/v1/routes/meet", json=own, **key("team"))).status_code == 201
    for body in ({"collections": ["hr"]}, {"kind": "refuse"}, {"kind": "chitchat"}, {"source": "shop"}, {}):
        assert_problem(await api.client.put("/v1/routes/mine", json=body, **key("team")), 403, "not_permitted")
    assert_problem(await api.client.delete("/v1/routes/leave", **key("team")), 403, "not_permitted")
    seen = (await api.client.get("/v1/routes", **key("team"))).json()["data"]
    assert [route["name"] for route in seen] == ["hello", "meet"]
    routed = (
        await api.client.post("/v1/query/route", json={"question": "How many vacation days?"}, **key("team"))
    ).json()
    assert {routed["route"], *(other["route"] for other in routed["alternatives"])} == {"hello", "meet"}
    for name in ("leave", "orders"):
        refused = await api.client.post("/v1/ask", json={"question": "q", "route": name}, **key("team"))
        assert "no route and no collection" in assert_problem(refused, 422)["detail"]
    hr = {"question": "How many vacation days?", "route": "hr"}
    assert_problem(await api.client.post("/v1/ask", json=hr, **key("team")), 403, "not_permitted")


async def test_a_route_whose_collection_is_gone_takes_no_part_and_says_so(api):
    await declare(api)
    await api.client.delete("/v1/collections/hr")
    assert (await api.client.get("/v1/routes/leave")).json()["problems"] == ["collection 'hr' does not exist"]
    routed = (await api.client.post("/v1/query/route", json={"question": "How many vacation days?"})).json()
    assert "leave" not in {routed["route"], *(other["route"] for other in routed["alternatives"])}
    assert (await api.client.post("/v1/ask", json={"question": "How many vacation days?"})).status_code == 200


async def test_the_routes_of_a_question_in_the_contracts_shape(api):
    await declare(api)
    body = {"question": "How many vacation days do I get?"}
    routed = (await api.client.post("/v1/query/route", json=body)).json()
    assert (routed["route"], routed["kind"], routed["sure"], routed["target"]) == (
        "leave",
        "semantic",
        True,
        "collections",
    )
    assert routed["score"] >= routed["threshold"] == 0.5
    assert [set(other) for other in routed["alternatives"]] == [{"route", "score"}] * 2
    logical = (await api.client.post("/v1/query/route", json={**body, "method": "logical"})).json()
    assert (logical["route"], logical["kind"], logical["how"]) == ("leave", "logical", "classifier")


async def test_routes_of_the_request_beside_declared_ones_and_collections(api):
    given = [
        {"name": "weather", "description": "Rain, wind and snow", "examples": ["Will it rain?"]},
        {"name": "stock", "kind": "sql", "description": "Table of goods in stock"},
        "hello",
        "hr",
    ]
    routed = (await api.client.post("/v1/query/route", json={"question": "Will it rain?", "routes": given})).json()
    assert routed["route"] == "weather"
    assert {other["route"] for other in routed["alternatives"]} == {"stock", "hello", "hr"}
    for routes, says in [
        ([], "at least 1"),
        (["nope"], "no route and no collection is called 'nope': there are"),
        (["hr", "hr"], "stands twice"),
        ([{"description": "d"}], "name"),
        ([{"name": "a/b"}], "route name"),
        ([7], "routes"),
        ("hr", "list"),
    ]:
        refused = await api.client.post("/v1/query/route", json={"question": "q", "routes": routes})
        assert says in assert_problem(refused, 422)["detail"]
    for body in ({}, {"question": " "}, {"question": "q", "method": "magic"}):
        assert_problem(await api.client.post("/v1/query/route", json=body), 422)


async def test_without_declared_routes_collections_are_the_routes(tmp_path):
    async with running(tmp_path / "home") as api:
        await api.client.post("/v1/collections", json={"name": "law", "description": "Contracts and liability"})
        routed = (await api.client.post("/v1/query/route", json={"question": "liability in contracts"})).json()
        assert (routed["route"], [other["route"] for other in routed["alternatives"]]) == ("law", ["default"])
        answer = (await api.client.post("/v1/ask", json={"question": "liability in contracts", "trace": True})).json()
        assert "route" not in answer
        assert "route" not in {stage["stage"] for stage in answer["trace"]["stages"]}


async def test_auto_asks_where_the_question_belongs(api):
    await declare(api)
    answer = (await api.client.post("/v1/ask", json={"question": "How many vacation days?", "trace": True})).json()
    assert answer["collection_generation"].keys() == {"hr"}
    assert (answer["route"]["route"], answer["route"]["kind"]) == ("leave", "semantic")
    stage = next(stage for stage in answer["trace"]["stages"] if stage["stage"] == "route")
    assert (stage["detail"]["route"], stage["detail"]["score"]) == ("leave", answer["route"]["score"])
    assert "route" in answer["timings_ms"]
    unsure = (await api.client.post("/v1/ask", json={"question": "Mount Everest height?"})).json()
    assert unsure["route"]["route"] is None
    assert unsure["collection_generation"].keys() == {"default", "hr"}


async def test_given_collections_are_never_left(api):
    await declare(api)
    body = {"question": "How many vacation days?", "collections": ["team"]}
    answer = (await api.client.post("/v1/ask", json=body)).json()
    assert answer["collection_generation"].keys() == {"team"}
    body = {"question": "How many orders are there?", "collections": ["team", "hr"]}
    answer = (await api.client.post("/v1/ask", json=body)).json()
    assert "orders" not in {answer["route"]["route"], *(other["route"] for other in answer["route"]["alternatives"])}
    refused = await api.client.post("/v1/ask", json={"question": "q", "collections": ["team"], "route": "leave"})
    assert "which is not among the collections given" in assert_problem(refused, 422)["detail"]


@pytest.mark.parametrize("name", ["leave", "hr"])
async def test_a_named_route_or_collection_is_asked(api, name):
    await declare(api)
    answer = (await api.client.post("/v1/ask", json={"question": "Where does the team meet?", "route": name})).json()
    assert answer["collection_generation"].keys() == {"hr"}
    found = (await api.client.post("/v1/search", json={"query": "team", "route": name})).json()
    assert found["collection_generation"].keys() == {"hr"}


@pytest.mark.parametrize("surface", ["ask", "search"])
async def test_an_unknown_route_names_those_there_are(api, surface):
    body = {"question" if surface == "ask" else "query": "q", "route": "nope"}
    problem = assert_problem(await api.client.post(f"/v1/{surface}", json=body), 422, "invalid_input")
    assert problem["errors"][0]["loc"] == ["body", "route"]
    assert "no route and no collection is called 'nope': give auto, or one of" in problem["detail"]


async def test_search_is_routed_when_asked_to(api):
    await declare(api)
    plain = (await api.client.post("/v1/search", json={"query": "How many vacation days?"})).json()
    assert ("route" in plain, plain["collection_generation"].keys()) == (False, {"default"})
    found = (await api.client.post("/v1/search", json={"query": "How many vacation days?", "route": "auto"})).json()
    assert found["route"]["route"] == "leave"
    assert [hit["collection"] for hit in found["hits"]] == ["hr"]
    refused = await api.client.post("/v1/search", json={"query": "q", "route": "orders"})
    assert_problem(refused, 422)


async def test_chit_chat_streams_in_the_contracts_order(api):
    events = await api.events("POST", "/v1/ask", json={"question": "Hello", "stream": True})
    names = [name for name, _ in events]
    assert list(dict.fromkeys(names)) == ["status", "sources", "token", "done"]
    done = events[-1][1]
    assert "".join(data["text"] for name, data in events if name == "token") == done["answer"]
    assert (done["abstained"], done["citations"], done["route"]["target"]) == (False, [], "chitchat")
    assert api.generator.prompts == []


async def test_a_table_answers_with_its_rows_and_its_rows_are_not_stored(api):
    body = {"question": "How many orders did Ada place?", "route": "orders"}
    answer = (await api.client.post("/v1/ask", json=body)).json()
    assert answer["result"]["rows"] == [[2]]
    assert answer["result"]["parameters"] == {"p1": "Ada"}
    assert (answer["abstained"], answer["short_answer"], answer["confidence_kind"]) == (False, "2", "routing")
    stored = api.services.catalog.get_answer(answer["id"])
    assert ("result" in stored, stored["answer"]) == (False, "")
    rated = await api.client.post("/v1/feedback", json={"answer_id": answer["id"], "rating": 1})
    assert rated.status_code == 201


async def test_what_the_table_does_not_hold_is_searched_in_the_documents(api):
    body = {"question": "How many vacation days did Zoe take?", "route": "orders"}
    answer = (await api.client.post("/v1/ask", json=body)).json()
    assert "result" not in answer
    assert answer["route"]["explanation"]
    assert "the documents were searched instead" in answer["warnings"][0]


async def test_uploaded_tables_are_a_target_too_and_their_rows_are_cited(api):
    table = "customer,amount\nAda,120\nBob,30\n"
    sent = await api.client.post(
        "/v1/documents", files={"file": ("orders.csv", table.encode(), "text/csv")}, data={"collection": "team"}
    )
    assert sent.status_code == 202
    await api.work()
    assert (await declare(api, "sheet", kind="sql", collections=["team"], description="Sheet")).status_code == 201
    body = {"question": "What is the amount of the customer Ada?", "route": "sheet"}
    answer = (await api.client.post("/v1/ask", json=body, **key("team"))).json()
    assert answer["short_answer"] == "120"
    (citation,) = answer["citations"]
    assert citation["quote"] == (await api.text(citation["document_id"]))[citation["char_start"] : citation["char_end"]]


async def test_the_words_of_a_route_stand_beside_the_instruction(api):
    api.generator.name = "remote:model"
    await declare(api, "law", collections=["hr"], template="Name the paragraph of the rule.")
    await api.client.post("/v1/ask", json={"question": "How many vacation days?", "route": "law"})
    prompt = api.generator.prompts[-1]
    assert prompt.instruction.endswith("Name the paragraph of the rule.")
    await api.client.post("/v1/ask", json={"question": "How many vacation days?", "route": "hr"})
    assert "paragraph" not in api.generator.prompts[-1].instruction


async def test_a_generator_is_chosen_by_name_or_the_names_are_told(tmp_path):
    async with running(tmp_path / "home") as api:
        await api.add(LEAVE)
        ask = {"question": "How many vacation days?"}
        for name in ("bundled", api.generator.name, None):
            answer = await api.client.post("/v1/ask", json={**ask, "generation": {"model": name}})
            assert answer.json()["model"] == api.generator.name
        problem = assert_problem(await api.client.post("/v1/ask", json={**ask, "generation": {"model": "gpt"}}), 422)
        assert problem["errors"][0]["loc"] == ["body", "generation", "model"]
        assert "'gpt' is not one of the models here: bundled, fake-copier@1" in problem["detail"]
        chat = {"model": "default:gpt", "messages": [{"role": "user", "content": "How many vacation days?"}]}
        refused = await api.client.post("/v1/chat/completions", json=chat)
        assert (refused.status_code, refused.json()["error"]["param"]) == (404, "model")


async def test_a_condition_in_the_question_filters_where_that_is_on(tmp_path):
    async with running(tmp_path / "home", query=QuerySettings(auto_filters=True)) as api:
        await api.add("The fee was 30 euros.", metadata={"year": 2023, "department": "Legal"}, id="old")
        await api.add("The fee was 40 euros.", metadata={"year": 2024, "department": "Sales"}, id="new")
        ask = {"question": "What was the fee in documents of the department Sales?", "trace": True, "abstain": "never"}
        answer = (await api.client.post("/v1/ask", json=ask)).json()
        assert answer["auto_filter"]["filter"] == {"department": "Sales"}
        assert answer["auto_filter"]["used"] is True
        assert {citation["document_id"] for citation in answer["citations"]} == {"new"}
        stage = next(stage for stage in answer["trace"]["stages"] if stage["stage"] == "filter")
        assert stage["detail"]["filter"] == {"department": "Sales"}
        off = (await api.client.post("/v1/ask", json={**ask, "auto_filters": False})).json()
        own = (await api.client.post("/v1/ask", json={**ask, "filters": {"year": 2023}})).json()
        assert "auto_filter" not in off
        assert "auto_filter" not in own
        assert {citation["document_id"] for citation in own["citations"]} == {"old"}
        nothing = {**ask, "question": "What was the fee in documents of the department Sales, year 2023?"}
        answer = (await api.client.post("/v1/ask", json=nothing)).json()
        assert answer["auto_filter"]["used"] is False
        assert answer["citations"]


def test_settings_refuse_models_that_are_none():
    with pytest.raises(ValueError, match="must be bundled"):
        GenerationSettings(models=("gpt",))
    with pytest.raises(ValueError, match="no address"):
        GenerationSettings(models=("remote:gpt",))
