"""A collection's own calibration: fitted to ratings, promoted on a held-out fall only, served at once, taken back."""

from __future__ import annotations

import pytest

from app.generation.collection_calibration import MIN_RATED, correction_of
from app.index.calibrations import CalibrationStore
from tests.unit.api.harness import assert_problem, running

QUESTION = "When was the stone bridge opened to traffic?"  # five of its eight words stand in the text
TEXT = "The stone bridge was opened in 1899."


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as running_api:
        body = {"id": "bridge", "text": TEXT}
        assert (await running_api.client.post("/v1/documents", json=body)).status_code == 202
        await running_api.work()
        yield running_api


async def asked(api, **more) -> dict:
    response = await api.client.post("/v1/ask", json={"question": QUESTION, **more})
    assert response.status_code == 200, response.text
    return response.json()


def rate(api, count: int, *, right_of_ten: int, confidence: float = 0.7, calibration: str = "harness", **more) -> None:
    """As many answers, each with a rating of its own; `more` changes their bodies."""
    catalog = api.services.catalog
    for number in range(count):
        answer_id = f"ans_{calibration}_{confidence}_{number:04}"
        body = {
            "collection_generation": {"default": 1},
            "abstained": False,
            "confidence_kind": "calibrated",
            "confidence": 0.1,  # what was told; what counts is what the shipped calibration said
            "global_confidence": confidence,
            "calibration": calibration,
            **more,
        }
        assert catalog.save_answer(answer_id, f"question {number}", body)
        catalog.add_feedback(answer_id, 1 if number % 10 < right_of_ten else -1)


async def train(api, **body) -> dict:
    """The job once it has ended."""
    started = await api.client.post("/v1/calibrations/train", **({"json": body} if body else {}))
    assert started.status_code == 202, started.text
    events = await api.events("GET", f"/v1/jobs/{started.json()['id']}/events")
    assert events[-1][0] == "done"
    return events[-1][1]


async def listed(api, collection: str = "default") -> list[dict]:
    return (await api.client.get(f"/v1/calibrations?collection={collection}")).json()["data"]


async def test_ratings_lower_a_confidence_that_promised_too_much_until_they_are_taken_back(api):
    before = await asked(api, trace=True)
    assert (before["abstained"], before["confidence_calibration"]) == (False, "global")
    assert 0.5 <= before["confidence"] < 0.8
    judge = next(stage for stage in before["trace"]["stages"] if stage["stage"] == "judge")
    assert judge["detail"]["confidence_calibration"] == "global"
    assert [each["id"] for each in await listed(api)] == ["shipped"]

    rate(api, 100, right_of_ten=3)  # of a hundred answers at .7, thirty were right
    job = await train(api)
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["promoted"] is True
    first, shipped = await listed(api)
    assert (first["status"], first["active"], first["outdated"], shipped["active"]) == ("active", True, False, False)
    assert first["figures"]["held_out"]["difference"]["high"] < 0
    assert first["figures"]["training"]["rated"] == 100
    assert first["figures"]["training"]["unrated"] == 1  # the question above
    assert correction_of(first["figures"]["correction"]).applied(0.7) == pytest.approx(0.33, abs=0.03)

    after = await asked(api, trace=True)
    assert after["confidence_calibration"] == "collection"
    assert after["confidence"] < before["confidence"] - 0.2
    assert after["abstained"] is (after["confidence"] < after["threshold"]) is True
    assert after["citations"] == []
    judge = next(stage for stage in after["trace"]["stages"] if stage["stage"] == "judge")
    assert judge["detail"]["global_confidence"] == pytest.approx(before["confidence"])
    kept = api.services.catalog.get_answer(after["id"])
    assert kept["global_confidence"] == pytest.approx(before["confidence"])  # the next fit learns from this one
    assert kept["calibration"] == "harness"
    assert (await asked(api, abstain=0.1))["abstained"] is False

    # the same ratings again: what serves already knows them
    job = await train(api)
    assert job["result"]["promoted"] is False
    assert (await listed(api))[0]["status"] == "rejected"

    back = (await api.client.post("/v1/calibrations/rollback")).json()
    assert (back["removed"]["id"], back["active"]["id"]) == (first["id"], "shipped")
    assert (await asked(api))["confidence"] == before["confidence"]
    assert_problem(await api.client.post("/v1/calibrations/rollback"), 409)
    again = await api.client.post(f"/v1/calibrations/{first['id']}/activate")
    assert again.json()["active"] is True
    assert (await asked(api))["confidence_calibration"] == "collection"


