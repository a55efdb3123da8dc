"""A collection's own confidence: what ratings teach, what they can not, and when nothing is fitted."""

from __future__ import annotations

import math
import random

import pytest

from app.errors import InvalidInput
from app.evaluation.metrics import paired_bootstrap
from app.generation.abstention import sigmoid
from app.generation.calibration_job import drawn, judged
from app.generation.collection_calibration import (
    MIN_EACH,
    MIN_RATED,
    CollectionCalibrations,
    Correction,
    Rated,
    brier,
    correction_of,
    fit_correction,
    held_out,
    log_loss,
)
from app.generation.rated_questions import RatedQuestions, rated_questions
from app.index.calibrations import GivenAnswer


def collection(
    count: int, *, shift: float = 0.0, slope: float = 1.0, wrong_rated_more: float = 1.0, seed: int = 0
) -> list[Rated]:
    """Rated answers whose truth is the confidence's logit, moved and stretched around 1."""
    chosen, rated = random.Random(seed), list[Rated]()
    while len(rated) < count:
        logit = chosen.gauss(1.0, 1.2)
        right = chosen.random() < sigmoid(1.0 + shift + slope * (logit - 1.0))
        if not right or chosen.random() < 1 / wrong_rated_more:
            rated.append(Rated(f"question {len(rated)}", sigmoid(logit), right))
    return rated


def test_many_ratings_of_all_answers_find_the_truth() -> None:
    found = fit_correction(collection(4_000, shift=-1.0, slope=0.6), 0, "x")
    # at the centre the truth is 1 − 1 + .6 · (centre − 1) against a shipped logit of `centre`
    assert found.shift == pytest.approx(-1.0 + (0.6 - 1) * (found.centre - 1), abs=0.12)
    assert found.slope == pytest.approx(0.6, abs=0.08)
    p = sigmoid(2.0)
    assert found.applied(p) == pytest.approx(sigmoid(1 - 1.0 + 0.6), abs=0.03)


def test_it_is_the_most_probable_one_by_brute_force() -> None:
    rated = collection(80, shift=-0.7, slope=0.7, seed=3)
    found = fit_correction(rated, 0, "x")

    def loss(shift: float, slope: float) -> float:
        own = Correction(shift, slope, found.centre, 0.0, "x")
        priors = shift**2 / 2 + (slope - 1) ** 2 / (2 * 0.5**2)
        return priors + sum(log_loss(own.applied(each.confidence), right=each.right) for each in rated)

    least = loss(found.shift, found.slope)
    around = [(x / 50, y / 50) for x in range(-10, 11) for y in range(-10, 11) if x or y]
    assert all(least < loss(found.shift + x, found.slope + y) for x, y in around)


def test_few_ratings_move_little() -> None:
    same = [Rated(str(n), 0.8, n < 3) for n in range(6)]  # half of them right, at a confidence of .8
    few = fit_correction(same, 0, "x")
    many = fit_correction(same * 50, 0, "x")
    assert -1.0 < few.shift < -0.5
    assert many.shift == pytest.approx(-math.log(4), abs=0.03)  # logit .5 − logit .8
    assert few.applied(0.8) > many.applied(0.8) > 0.5


def test_ratings_that_only_the_disappointed_give_do_not_lower_a_confidence() -> None:
    biased = collection(1_500, wrong_rated_more=2.0)
    assert fit_correction(biased, 0, "x").shift < -0.5  # taken at its word: every answer was rated
    open_to_doubt = fit_correction(biased, 5_000, "x")
    assert open_to_doubt.shift == pytest.approx(0.0, abs=0.1)
    assert open_to_doubt.slope == pytest.approx(1.0, abs=0.1)  # who rates says nothing about the slope
    worse_still = fit_correction(collection(1_500, shift=-1.5), 5_000, "x")
    assert worse_still.shift == pytest.approx(-1.5 + math.log(2), abs=0.15)


def test_what_nobody_rated_bounds_the_doubt() -> None:
    rated = collection(400, shift=-1.0, seed=2)
    right = sum(each.right for each in rated)
    shifts = [fit_correction(rated, unrated, "x").shift for unrated in (0, 10, 100, 100_000)]
    assert shifts == sorted(shifts)
    assert shifts[1] - shifts[0] == pytest.approx(math.log1p(10 / right))
    assert shifts[3] - shifts[0] == pytest.approx(math.log(2))
    risen = collection(400, shift=1.2, seed=2)
    assert 0 <= fit_correction(risen, 100_000, "x").shift < fit_correction(risen, 0, "x").shift


def test_order_stays_and_what_was_never_rated_is_never_raised() -> None:
    rising = fit_correction(collection(600, shift=1.5, seed=4), 0, "x")
    places = [place / 1000 for place in range(1001)]
    corrected = [rising.applied(place) for place in places]
    assert corrected == sorted(corrected)
    assert all(0.0 <= each <= 1.0 for each in corrected)
    assert all(own <= place for place, own in zip(places, corrected, strict=True) if place < rising.floor)
    assert rising.applied(0.0) == 0.0
    assert rising.applied(0.5) > 0.6 > rising.floor
    assert fit_correction([Rated("q", 1.0, True), Rated("r", 0.0, False)] * 500, 0, "x").slope <= 4.0
    assert fit_correction([Rated("q", 1.0, False), Rated("r", 0.0, True)] * 500, 0, "x").slope >= 0.25


