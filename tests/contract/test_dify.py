"""`POST /retrieval`, as Dify calls an external knowledge base."""

import pytest

from tests.unit.api.harness import assert_problem, running


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


def asked(query="zebra fee", top_k=5, **more):
    setting = {"top_k": top_k, "score_threshold": more.pop("threshold", 0.0)}
    return {"knowledge_id": "default", "query": query, "retrieval_setting": setting, **more}


async def test_records_have_difys_shape(api):
    document = await api.add("The zebra fee is 30 euros.", title="Fees", metadata={"year": 2024})
    (record,) = (await api.client.post("/retrieval", json=asked())).json()["records"]
    assert set(record) == {"content", "score", "title", "metadata"}
    assert record["content"] == "The zebra fee is 30 euros."
    assert record["title"] == "Fees"
    assert 0 < record["score"] <= 1
    assert record["metadata"]["year"] == 2024
    assert record["metadata"]["document_id"] == document


async def test_top_k_and_threshold_cut(api):
    for number in range(3):
        await api.add(f"The zebra fee of class {number} is {number} euros.")
    assert len((await api.client.post("/retrieval", json=asked(top_k=2))).json()["records"]) == 2
    assert (await api.client.post("/retrieval", json=asked(threshold=1.0))).json() == {"records": []}


def condition(name, operator, value=None):
    return {"name": [name], "comparison_operator": operator, "value": value}


@pytest.mark.parametrize(
    ("conditions", "years"),
    [
        ([condition("year", "=", 2020)], {2020}),
        ([condition("year", ">", 2020)], {2024}),
        ([condition("kind", "is", "fee"), condition("year", "≤", 2020)], {2020}),
        ([condition("kind", "not empty")], {2020, 2024}),
    ],
)
async def test_metadata_conditions_filter(api, conditions, years):
    for year in (2020, 2024):
        await api.add(f"The zebra fee of {year}.", metadata={"year": year, "kind": "fee"})
    body = asked(metadata_condition={"logical_operator": "and", "conditions": conditions})
    records = (await api.client.post("/retrieval", json=body)).json()["records"]
    assert {record["metadata"]["year"] for record in records} == years


async def test_what_can_not_be_done_is_said(api):
    unknown = asked() | {"knowledge_id": "nowhere"}
    assert_problem(await api.client.post("/retrieval", json=unknown), 404)
    two = {"logical_operator": "or", "conditions": [condition("a", "is", 1), condition("b", "is", 1)]}
    problem = assert_problem(await api.client.post("/retrieval", json=asked(metadata_condition=two)), 422)
    assert "'or'" in problem["detail"]
    odd = {"conditions": [condition("a", "starts with", "x")]}
    assert (
        "starts with"
        in assert_problem(await api.client.post("/retrieval", json=asked(metadata_condition=odd)), 422)["detail"]
    )
    assert_problem(await api.client.post("/retrieval", json=asked(query=" ")), 422)
