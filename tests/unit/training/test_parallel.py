"""Made-up sentences with several facts: what is marked answers what is asked, and no other fact does."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest

from app.training.made_up_values import made_up_values, without_unit
from app.training.own_questions import parallel_questions
from app.training.parallel import ParallelQuestion, frames, parallel_question
from app.training.verifier.examples import GroupBuilder, Mixture, VerifierSource
from app.training.verifier.relations import Language


@pytest.fixture(scope="module")
def drawn() -> list[ParallelQuestion]:
    rng = random.Random(0)
    return [parallel_question(rng) for _ in range(3000)]


@pytest.mark.parametrize(("language", "at_least"), [("en", 140), ("zh", 70)])
def test_every_frame_has_words_for_its_slots(language: Language, at_least: int) -> None:
    known, words = frames(language)
    assert len(known) > at_least
    for frame in known:
        assert frame.keys in words or frame.keys == "years", frame
        slots = ("{ks}", "{vs}") if not frame.rests else ("{k}", "{v}")
        assert all(piece.count(slot) == 1 for piece in (frame.head, *frame.rests) for slot in slots), frame
        assert frame.by_key, frame
        assert all("{k}" in question and "{v}" not in question for question in frame.by_key), frame
        assert all("{v}" in question and "{k}" not in question for question in frame.by_value), frame
    assert all(len(members) >= 7 and len(set(members)) == len(members) for members in words.values())


def test_marks_stand_on_whole_words_and_never_on_one_another(drawn: list[ParallelQuestion]) -> None:
    for made in drawn:
        spans = [(made.start, made.end), *made.others]
        assert 2 <= len(spans) <= 4
        assert len({made.text[a:b] for a, b in spans}) == len(spans)
        ordered = sorted(spans)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(ordered))
        for start, end in spans:
            assert made.text[start:end] == made.text[start:end].strip() != ""
            assert not (start and made.text[start - 1].isalnum())
            assert not (end < len(made.text) and made.text[end].isalnum())
        assert "{" not in made.text + made.question + made.unanswered
        assert not made.text[0].islower()
        assert made.text.endswith(".")


def test_chinese_facts_stand_side_by_side_without_spaces() -> None:
    rng = random.Random(3)
    made = [parallel_question(rng, "zh") for _ in range(1000)]
    assert all(one.text.endswith("。") and " " not in one.text and "{" not in one.text + one.question for one in made)
    assert all(one.question.endswith("？") for one in made)
    assert all(one.answer not in {one.text[a:b] for a, b in one.others} for one in made)
    assert any("分别" in one.text for one in made)


def test_values_of_a_kind_are_different_and_written_alike() -> None:
    rng = random.Random(0)
    for _ in range(200):
        prices = made_up_values("money", 4, rng, "en")
        assert len(set(prices)) == 4
        assert len({without_digits(price) for price in prices}) == 1
    assert all(value.endswith("公斤") for value in made_up_values("#公斤", 4, rng, "zh"))
    assert [without_unit(value) for value in ("6 euros", "3.5%", "$6", "2 million euros")] == [
        "6",
        "3.5",
        "$6",
        "2 million euros",
    ]


def without_digits(price: str) -> str:
    return re.sub(r"[\d.,]+", "", price)


def test_a_question_names_the_partner_of_its_answer() -> None:
    """Told with one frame whose words are plain, the pair that the sentence states is the pair of the question."""
    rng = random.Random(5)
    checked = 0
    while checked < 40:
        made = parallel_question(rng)
        if made.question.startswith("What colour is the ") and " is made of" not in made.text:
            key = made.question.removeprefix("What colour is the ").removesuffix("?")
            after = made.text.lower().split(f"the {key} ", 1)[1].removeprefix("is ")
            assert after.startswith(made.answer.lower()), made
            checked += 1


def test_later_facts_are_asked_for_more_often_and_some_backwards(drawn: list[ParallelQuestion]) -> None:
    first = sum(all(made.start < start for start, _ in made.others) for made in drawn) / len(drawn)
    assert 0.2 < first < 0.4
    assert any(made.question.startswith("Who won ") for made in drawn)
    assert any(made.question.startswith("What did ") and made.question.endswith(" win?") for made in drawn)
    assert any("respectively" in made.text or "in that order" in made.text for made in drawn)


def test_a_fact_that_is_not_told_is_asked_for_by_a_key_that_the_sentence_lacks() -> None:
    known, words = frames()
    people = {frame.by_key[0] for frame in known if frame.keys == "people"}
    assert people
    rng = random.Random(2)
    names = set(words["people"])
    seen = 0
    for _ in range(2000):
        made = parallel_question(rng)
        asked = [name for name in names if name in made.unanswered]
        assert all(name not in made.text for name in asked)
        seen += bool(asked)
    assert seen > 100


def test_reading_questions_hold_their_answer_or_have_none() -> None:
    questions = parallel_questions(random.Random(1), 600)
    assert len(questions) == 600
    untold = [q for q in questions if not q.answers]
    assert 0.1 < len(untold) / 600 < 0.2
    assert all(q.answers[0] in q.context for q in questions if q.answers)
    assert questions == parallel_questions(random.Random(1), 600)


def test_the_verifier_sees_another_facts_value_and_a_fact_that_is_not_told() -> None:
    mixture = Mixture(twins=0, parallel=200, sentence_questions=0, behaviour_repeats=0)
    groups = GroupBuilder(VerifierSource([], mixture=mixture)).one_pass(random.Random(0))
    assert len(groups) == 200
    assert all([judged.right for judged in group] == [True, False] for group in groups)
    swapped = [group for group in groups if group[0].question == group[1].question]
    assert all((one.start, one.end) != (other.start, other.end) for one, other in swapped)
    assert all(one.text[one.start : one.end] != other.text[other.start : other.end] for one, other in swapped)
    assert 0.6 < len(swapped) / 200 < 0.9
    rest = [group for group in groups if group[0].question != group[1].question]
    assert all((one.start, one.end) == (other.start, other.end) for one, other in rest)
