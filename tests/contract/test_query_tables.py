"""Questions to tables over HTTP: uploaded documents, the operator's files, rows with citations, who may ask what."""

import io
import json
import sqlite3

import openpyxl
import pytest

from app.query.construction import sql_similar
from app.settings import SqlSettings
from tests.unit.api.harness import assert_problem, running
from tests.unit.query.construction.company import write_company

URL = "/v1/query/construct"
STAFF = (
    "Name;Gehalt;Datum\nAnn Lee;52.000,50;2019-03-01\nBob Stone;48.000,00;2021-07-15\nCleo Park;71.000,25;2023-01-09\n"
)
ORDERS = (
    "order,amount,comment\n"
    "1001,150,the delivery came far too late\n"
    "1002,40,late delivery and a wet parcel\n"
    "1003,300,lovely colour and good quality\n"
    "1004,120,delivery was late by two weeks\n"
)


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        yield running_api


async def upload(api, name, content, collection="default"):
    content = content.encode() if isinstance(content, str) else content
    response = await api.client.post("/v1/documents", files={"file": (name, content)}, data={"collection": collection})
    assert response.status_code == 202, response.text
    await api.work()
    document_id = response.json()["documents"][0]["id"]
    stored = (await api.client.get(f"/v1/documents/{document_id}")).json()
    assert stored["status"] == "ready", stored
    return document_id


async def asked(api, question, **body):
    response = await api.client.post(URL, json={"question": question, "target": "sql", "execute": True, **body})
    assert response.status_code == 200, response.text
    return response.json()


async def check_citations(api, found):
    """Each quote is the document's text at its offsets, and its mark stands after the claim that it carries."""
    assert found["citations"]
    for citation in found["citations"]:
        text = await api.text(citation["document_id"])
        assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]
        assert found["answer"][citation["answer_end"] :].lstrip(" [0123456789").startswith("]")
        assert f"[{citation['index']}]" in found["answer"]


async def test_a_value_of_an_uploaded_csv_is_answered_with_the_row_it_stands_in(api):
    await upload(api, "staff.csv", STAFF)
    found = await asked(api, "What is the Gehalt of Bob Stone?")
    assert found["rows"] == [[48000]]
    assert found["columns"] == ["Gehalt"]
    assert found["answer"] == "Gehalt: 48000 [1]."
    assert [c["quote"] for c in found["citations"]] == ["Name: Bob Stone; Gehalt: 48.000,00; Datum: 2021-07-15"]
    await check_citations(api, found)


async def test_an_aggregate_cites_rows_that_it_was_computed_from(api):
    await upload(api, "staff.csv", STAFF)
    found = await asked(api, "What is the highest Gehalt?")
    assert found["answer"] == "Highest Gehalt: 71000.25 [1]."
    assert "Cleo Park" in found["citations"][0]["quote"]
    await check_citations(api, found)
    average = await asked(api, "What is the average Gehalt of all the staff?")
    assert average["rows"] == [[pytest.approx((52000.5 + 48000 + 71000.25) / 3)]]
    assert len(average["citations"]) == 3
    await check_citations(api, average)


async def test_relational_and_semantic_conditions_in_one_plan(api):
    await upload(api, "orders.csv", ORDERS)
    found = await asked(api, "Which order over 100 euro has a comment about late delivery?")
    assert "SIMILAR" in found["statement"]
    assert {row[0] for row in found["rows"]} == {1001, 1004}
    assert found["similarities"] == sorted(found["similarities"], reverse=True)
    assert "the other conditions leave 3 rows" in found["explanation"]
    await check_citations(api, found)
    counted = await asked(api, "How many orders complain about late delivery?")
    assert counted["rows"] == [[3]]
    await check_citations(api, counted)


async def test_a_table_of_too_many_rows_is_narrowed_by_the_vector_index(api, monkeypatch):
    monkeypatch.setattr(sql_similar, "MAX_ROWS", 3)
    await upload(api, "orders.csv", ORDERS)
    found = await asked(api, "Which orders have a comment about late delivery?")
    assert "in the chunks nearest to the phrase" in found["explanation"]
    assert found["rows"]
    await check_citations(api, found)


async def test_sheets_of_a_workbook_are_tables_with_percentages_dates_and_chinese_names(api):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "销售"
    for row in (["城市", "金额", "占比"], ["北京", 1200, 0.5], ["上海", 900, 0.25]):
        sheet.append(row)
    for row in (2, 3):
        sheet.cell(row, 3).number_format = "0%"
    content = io.BytesIO()
    book.save(content)
    await upload(api, "report.xlsx", content.getvalue())
    found = await asked(api, "上海的金额是多少？")
    assert found["rows"] == [[900]]
    assert found["answer"] == "金额：900 [1]。"
    assert found["notes"] == ["column '占比': percentages; 12.5% is kept as 12.5"]
    await check_citations(api, found)


async def test_what_can_not_be_read_is_counted_and_said(api):
    rows = "".join(f"item{n},{n}\n" for n in range(30))
    await upload(api, "stock.csv", f"item,count\n{rows}broken,tba\n")
    found = await asked(api, "What is the sum of count?")
    assert found["rows"] == [[sum(range(30))]]
    assert found["notes"] == ["column 'count': 1 of 31 cells are no number ('tba'); left empty"]