async def test_another_collection_and_both_together_keep_the_shipped_one(api):
    await api.client.post("/v1/collections", json={"name": "other"})
    await api.client.post("/v1/documents", json={"id": "copy", "text": TEXT, "collection": "other"})
    await api.work()
    rate(api, 100, right_of_ten=3)
    assert (await train(api))["result"]["promoted"] is True
    assert (await asked(api, collections=["other"]))["confidence_calibration"] == "global"
    assert (await asked(api, collections=["default", "other"]))["confidence_calibration"] == "global"
    assert (await asked(api, collections=["default"]))["confidence_calibration"] == "collection"
    assert [each["id"] for each in await listed(api, "other")] == ["shipped"]


async def test_only_ratings_of_given_answers_of_this_collection_alone_count(api):
    rate(api, 40, right_of_ten=5)
    rate(api, 40, right_of_ten=5, confidence=0.61, abstained=True)
    rate(api, 40, right_of_ten=5, confidence=0.62, collection_generation={"default": 1, "other": 1})
    rate(api, 40, right_of_ten=5, confidence=0.63, confidence_kind="support")
    rate(api, 40, right_of_ten=5, calibration="of_last_year")
    catalog = api.services.catalog
    for number in range(40):  # about a chunk, or as many for as against
        catalog.add_feedback(f"ans_harness_0.7_{number:04}", -1, "chunk")
    assert catalog.save_answer("ans_tied", "q", catalog.get_answer("ans_harness_0.7_0000"))
    for rating in (1, -1):
        catalog.add_feedback("ans_tied", rating)
    job = await train(api)
    assert job["status"] == "failed"
    assert "to 20 questions to this collection alone are rated as helpful and to 20 as not" in job["error"]
    assert "(40 more were given under an earlier calibration)" in job["error"]
    assert f"needs {MIN_RATED} rated questions" in job["error"]
    given = list(CalibrationStore(catalog).given("default"))
    assert sorted(each.votes for each in given) == [-1] * 40 + [0] + [1] * 40
    assert [each["id"] for each in await listed(api)] == ["shipped"]


async def test_a_correction_of_a_calibration_that_is_gone_changes_nothing(api):
    rate(api, 100, right_of_ten=3)
    await train(api)
    before = (await asked(api))["confidence"]
    api.services.pipeline.stages.own.calibration = "of_the_next_release"
    now = await asked(api)
    assert (now["confidence_calibration"], now["confidence"] > before) == ("global", True)
    correction, shipped = await listed(api)
    assert (correction["outdated"], shipped["active"]) == (True, True)


async def test_a_calibration_goes_with_its_collection(api):
    await api.client.post("/v1/collections", json={"name": "gone"})
    rate(api, 100, right_of_ten=3, collection_generation={"gone": 1})
    job = await train(api, collection="gone")
    assert job["result"]["promoted"] is True
    store = CalibrationStore(api.services.catalog)
    assert len(store.ids()) == 1
    assert (await api.client.delete("/v1/collections/gone")).status_code == 200
    assert store.ids() == set()
    await api.client.post("/v1/collections", json={"name": "gone"})
    assert store.correction("gone") is None


async def test_a_question_that_is_asked_again_and_again_is_one_case(api):
    rate(api, 70, right_of_ten=5)
    catalog = api.services.catalog
    body = catalog.get_answer("ans_harness_0.7_0000")  # right, and then blamed twice in another spelling
    for number in range(300):
        catalog.save_answer(f"ans_again_{number}", " Question  0", body)
    for number in range(2):
        catalog.add_feedback(f"ans_again_{number}", -1)
    await train(api)
    training = (await listed(api))[0]["figures"]["training"]
    assert (training["rated"], training["right"], training["wrong"], training["unrated"]) == (70, 34, 36, 0)


async def test_wrong_requests_are_told_why(api):
    assert_problem(await api.client.post("/v1/calibrations/train", json={"collection": "nowhere"}), 404)
    assert_problem(await api.client.post("/v1/calibrations/train", json={"colection": "default"}), 422)
    assert_problem(await api.client.post("/v1/calibrations/none/activate"), 404)
    assert_problem(await api.client.post("/v1/calibrations/shipped/activate"), 409)
    assert_problem(await api.client.get("/v1/calibrations?collection=nowhere"), 404)
