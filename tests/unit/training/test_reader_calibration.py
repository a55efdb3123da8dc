"""The calibrator: Newton's method against closed forms, thresholds by hand, cases by construction."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from app.generation.abstention import calibrated_confidence
from app.generation.reader import Reader, load_reader
from app.generation.reader_search import ReadPrompt
from app.training.reader_calibration import (
    Answered,
    answer_from_corpus,
    answers_by_weights,
    best_threshold,
    fit_calibration,
    fit_logistic,
    fit_signed,
    mean_f1,
    prompt_of,
    retrieval_cases,
    threshold_at_risk,
)
from app.training.reading_sets import ReadingQuestion
from app.types import Evidence, Generated, Prompt


def test_without_penalty_a_binary_feature_gets_its_log_odds() -> None:
    # x = 0: 1 of 4 right, x = 1: 3 of 4 right → bias ln(1/3), weight ln 3 − ln(1/3)
    features = np.array([[0.0]] * 4 + [[1.0]] * 4)
    labels = np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    bias, weights = fit_logistic(features, labels, l2=1e-9)
    assert bias == pytest.approx(-math.log(3), abs=1e-5)
    assert weights[0] == pytest.approx(2 * math.log(3), abs=1e-5)


def test_the_penalised_optimum_has_no_gradient() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 3))
    labels = (features[:, 0] + rng.normal(size=40) > 0).astype(float)
    bias, weights = fit_logistic(features, labels, l2=2.0)
    probability = 1 / (1 + np.exp(-(bias + features @ weights)))
    np.testing.assert_allclose(features.T @ (probability - labels) + 2.0 * weights, 0, atol=1e-6)
    assert (probability - labels).sum() == pytest.approx(0, abs=1e-6)


def test_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="all the same"):
        fit_logistic(np.zeros((3, 1)), np.ones(3))


def test_features_that_say_the_same_do_not_get_weights_of_opposite_signs() -> None:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=400)
    twin = cause + 0.05 * rng.normal(size=400)
    labels = (cause - 8 * (twin - cause) + rng.normal(size=400) > 0).astype(np.float64)
    features = np.stack([cause, twin], axis=1)
    _, free = fit_logistic(features, labels, l2=1e-3)
    assert free[0] > 0 > free[1]
    _, signed = fit_signed(features, labels, (1, 1), l2=1e-3)
    assert signed[0] > 0
    assert signed[1] == 0
    _, agreeing = fit_signed(features, labels, (1, -1), l2=1e-3)
    assert agreeing == pytest.approx(free)


def test_threshold_at_risk_by_hand() -> None:
    confidences, right = [0.9, 0.8, 0.7, 0.6, 0.5], [True, True, False, True, False]
    # Answering 1, 2, 3, 4 or all: 0, 0, 1/3, 1/4, 2/5 of the answers are wrong.
    assert threshold_at_risk(confidences, right, 0.25) == pytest.approx(0.55)
    assert threshold_at_risk(confidences, right, 0.1) == pytest.approx(0.75)
    assert threshold_at_risk(confidences, right, 0.4) == 0.5
    # The first two are equally sure: both or none.
    assert threshold_at_risk([0.9, 0.9, 0.1], [True, False, False], 0.2) > 0.9


def test_what_the_threshold_is_chosen_on_was_not_fitted_on() -> None:
    rng = np.random.default_rng(2)
    evidence, right, groups = [], [], []
    for place in range(300):
        group = "ab"[place % 2]
        strength = float(rng.normal())
        # In one collection the answer's probability says nothing: fitted on itself it would be as sure as the other.
        right.append(bool(rng.random() < 1 / (1 + math.exp(-3 * strength)) if group == "a" else rng.random() < 0.5))
        evidence.append(Evidence(answer_logprob=strength - 3, null_logprob=-1.0, question_coverage=float(rng.random())))
        groups.append(group)
    pooled = fit_calibration(evidence, right, ["all"] * 300, risk=0.3)
    apart = fit_calibration(evidence, right, groups, risk=0.3)
    assert apart.weights == pooled.weights
    assert apart.threshold != pooled.threshold


def test_threshold_by_hand() -> None:
    # Answering the two surest gains 1 + 0.5, the third loses 1: cut between 0.6 and 0.4.
    assert best_threshold([0.4, 0.9, 0.6, 0.1], [-1.0, 1.0, 0.5, 0.2]) == pytest.approx(0.5)
    assert best_threshold([0.3, 0.2], [-1.0, -1.0]) == 1.0
    assert best_threshold([0.3, 0.2], [1.0, 1.0]) == 0.2


def test_a_fitted_calibrator_separates_good_from_bad_evidence() -> None:
    rng = np.random.default_rng(1)
    evidence, right = [], []
    for _ in range(200):
        good = bool(rng.random() < 0.5)
        logprob = float(-abs(rng.normal(0.5 if good else 3.0, 0.5)))
        null = float(np.log(np.clip(rng.normal(0.2 if good else 0.7, 0.1), 0.01, 0.99)))
        evidence.append(Evidence(answer_logprob=logprob, null_logprob=null, passage_mass=(0.5,), question_coverage=0.8))
        right.append(good)
    fitted = fit_calibration(evidence, right, ["one", "two"] * 100, risk=0.02)
    assert "kind_fit" not in fitted.features  # no evidence has it
    confidences = np.array([calibrated_confidence(e, fitted) for e in evidence])
    labels = np.array(right)
    assert confidences[labels].mean() > 0.9 > 0.1 > confidences[~labels].mean()
    assert confidences.mean() == pytest.approx(labels.mean(), abs=0.01)
    assert ((confidences >= fitted.threshold) == labels).mean() > 0.95


def test_cases_hold_the_gold_passage_or_only_distractors() -> None:
    questions = [
        ReadingQuestion(
            f"q{n}", "policyqa", "heldout", "", f"Who built bridge {n % 5}", f"{n % 5} Ada{n}", (f"Ada{n}",)
        )
        for n in range(30, 60)
    ]
    vocabulary: dict[str, int] = {}

    def ids(text: str) -> list[int]:
        return [vocabulary.setdefault(word, len(vocabulary)) for word in text.split()]

    cases = retrieval_cases(questions, "heldout", ids, passages=3, goldless_share=0.5, seed=1)
    assert len(cases) == 30
    assert 5 < sum(1 for case in cases if case.answers) < 25
    for case in cases:
        texts = [passage.text for passage in case.prompt.passages]
        assert len(set(texts)) == len(texts) == 3
        assert (case.question.context in texts) == bool(case.answers)


def test_prompts_number_their_passages() -> None:
    prompt = prompt_of("Who?", ["one", "two"])
    assert [(p.number, p.text, p.char_end) for p in prompt.passages] == [(1, "one", 3), (2, "two", 3)]


def test_every_pair_of_weights_answers_the_same_questions_from_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0

    class Counted(Reader):
        def read(self, prompt: Prompt, check: Callable[[], None] = lambda: None) -> ReadPrompt:
            nonlocal reads
            reads += 1
            return super().read(prompt, check)

    texts = ["The mill was founded by Ida Brandt.", "The lamp works were founded by Tomas Weir."]
    questions = [
        ReadingQuestion("1", "a", "dev", "", "Who founded the mill?", texts[0], ("Ida Brandt",)),
        ReadingQuestion("2", "b", "dev", "", "Who founded the lamp works?", texts[1], ("Tomas Weir",)),
        ReadingQuestion("3", "b", "dev", "", "Who burned the lamp works?", texts[1], ()),
    ]
    made = load_reader()
    counted = Counted.__new__(Counted)
    counted.__dict__.update(made.__dict__)
    answered = answers_by_weights(counted, questions, [(0.35, 0.0), (2.0, 0.8)], limit_per_set=9, share_left_out=0.0)
    assert reads == 3
    assert list(answered) == [(0.35, 0.0), (2.0, 0.8)]
    for one in answered.values():
        assert sorted((row.question.id, row.right, row.found) for row in one) == [
            ("1", True, True),
            ("2", True, True),
            ("3", False, False),
        ]
        assert mean_f1(one) == 1.0
    plain = answer_from_corpus(made, questions[:2], limit_per_set=9, share_left_out=0.0)
    assert [row.generated.text for row in plain] == ["Ida Brandt", "Tomas Weir"]
    fewer = answers_by_weights(made, questions, [(1.0, 0.0)], limit_per_set=9, limits={"b": 1}, share_left_out=0.0)
    assert [row.question.collection for row in fewer[1.0, 0.0]] == ["a", "b"]


def test_each_collection_counts_the_same_in_the_mean_and_what_was_not_found_not_at_all() -> None:
    def one(collection: str, text: str, *, found: bool = True) -> Answered:
        asked = ReadingQuestion("1", collection, "dev", "", "?", "", ("yes it is",))
        generated = Generated(text, (), True, Evidence(), 0, 0, "m")
        return Answered(asked, prompt_of("?", []), generated, found)

    rows = [one("a", "yes it is"), one("a", "no"), one("xquad_en_zh", "no"), one("squad2_dev_half", "no", found=False)]
    assert mean_f1(rows) == pytest.approx((0.5 + 0.0) / 2)
    assert mean_f1([]) == 0.0
