"""Which weights the bilingual reader ranks with, on what its calibrator is fitted, and what it is scored by."""

from __future__ import annotations

import pytest

from app.generation.abstention import FEATURES
from app.training.bilingual.calibrate import best_weights, figures, fitted_on, found_f1, near_misses
from app.training.reader_calibration import Answered
from app.training.reading_sets import CROSS_LINGUAL_SET, ReadingQuestion
from app.types import Evidence, Generated, Prompt

TEXT = "石桥磨坊由林若川于1931年创立。"


def question(number: int, collection: str = "cmrc2018", answers: tuple[str, ...] = ("林若川",)) -> ReadingQuestion:
    asked = f"{1900 + number}年谁创立了磨坊？"
    return ReadingQuestion(f"{collection}-{number}", collection, "dev", "磨坊", asked, TEXT, answers)


def answered(
    number: int, text: str, verification: float, collection: str = "cmrc2018", *, found: bool = True
) -> Answered:
    evidence = Evidence(answer_logprob=-1.0, null_logprob=-1.0, question_coverage=0.5, verification=verification)
    asked = question(number, collection)
    generated = Generated(text, (), True, evidence, 0, 0, "reader")
    return Answered(asked, Prompt(asked.question, (), "", 0), generated, found)


def test_changed_questions_keep_their_passage_and_lose_their_answers() -> None:
    dev = [question(n, name) for name in ("cmrc2018", "drcd", CROSS_LINGUAL_SET) for n in range(9)]
    made = near_misses(dev, 4)
    assert len(made) == 8
    assert {q.collection for q in made} == {"cmrc2018_near", "drcd_near"}
    originals = {q.id: q for q in dev}
    for q in made:
        original = originals[q.id.removesuffix("_near")]
        assert (q.answers, q.context, q.role) == ((), original.context, "dev")
        assert q.question != original.question
    assert near_misses(dev, 4) == made
    assert near_misses(dev, 4, seed=1) != made
    assert near_misses([], 4) == []


def test_weights_are_those_with_the_best_f1_where_the_paragraph_was_found() -> None:
    right, wrong = [answered(0, "林若川", 0.0)], [answered(0, "石桥", 0.0)]
    assert best_weights({(0.35, 0.0): wrong, (1.0, 0.4): right, (2.0, 0.8): right}) == (1.0, 0.4)
    missing = [answered(1, "石桥", 0.0, found=False)]
    assert found_f1([*right, *missing]) == 1.0
    assert found_f1(missing) == 0.0
    # two sets of one family count once, as the other family does
    several = [answered(n, "林若川", 0.0) for n in range(3)]
    several += [answered(4, "石桥", 0.0, "xquad_zh"), answered(5, "石桥", 0.0, CROSS_LINGUAL_SET)]
    assert found_f1(several) == pytest.approx(0.5)


def test_confidences_are_judged_by_a_fit_on_the_other_sets() -> None:
    told = [
        answered(n, "林若川" if n % 2 else "石桥", 3.0 if n % 2 else -3.0, name)
        for name in ("cmrc2018", "drcd")
        for n in range(12)
    ]
    known = figures(told, FEATURES)
    assert known["right"] == 0.5
    assert known["auroc"] == 1.0
    assert (known["answered"], known["answered_right"]) == (12, 12)
    blind = figures(told, [name for name in FEATURES if name != "verification"])
    assert blind["auroc"] == 0.5
    assert "verification" in fitted_on(told, FEATURES).features