async def test_a_deleted_document_is_gone_from_the_tables_and_from_the_disk(api):
    kept = await upload(api, "orders.csv", ORDERS)
    gone = await upload(api, "staff.csv", STAFF)
    assert (await asked(api, "What is the Gehalt of Bob Stone?"))["rows"] == [[48000]]
    folder = api.services.settings.home / "tables"
    assert any(b"Cleo Park" in path.read_bytes() for path in folder.rglob("*.db"))
    assert (await api.client.delete(f"/v1/documents/{gone}")).status_code == 200
    assert not any(b"Cleo Park" in path.read_bytes() for path in folder.rglob("*.db"))
    found = await asked(api, "What is the Gehalt of Bob Stone?")
    assert not any(48000 in row for row in found["rows"])
    assert (await asked(api, "How many orders are there?"))["rows"] == [[4]]
    assert kept


async def test_a_new_version_is_what_is_asked(api):
    document = await upload(api, "staff.csv", STAFF)
    response = await api.client.put(
        f"/v1/documents/{document}", files={"file": ("staff.csv", STAFF.replace("48.000,00", "50.000,00").encode())}
    )
    assert response.status_code == 202
    await api.work()
    found = await asked(api, "What is the Gehalt of Bob Stone?")
    assert found["rows"] == [[50000]]
    await check_citations(api, found)


async def test_two_files_join_by_a_key(api):
    await upload(api, "customers.csv", "customer_id,country\n1,Norway\n2,France\n3,France\n")
    await upload(api, "sales.csv", "customer_id,amount\n1,10\n2,20\n2,5\n")
    found = await asked(api, "What is the sum of amount for country France?")
    assert found["rows"] == [[25]]


async def test_the_operators_folder_of_files_and_database_are_sources_by_name(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "stock.csv").write_text("item,count\nbolts,12\nnuts,7\n")
    sql = SqlSettings(sources={"company": write_company(tmp_path / "company.db"), "stock": folder})
    async with running(tmp_path / "home", sql=sql) as api:
        found = await asked(api, "What is the count of nuts?", schema={"source": "stock"})
        assert (found["rows"], found["citations"]) == ([[7]], [])
        (folder / "stock.csv").write_text("item,count\nbolts,12\nnuts,123456\n")
        assert (await asked(api, "What is the count of nuts?", schema={"source": "stock"}))["rows"] == [[123456]]
        salary = await asked(api, "What is the salary of Ann Lee?", schema={"source": "company"})
        assert salary["answer"] == "Salary: 52000."
        unclear = await api.client.post(URL, json={"question": "How many nuts?", "target": "sql"})
        assert "company, stock" in assert_problem(unclear, 422)["detail"]


async def test_nothing_found_and_nothing_built_are_said(api):
    await upload(api, "staff.csv", STAFF)
    nobody = await asked(api, "What is the Gehalt of those with Datum after 2030?")
    assert (nobody["rows"], nobody["answer"]) == ([], "No row of the tables fits the question.")
    nothing = await asked(api, "Why?")
    assert (nothing["statement"], nothing["rows"], nothing["answer"]) == (None, [], None)
    assert "names no column" in nothing["explanation"]


async def test_a_given_schema_can_not_be_executed(api):
    body = {"question": "q", "target": "sql", "execute": True, "schema": {"tables": {"a": ["x"]}}}
    assert "no rows" in assert_problem(await api.client.post(URL, json=body), 422)["detail"]


async def test_a_limited_key_asks_the_tables_of_its_own_collections_only(tmp_path):
    async with running(tmp_path / "home", api_keys="full,team:read+write:team") as api:
        api.client.headers["Authorization"] = "Bearer full"
        await api.client.post("/v1/collections", json={"name": "team"})
        await upload(api, "team.csv", "name,score\nUma,5\nVic,6\n", collection="team")
        await upload(api, "staff.csv", STAFF)
        api.client.headers["Authorization"] = "Bearer team"
        found = await asked(api, "What is the score of Uma?", collections=["team"])
        assert found["rows"] == [[5]]
        for body in ({"schema": {"collection": "default"}}, {"collections": ["default"]}):
            refused = await api.client.post(URL, json={"question": "Gehalt of Ann Lee", "target": "sql", **body})
            assert_problem(refused, 403, "not_permitted")
            assert "52" not in json.dumps(refused.json()["detail"])


async def test_nothing_that_a_table_or_a_question_says_writes(api, tmp_path):
    await upload(api, "evil.csv", 'name,note\n"\'; DROP TABLE evil; --",1\n"=cmd|\'/c calc\'!A1",2\n')
    for question in ("What is the note of '; DROP TABLE evil; --?", "note of x'; ATTACH DATABASE '/tmp/q' AS q; --"):
        await asked(api, question)
    found = await asked(api, "How many evil are there?")
    assert found["rows"] == [[2]]


def test_a_name_for_two_sources_is_refused():
    with pytest.raises(ValueError, match=r"both name \['a'\]"):
        SqlSettings(sources={"a": "x.db"}, postgres={"a": "postgresql://u@h/d"})


async def test_the_home_is_left_clean(tmp_path):
    async with running(tmp_path / "home") as api:
        await upload(api, "staff.csv", STAFF)
        await asked(api, "What is the Gehalt of Bob Stone?")
        (database,) = (tmp_path / "home" / "tables").rglob("*.db")
        assert database.stat().st_mode & 0o077 == 0
        with sqlite3.connect(database) as connection:
            assert connection.execute("SELECT COUNT(*) FROM staff").fetchone() == (3,)
        connection.close()
    assert list((tmp_path / "home" / "tables").rglob("*.db")) == []