def test_the_numbers_come_back_from_where_they_are_stored() -> None:
    found = fit_correction(collection(50), 10, "shipped-1")
    assert correction_of(found.figures()) == found
    calibrations = CollectionCalibrations({"a": found.figures(), "b": None}.get, "shipped-1")
    assert calibrations.of(["a"]) == found
    assert calibrations.of(["b"]) is None
    assert calibrations.of(["a", "b"]) is None  # asked together they share the shipped one
    assert CollectionCalibrations({"a": found.figures()}.get, "shipped-2").of(["a"]) is None


def test_no_answer_is_judged_by_a_correction_that_knew_its_question() -> None:
    # one question, rated a hundred times as wrong, in two spellings: it must not vouch for itself
    rated = [Rated(" Same  Question", 0.9, False), Rated("same question", 0.9, False)] * 50
    rated += [Rated(str(n), 0.9, True) for n in range(100)]
    held = held_out(rated, 0, None)
    assert len(held) == 200
    missed = [log_loss(own, right=False) for each, shipped, own in held if not each.right and shipped == 0.9]
    assert len(missed) == 100
    assert min(missed) > -math.log(1 - 0.9) - 0.3  # hardly better than what was shipped


def test_too_little_is_said_with_both_numbers() -> None:
    RatedQuestions(collection(MIN_RATED, shift=-1), 0, 0).check_enough()
    for right, wrong in ((MIN_RATED, MIN_EACH - 1), (MIN_EACH - 1, MIN_RATED), (MIN_RATED // 2, MIN_RATED // 2 - 1)):
        few = [Rated(str(n), 0.7, n < right) for n in range(right + wrong)]
        with pytest.raises(InvalidInput, match=rf"to {right} questions .* to {wrong} as not; .*needs {MIN_RATED}"):
            RatedQuestions(few, 0, 0).check_enough()
    with pytest.raises(InvalidInput, match="7 more were given under an earlier calibration"):
        RatedQuestions([], 0, 7).check_enough()


def test_what_is_still_needed_meets_both_conditions() -> None:
    def needed(right: int, wrong: int) -> tuple[int, int, int]:
        return RatedQuestions([Rated(str(n), 0.7, n < right) for n in range(right + wrong)], 0, 0).needed

    assert needed(0, 0) == (60, 15, 15)
    assert needed(40, 12) == (8, 0, 3)  # eight of any kind, three of them wrong
    assert needed(100, 0) == (15, 0, 15)  # enough in all, none of them wrong
    assert needed(45, 15) == (0, 0, 0)


def test_a_question_is_one_case_with_the_means_of_its_rated_answers() -> None:
    found = rated_questions(
        [
            GivenAnswer("Why?", 0.4, "x", 1, 0.2),
            GivenAnswer(" why? ", 0.6, "x", 1, 0.4),
            GivenAnswer("why?", 0.9, "x", 0, 0.9),  # nobody rated it: it says nothing
            GivenAnswer("Who?", 0.5, "x", -2, 0.3),
            GivenAnswer("When?", 0.5, "x", 0, 0.3),
            GivenAnswer("What?", 0.5, "old", 1, 0.3),
        ],
        "x",
    )
    why, who = found.rated
    assert (why.question, why.right, who.question, who.right) == ("why?", True, "who?", False)
    assert (why.confidence, why.threshold) == (pytest.approx(0.5), pytest.approx(0.3))
    assert (found.right, found.wrong, found.unrated, found.outdated) == (1, 1, 1, 1)


def test_what_is_still_given_is_counted_at_each_answers_own_threshold() -> None:
    rated = [Rated("a", 0.9, True, 0.5), Rated("b", 0.8, False, 0.5), Rated("c", 0.7, True, 0.1)]
    assert drawn(rated, [0.9, 0.8, 0.7], lambda *_: {"n": 3}) == {
        "n": 3,
        "given": {"coverage": 1.0, "risk": pytest.approx(1 / 3)},
    }
    after = drawn(rated, [0.6, 0.4, 0.2], lambda *_: {})["given"]
    assert after == {"coverage": pytest.approx(2 / 3), "risk": 0.0}
    assert drawn(rated, [0.0, 0.0, 0.0], lambda *_: {})["given"] == {"coverage": 0.0, "risk": None}


def promoted_share(count: int, runs: int = 25, **world: float) -> float:
    """How often a correction is promoted, 1,000 further answers unrated."""

    def compare(a, b, *, confidence: float, seed: int):  # type: ignore[no-untyped-def]
        return paired_bootstrap(a, b, confidence=confidence, seed=seed, resamples=400)

    worlds = (collection(count, seed=seed, **world) for seed in range(runs))
    return sum(judged(held_out(rated, 1_000, None), compare).promote for rated in worlds) / runs


def test_the_least_number_of_ratings_is_enough_for_large_errors_and_promotes_little_else() -> None:
    assert promoted_share(MIN_RATED, shift=-1.5) >= 0.7
    assert promoted_share(MIN_RATED) <= 0.1
    assert promoted_share(MIN_RATED, wrong_rated_more=2.0) <= 0.2
    assert promoted_share(4 * MIN_RATED, slope=0.4) >= 0.3


def test_a_promotion_beats_what_serves_and_not_only_what_is_shipped() -> None:
    rated = collection(300, shift=-1.5, seed=6)
    first = judged(held_out(rated, 0, None), paired_bootstrap)
    assert first.promote
    assert first.reason.startswith("promoted: held-out log loss ")
    assert first.figures["difference"]["high"] < 0
    again = judged(held_out(rated, 0, fit_correction(rated, 0, "x")), paired_bootstrap)
    assert not again.promote
    assert again.reason.startswith("not promoted: ")
    assert brier(rated, fit_correction(rated, 0, "x")) < brier(rated, None)
