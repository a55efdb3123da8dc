"""`generation.style` on every surface that asks: the form of the answer, its citations and the order of its events."""

from __future__ import annotations

import json

import pytest

from app.generation.styles.styled import StyledGenerator
from tests.fakes import FakeGenerator
from tests.unit.api.harness import assert_problem, confidence_of, running
from tests.unit.generation.styles.rows import ACME


def styled(reader: FakeGenerator) -> StyledGenerator:
    return StyledGenerator(reader, confidence_of)


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home", wrapped=styled) as running_api:
        await running_api.add(ACME, title="Acme annual report 2023")
        yield running_api


async def assert_exact(api, answer):
    assert answer["citations"]
    for citation in answer["citations"]:
        text = await api.text(citation["document_id"])
        assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]
        assert answer["answer"][citation["answer_start"] : citation["answer_end"]] in citation["quote"]
        assert f"[{citation['index']}]" in answer["answer"]


async def test_an_open_question_is_a_cited_paragraph_and_an_absent_topic_is_declined(api):
    body = {"question": "Tell me about Acme", "trace": True}
    answer = (await api.client.post("/v1/ask", json=body)).json()
    assert (answer["style"], answer["abstained"], answer["confidence_kind"]) == ("paragraph", False, "calibrated")
    assert len(answer["citations"]) >= 2
    await assert_exact(api, answer)
    (generate,) = [stage for stage in answer["trace"]["stages"] if stage["stage"] == "generate"]
    assert (generate["detail"]["style"], generate["detail"]["asked"]) == ("paragraph", "open")
    declined = (await api.client.post("/v1/ask", json={"question": "Tell me about Zebra Corp"})).json()
    assert (declined["abstained"], declined["citations"], declined["style"]) == (True, [], "auto")
    assert declined["confidence"] < declined["threshold"]


async def test_a_paragraph_streams_in_the_contracts_order_and_its_tokens_join(api):
    events = await api.events("POST", "/v1/ask", json={"question": "Tell me about Acme", "stream": True})
    names = [event for event, _ in events]
    order = ["status", "sources", "token", "citation", "done"]
    assert list(dict.fromkeys(names)) == order
    assert names == sorted(names, key=order.index)
    whole = events[-1][1]
    assert "".join(data["text"] for event, data in events if event == "token") == whole["answer"]
    assert [data for event, data in events if event == "citation"] == whole["citations"]


async def test_the_style_that_is_asked_for_is_used_and_an_unknown_one_is_named(api):
    body = {"question": "Is smoking allowed in the plant?", "generation": {"style": "short"}}
    assert (await api.client.post("/v1/ask", json=body)).json()["style"] == "short"
    verdict = (await api.client.post("/v1/ask", json={"question": "Is smoking allowed in the plant?"})).json()
    assert verdict["answer"].startswith("No [1]")
    wrong = await api.client.post("/v1/ask", json={"question": "q", "generation": {"style": "poem"}})
    assert_problem(wrong, 422)
    assert "style" in json.dumps(wrong.json()["errors"])


async def test_chat_completions_take_a_style(api):
    message = {"role": "user", "content": "What does the report say about revenue?"}
    for style, paragraph in (("paragraph", True), (None, True), ("short", False)):
        body = {"model": "default", "messages": [message], **({"style": style} if style else {})}
        answer = (await api.client.post("/v1/chat/completions", json=body)).json()
        text = answer["choices"][0]["message"]["content"]
        assert (text.startswith("Revenue in 2023 rose") and "\n\n“" not in text) is paragraph


@pytest.mark.parametrize("style", ["short", "auto"])
async def test_the_setting_decides_where_the_request_is_silent(tmp_path, monkeypatch, style):
    monkeypatch.setenv("ATTEST_GENERATION__STYLE", style)
    async with running(tmp_path / "home", wrapped=styled) as api:
        await api.add(ACME, title="Acme annual report 2023")
        answer = (await api.client.post("/v1/ask", json={"question": "Is smoking allowed in the plant?"})).json()
        assert answer["answer"].startswith("No [1]") is (style == "auto")
