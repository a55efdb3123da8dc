"""A collection's own calibration: fitted to ratings, promoted on a held-out fall only, served at once, taken back."""

from __future__ import annotations

import pytest

from app.generation.collection_calibration import MIN_RATED, correction_of
from app.index.calibrations import CalibrationStore
from tests.ratings import rate
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

    rate(api.services.catalog, 100, right_of_ten=3)  # of a hundred answers at .7, thirty were right
    job = await train(api)
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["promoted"] is True
    first, shipped = await listed(api)
    assert (first["status"], first["active"], first["outdated"], shipped["active"]) == ("active", True, False, False)
    assert first["figures"]["held_out"]["difference"]["high"] < 0
    assert first["figures"]["training"]["rated"] == 100
    assert first["figures"]["training"]["unrated"] == 1  # the question above
    assert correction_of(first["figures"]["correction"]).applied(0.7) == pytest.approx(0.33, abs=0.03)
    before_fit, after_fit = (first["figures"]["held_out"][side] for side in ("before", "after"))
    assert before_fit["calibration_error"] == pytest.approx(0.4)  # .7 told, .3 right
    assert after_fit["calibration_error"] < 0.1
    assert [(each["low"], each["count"]) for each in before_fit["reliability"]] == [(0.7, 100)]
    assert before_fit["given"] == {"coverage": 1.0, "risk": pytest.approx(0.7)}
    assert after_fit["given"] == {"coverage": 0.0, "risk": None}  # all are told as less sure than .5 now

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


async def test_the_ratings_are_told_before_there_are_enough_and_drawn(api):
    none = (await api.client.get("/v1/calibrations/ratings")).json()
    assert none == {
        "collection": "default",
        "rated": 0,
        "right": 0,
        "wrong": 0,
        "unrated": 0,
        "outdated": 0,
        "needed": {"rated": MIN_RATED, "right": 15, "wrong": 15},
        "enough": False,
        "figures": None,
    }
    rate(api.services.catalog, 20, right_of_ten=9)
    rate(api.services.catalog, 10, right_of_ten=1, confidence=0.3)
    rate(api.services.catalog, 5, right_of_ten=5, calibration="of_last_year")
    some = (await api.client.get("/v1/calibrations/ratings?collection=default")).json()
    # the first ten questions were asked at both confidences: `question 0` praised twice, 9 blamed twice, the rest a tie
    assert (some["rated"], some["right"], some["wrong"], some["unrated"]) == (12, 10, 2, 8)
    assert (some["needed"], some["outdated"]) == ({"rated": MIN_RATED - 12, "right": 5, "wrong": 13}, 5)
    assert some["enough"] is False
    figures = some["figures"]
    assert sum(each["count"] for each in figures["reliability"]) == figures["questions"] == 12
    low, high = figures["reliability"]
    assert (low["confidence"], high["confidence"]) == (pytest.approx(0.5), pytest.approx(0.7))
    for each in (low, high):
        assert 0 <= each["right_low"] <= each["right"] <= each["right_high"] <= 1
    assert figures["risk_coverage"][-1] == {"coverage": 1.0, "risk": pytest.approx(figures["wrong"])}
    assert figures["given"]["coverage"] == 1.0

    rate(api.services.catalog, 110, right_of_ten=7, confidence=0.8)
    enough = (await api.client.get("/v1/calibrations/ratings")).json()
    assert (enough["needed"], enough["enough"]) == ({"rated": 0, "right": 0, "wrong": 0}, True)
    assert (await train(api))["status"] == "succeeded"
    await api.client.post("/v1/collections", json={"name": "other"})
    assert (await api.client.get("/v1/calibrations/ratings?collection=other")).json()["rated"] == 0


async def test_another_collection_and_both_together_keep_the_shipped_one(api):
    await api.client.post("/v1/collections", json={"name": "other"})
    await api.client.post("/v1/documents", json={"id": "copy", "text": TEXT, "collection": "other"})
    await api.work()
    rate(api.services.catalog, 100, right_of_ten=3)
    assert (await train(api))["result"]["promoted"] is True
    assert (await asked(api, collections=["other"]))["confidence_calibration"] == "global"
    assert (await asked(api, collections=["default", "other"]))["confidence_calibration"] == "global"
    assert (await asked(api, collections=["default"]))["confidence_calibration"] == "collection"
    assert [each["id"] for each in await listed(api, "other")] == ["shipped"]


async def test_only_ratings_of_given_answers_of_this_collection_alone_count(api):
    rate(api.services.catalog, 40, right_of_ten=5)
    rate(api.services.catalog, 40, right_of_ten=5, confidence=0.61, abstained=True)
    rate(api.services.catalog, 40, right_of_ten=5, confidence=0.62, collection_generation={"default": 1, "other": 1})
    rate(api.services.catalog, 40, right_of_ten=5, confidence=0.63, confidence_kind="support")
    rate(api.services.catalog, 40, right_of_ten=5, calibration="of_last_year")
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
    rate(api.services.catalog, 100, right_of_ten=3)
    await train(api)
    before = (await asked(api))["confidence"]
    api.services.pipeline.stages.own.calibration = "of_the_next_release"
    now = await asked(api)
    assert (now["confidence_calibration"], now["confidence"] > before) == ("global", True)
    correction, shipped = await listed(api)
    assert (correction["outdated"], shipped["active"]) == (True, True)


async def test_a_calibration_goes_with_its_collection(api):
    await api.client.post("/v1/collections", json={"name": "gone"})
    rate(api.services.catalog, 100, right_of_ten=3, collection_generation={"gone": 1})
    job = await train(api, collection="gone")
    assert job["result"]["promoted"] is True
    store = CalibrationStore(api.services.catalog)
    assert len(store.ids()) == 1
    assert (await api.client.delete("/v1/collections/gone")).status_code == 200
    assert store.ids() == set()
    await api.client.post("/v1/collections", json={"name": "gone"})
    assert store.correction("gone") is None


async def test_a_question_that_is_asked_again_and_again_is_one_case(api):
    rate(api.services.catalog, 70, right_of_ten=5)
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
    assert_problem(await api.client.get("/v1/calibrations/ratings?collection=nowhere"), 404)
