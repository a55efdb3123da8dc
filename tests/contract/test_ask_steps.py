"""A question of two hops over HTTP: taken apart where that is asked for, each step shown, citations verified."""

import pytest

from tests.unit.api.harness import running

FILM = "The film Steel Rain was made in Oslo. The director of film Steel Rain is Ann Lee."
BIRTH = "Ann Lee was born in 1950. She lived in Bergen."
OTHER = "Steel is an alloy. Rain is water that falls."


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        await running_api.add(FILM, id="film")
        await running_api.add(BIRTH, id="birth")
        await running_api.add(OTHER, id="other")
        yield running_api


async def ask(api, **body):
    response = await api.client.post("/v1/ask", json={"abstain": "never", "trace": True, **body})
    assert response.status_code == 200, response.text
    return response.json()


def stage_of(answer, name):
    stages = answer["trace"]["stages"] if isinstance(answer["trace"], dict) else answer["trace"]
    return [stage for stage in stages if stage["stage"] == name]


async def test_a_described_person_is_looked_up_first(api):
    found = await ask(api, question="When was the director of film Steel Rain born?", translate=["decompose"])
    (stage,) = stage_of(found, "decompose")
    assert stage["detail"]["plan"] == ["Who is the director of film Steel Rain?", "When was #1 born?"]
    (step,) = stage["detail"]["steps"]
    assert "Ann Lee" in step["guess"]
    assert step["evidence"]
    assert "decompose" in found["timings_ms"]
    for citation in found["citations"]:
        text = await api.text(citation["document_id"])
        assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]


async def test_it_is_asked_for_by_name_or_left_to_auto(api):
    question = "When was the director of film Steel Rain born?"
    for translate in ([], ["step_back"]):
        assert stage_of(await ask(api, question=question, translate=translate), "decompose") == []
    found = await ask(api, question=question)
    (stage,) = stage_of(found, "decompose")
    assert stage["detail"]["at_once"]["confidence"] > 0.5  # sure enough: auto leaves the question whole
    assert stage["detail"]["plan"] == []
    found = await ask(api, question="When was the director of film Grey Dawn born?")
    (stage,) = stage_of(found, "decompose")
    assert stage["detail"]["at_once"]["confidence"] < 0.5
    assert stage["detail"]["plan"] == ["Who is the director of film Grey Dawn?", "When was #1 born?"]
    assert stage_of(await ask(api, question="When was Ann Lee born?"), "decompose") == []


async def test_a_simple_question_goes_its_usual_way(api):
    plain = await ask(api, question="When was Ann Lee born?", translate=[])
    apart = await ask(api, question="When was Ann Lee born?", translate=["decompose"])
    assert apart["answer"] == plain["answer"]
    assert stage_of(apart, "decompose")[0]["detail"]["plan"] == []


async def test_the_steps_stream_as_one_status(api):
    body = {"question": "When was the director of film Steel Rain born?", "translate": ["decompose"], "stream": True}
    events = await api.events("POST", "/v1/ask", json=body)
    names = [name for name, _ in events]
    stages = [data["stage"] for name, data in events if name == "status"]
    assert stages[0] == "decompose"
    assert stages.count("retrieve") == 1
    assert names[-1] == "done"
