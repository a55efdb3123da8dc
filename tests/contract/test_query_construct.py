"""`POST /v1/query/construct` as the contract writes it, over metadata that the worker stored."""

import pytest

from app.settings import SqlSettings
from tests.unit.api.harness import assert_problem, running
from tests.unit.query.construction.company import write_company

URL = "/v1/query/construct"


@pytest.fixture
async def api(tmp_path):
    sql = SqlSettings(sources={"company": write_company(tmp_path / "company.db")})
    async with running(tmp_path / "home", sql=sql) as running_api:
        yield running_api


async def construct(api, **body):
    response = await api.client.post(URL, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_filter_is_learned_from_the_collection_and_search_takes_it(api):
    await api.add(
        "Acme grew.", id="a", metadata={"company": "Acme", "year": 2023, "signed": "2023-05-01", "final": True}
    )
    await api.add("Globex shrank.", id="g", metadata={"company": "Globex", "year": 2019, "signed": "2019-05-01"})
    found = await construct(api, question="How did ACME grow since 2020?", target="metadata")
    assert found["target"] == "metadata"
    assert found["filter"] == {"company": "Acme", "year": {"gte": 2020}}
    assert found["parameters"] == {}
    assert "company" in found["explanation"]
    assert "grow" in found["text"]
    assert 0 < found["confidence"] <= 1
    hits = await api.client.post("/v1/search", json={"query": found["text"], "filters": found["filter"]})
    assert {hit["document_id"] for hit in hits.json()["hits"]} == {"a"}
    dated = await construct(api, question="signed before March 2020", target="metadata")
    assert dated["filter"] == {"signed": {"lt": "2020-03-01"}}


async def test_a_question_without_conditions_gives_an_empty_filter_and_says_so(api):
    found = await construct(api, question="How are you?", target="metadata")
    assert found["filter"] == {}
    assert found["text"] == "How are you?"
    assert found["explanation"].startswith("No condition")


@pytest.mark.parametrize(
    "schema",
    [
        {"fields": [{"name": "year", "type": "number"}, {"name": "company", "type": "text", "values": ["Acme"]}]},
        {"fields": {"year": "integer", "company": {"type": "string", "enum": ["Acme"]}}},
        {"properties": {"year": {"type": "integer"}, "company": {"type": "string", "enum": ["Acme"]}}},
        {"year": "int", "company": {"values": ["Acme"]}},
    ],
)
async def test_a_schema_can_be_given_in_the_usual_ways(api, schema):
    found = await construct(api, question="Acme before 2020", target="metadata", schema=schema)
    assert found["filter"] == {"company": "Acme", "year": {"lt": 2020}}


async def test_sql_of_a_configured_source(api):
    found = await construct(api, question="What is the salary of Ann Lee?", target="sql")
    assert found["statement"].startswith('SELECT "salary" FROM "employees"')
    assert found["parameters"] == {"p1": "Ann Lee"}
    assert found["how"] == "rules"
    named = await construct(api, question="How many employees are there?", target="sql", schema={"source": "company"})
    assert named["statement"] == 'SELECT COUNT(*) FROM "employees" LIMIT 100'
    nothing = await construct(api, question="Why is the sky blue?", target="sql")
    assert nothing["statement"] is None
    assert nothing["confidence"] == 0.0


@pytest.mark.parametrize(
    "schema",
    [
        {
            "tables": [
                {"name": "sales", "columns": [{"name": "amount", "type": "REAL"}, {"name": "city", "type": "TEXT"}]}
            ]
        },
        {"tables": {"sales": {"amount": "number", "city": "text"}}},
        {"tables": [{"name": "sales", "columns": {"amount": "decimal(10,2)", "city": "varchar(20)"}}]},
        {"name": "sales", "columns": [{"name": "amount", "type": "number"}, "city"]},
    ],
)
async def test_sql_of_a_given_schema(api, schema):
    found = await construct(api, question="What is the average amount?", target="sql", schema=schema)
    assert found["statement"] == 'SELECT AVG("amount") FROM "sales" LIMIT 100'


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"question": "q"}, "target"),
        ({"question": "q", "target": "graphql"}, "target"),
        ({"question": " ", "target": "metadata"}, "white space"),
        ({"question": "q", "target": "metadata", "schema": {}}, "schema.fields"),
        ({"question": "q", "target": "metadata", "schema": {"fields": [1]}}, "schema.fields"),
        ({"question": "q", "target": "metadata", "schema": {"fields": [{"type": "text"}]}}, "no name"),
        ({"question": "q", "target": "metadata", "schema": {"a": "blob"}}, "'a' has the type"),
        ({"question": "q", "target": "metadata", "schema": {"a": {"type": "text", "values": "x"}}}, "values must be"),
        ({"question": "q", "target": "sql", "schema": {"tables": []}}, "schema.tables"),
        ({"question": "q", "target": "sql", "schema": {"source": "other"}}, "there are company"),
        ({"question": "q", "target": "sql", "schema": {"source": ["company"]}}, "there are company"),
        ({"question": "q", "target": "sql", "schema": {"tables": {"a": {"columns": ["x", "X"]}}}}, "twice"),
        (
            {
                "question": "q",
                "target": "sql",
                "schema": {"tables": [{"name": "a", "columns": ["x"], "foreign_keys": [{"column": "x"}]}]},
            },
            "foreign key",
        ),
        ({"question": "q", "target": "metadata", "extra": 1}, "extra"),
    ],
)
async def test_bad_requests_name_what_is_wrong(api, body, told):
    assert told in assert_problem(await api.client.post(URL, json=body), 422)["detail"]


async def test_an_unknown_collection_is_404(api):
    response = await api.client.post(URL, json={"question": "q", "target": "metadata", "collections": ["nope"]})
    assert_problem(response, 404, "not_found")


async def test_a_limited_key_reads_neither_other_collections_nor_sql_sources(tmp_path):
    sql = SqlSettings(sources={"company": write_company(tmp_path / "company.db")})
    async with running(tmp_path / "home", sql=sql, api_keys="full,team:read:team") as api:
        team = {"headers": {"Authorization": "Bearer team"}}
        for body in (
            {"question": "q", "target": "metadata"},
            {"question": "salary of Ann Lee", "target": "sql", "collections": ["team"]},
        ):
            refused = await api.client.post(URL, json=body, **team)
            assert_problem(refused, 403, "not_permitted")
            assert "Ann" not in refused.json()["detail"]


async def test_without_sources_the_remedy_is_told(tmp_path):
    async with running(tmp_path / "home") as api:
        problem = assert_problem(await api.client.post(URL, json={"question": "q", "target": "sql"}), 422)
        assert "ATTEST_SQL__SOURCES" in problem["detail"]


async def test_a_schema_of_too_many_values_is_refused(api):
    fields = [{"name": f"f{n}", "type": "text", "values": [f"v{n} {m}" for m in range(300)]} for n in range(14)]
    body = {"question": "v1 2", "target": "metadata", "schema": {"fields": fields}}
    problem = assert_problem(await api.client.post("/v1/query/construct", json=body), 422)
    assert "4000 values" in problem["detail"]
