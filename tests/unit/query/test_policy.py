"""What the policy sees, what it makes of its predictions, and how it is kept on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightgbm
import numpy as np
import pytest

from app.errors import IntegrityError, InvalidInput, Unavailable
from app.query.policy import auto
from app.query.policy.auto import AutoTranslation, open_auto, writer_name
from app.query.policy.features import FEATURES, FirstLook, build
from app.query.policy.model import (
    CHECKSUMS,
    MODEL,
    RULES,
    Cost,
    Policy,
    Prediction,
    Rule,
    checksum_line,
    decide,
)
from app.query.rewriting import Rewriting
from app.telemetry import Trace

EMPTY = FirstLook((), (), ())


@dataclass
class Weights:
    """idf 4 for a term that no passage holds, 2 for every other that is not in `known`."""

    known: dict[str, float] = field(default_factory=dict)

    def idf(self, terms: Sequence[str]) -> dict[str, float]:
        return {term: 4.0 if " " in term else self.known.get(term, 2.0) for term in terms}


def seen(question: str, look: FirstLook = EMPTY, statistics: Any = None) -> dict[str, float]:
    return dict(zip(FEATURES, build(question, look, statistics).tolist(), strict=True))


def test_the_question_is_described_by_its_words() -> None:
    found = seen("Who is older, the director of Jaws or Ada's brother?")
    assert (found["asks_entity"], found["asks_thing"], found["asks_reason"], found["asks_yes_no"]) == (1, 0, 0, 0)
    assert (found["compares"], found["joined"], found["possessives"], found["chinese"]) == (1, 1, 1, 0)
    assert found["has_plan"] == 1
    assert seen("How many bridges did it cost?")["asks_entity"] == 1
    assert seen("Why did the bridge fall?")["asks_reason"] == 1
    assert seen("Did the bridge fall?")["asks_yes_no"] == 1
    assert seen("What did the bridge cost in 2024?")["has_general"] == 1
    chinese = seen("谁写了这本书？")
    assert (chinese["chinese"], chinese["asks_entity"]) == (1, 1)


def test_terms_are_weighed_against_one_that_no_passage_holds() -> None:
    found = seen("quantum bridge", statistics=Weights({"quantum": 4.0, "bridg": 1.0, "bridge": 1.0}))
    assert found["idf_max"] == 1.0
    assert found["idf_mean"] == pytest.approx((1.0 + 0.25) / 2)
    assert found["rare_share"] == 0.5
    assert found["unknown_share"] == 0.5


def test_the_first_look_is_described_by_its_scores() -> None:
    dense = [(key, score) for key, score in (("a", 0.8), ("b", 0.6), ("c", 0.4))]
    lexical = [("a", 3.0), ("c", 3.0)]
    found = seen("bridge", FirstLook(dense, lexical, ["A bridge.", "Nothing."]), Weights())
    assert found["cosine_top"] == pytest.approx(0.8)
    assert found["cosine_margin"] == pytest.approx(0.25)
    assert found["cosine_fall"] == pytest.approx(0.5)
    assert found["bm25_top"] == pytest.approx(3.0 / 0.5)  # one term of half the highest idf
    assert found["bm25_margin"] == 0.0
    assert found["bm25_entropy"] == pytest.approx(1.0)  # two alike
    assert 0 < found["cosine_entropy"] < 0.2
    assert found["overlap"] == 1.0  # both of the shorter ranking are in the other
    assert found["top_agrees"] == 2.0
    assert found["lexical_found"] == pytest.approx(2 / 50)
    assert (found["covered_top"], found["covered_best"]) == (1.0, 1.0)


def test_what_was_not_asked_is_not_known_rather_than_nothing() -> None:
    found = seen("bridge")
    assert math.isnan(found["cosine_top"])
    assert math.isnan(found["bm25_top"])
    assert math.isnan(found["overlap"])
    assert math.isnan(found["idf_max"])
    assert found["terms"] == 1
    assert not np.isinf(build("", FirstLook([("a", 0.0)], [("a", 0.0)], [""]), Weights())).any()


def test_the_surest_gain_comes_first_and_an_unsure_one_is_left() -> None:
    predicted = {"hyde": Prediction(0.05, 0.04), "multi_query": Prediction(0.03, 0.0), "step_back": Prediction(0.0, 0)}
    costs = dict.fromkeys(predicted, 10.0)
    assert decide(Rule(0.0, 0.0, 2), predicted, costs, 100.0).kinds == ("hyde", "multi_query")
    assert decide(Rule(1.0, 0.0, 2), predicted, costs, 100.0).kinds == ("multi_query", "hyde")
    assert decide(Rule(1.0, 0.0, 1), predicted, costs, 100.0).kinds == ("multi_query",)
    assert decide(Rule(1.0, 0.02, 2), predicted, costs, 100.0).kinds == ("multi_query",)
    assert decide(Rule(0.0, 0.05, 2), predicted, costs, 100.0).kinds == ()  # not above the margin


def test_what_does_not_fit_the_time_left_gives_way_to_what_does() -> None:
    predicted = {
        kind: Prediction(gain, 0.0) for kind, gain in (("hyde", 0.3), ("multi_query", 0.2), ("step_back", 0.1))
    }
    decision = decide(Rule(0.0, 0.0, 3), predicted, {"hyde": 60.0, "multi_query": 50.0, "step_back": 40.0}, 100.0)
    assert decision.kinds == ("hyde", "step_back")
    assert decision.why["multi_query"] == "50 ms are more than the 40 ms left"
    assert decide(Rule(0.0, 0.0, 3), predicted, dict.fromkeys(predicted, 1.0), 0.0).kinds == ()


def trained(column: str = "cosine_top") -> Any:
    """A booster whose gain is .2 where `column` is below .5, and −.2 elsewhere."""
    rows = np.random.default_rng(0).random((200, len(FEATURES))).astype(np.float32)
    gains = np.where(rows[:, FEATURES.index(column)] < 0.5, 0.2, -0.2)
    dataset = lightgbm.Dataset(rows, label=gains, feature_name=list(FEATURES), params={"verbose": -1})
    parameters = {"objective": "regression", "num_leaves": 2, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    return lightgbm.train(parameters, dataset, num_boost_round=40)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy({"step_back": [trained(), trained()]}, {"step_back": Cost(5.0, 2.0)}, Rule(1.0, 0.01, 1))


def keep(policy: Policy, folder: Path) -> Path:
    (folder / MODEL).write_text(policy.to_json(), encoding="utf-8")
    (folder / CHECKSUMS).write_text(checksum_line(policy.to_json().encode()))
    return folder


def row(**values: float) -> Any:
    return np.array([values.get(name, 0.5) for name in FEATURES], dtype=np.float32)


def test_a_kept_policy_predicts_what_it_did(policy: Policy, tmp_path: Path) -> None:
    loaded = Policy.load(keep(policy, tmp_path))
    rows = np.array([row(cosine_top=0.1), row(cosine_top=0.9)])
    assert loaded.predict(rows) == policy.predict(rows)
    assert (loaded.rule, loaded.writer, loaded.kinds) == (policy.rule, "rules", ("step_back",))
    weak, strong = (each["step_back"] for each in loaded.predict(rows))
    assert weak.gain > 0.1 > 0 > strong.gain
    assert weak.spread == 0.0  # twice the same booster
    assert loaded.decide(row(cosine_top=0.1), look_ms=10, budget_ms=25).kinds == ("step_back",)
    assert loaded.decide(row(cosine_top=0.1), look_ms=10, budget_ms=24).kinds == ()  # 5 + 2 · 10 ms
    assert loaded.decide(row(cosine_top=0.9), look_ms=10, budget_ms=25).kinds == ()


def test_a_policy_that_is_not_what_was_written_is_not_used(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no policy\.json"):
        Policy.load(tmp_path)
    folder = keep(policy, tmp_path)
    (folder / MODEL).write_text(policy.to_json().replace('"margin": 0.01', '"margin": -1.0'))
    with pytest.raises(IntegrityError, match="is not what SHA256SUMS"):
        Policy.load(folder)
    (folder / MODEL).write_text("{}")
    (folder / CHECKSUMS).write_text(checksum_line(b"{}"))
    with pytest.raises(IntegrityError, match="is none"):
        Policy.load(folder)
    (folder / CHECKSUMS).unlink()
    with pytest.raises(IntegrityError):
        Policy.load(folder)


def test_trees_over_other_features_are_refused() -> None:
    dataset = lightgbm.Dataset(np.random.default_rng(0).random((50, 2)), label=np.zeros(50), params={"verbose": -1})
    other = lightgbm.train({"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}, dataset, num_boost_round=1)
    with pytest.raises(InvalidInput, match="other features"):
        Policy({"hyde": [other]}, {"hyde": Cost(1, 1)}, Rule(0, 0, 1))
    with pytest.raises(InvalidInput, match="'poem' must be one of"):
        Policy({"poem": []}, {"poem": Cost(1, 1)}, Rule(0, 0, 1))


def test_the_trace_says_what_was_seen_expected_and_chosen(policy: Policy) -> None:
    trace = Trace()
    chooser = AutoTranslation(policy, 100.0)
    look = FirstLook([("a", 0.1), ("b", 0.05)], [], ["a text"])
    assert chooser.kinds("bridge", look, None, look_ms=3.0, trace=trace) == ("step_back",)
    (stage,) = trace.stages()
    assert (stage.stage, stage.detail["chosen"], stage.detail["budget_ms"]) == ("policy", ["step_back"], 100.0)
    assert stage.detail["kinds"]["step_back"]["ms"] == 11.0
    assert stage.detail["features"]["bm25_top"] is None
    json.dumps(stage.detail)  # NaN would not be JSON
    assert "NaN" not in json.dumps(stage.detail)


def test_who_chooses_for_auto(policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = keep(policy, tmp_path)
    opened = open_auto(folder, 80.0, RULES)
    assert opened is not None
    assert opened.budget_ms == 80.0
    assert open_auto(folder, 0.0, RULES) is None
    with pytest.raises(InvalidInput, match="written by rules, but big-model"):
        open_auto(folder, 80.0, "big-model")
    monkeypatch.setattr(auto, "has_bundled_policy", lambda: False)
    assert open_auto(None, 80.0, RULES) is None
    monkeypatch.setattr(auto, "has_bundled_policy", lambda: True)
    monkeypatch.setattr("app.query.policy.model.BUNDLED", folder)
    assert open_auto(None, 80.0, RULES) is not None
    assert open_auto(None, 80.0, "big-model") is None  # the shipped one stands back


def test_who_writes_is_named_as_the_policy_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = SimpleNamespace(name="big-model")
    small: Any = SimpleNamespace()
    monkeypatch.setattr(auto, "AUTO_CASES", frozenset({"ellipsis"}))  # no translation among them
    assert writer_name(model, Rewriting(small, "writer")) == "big-model"
    assert writer_name(None, Rewriting()) == RULES
    assert writer_name(None, Rewriting(None, "writer")) == RULES  # not installed
    assert writer_name(None, Rewriting(small, "rules")) == RULES
    assert writer_name(None, Rewriting(small, "auto")) == RULES
    assert writer_name(None, Rewriting(small, "writer")) == "writer"
    monkeypatch.setattr(auto, "AUTO_CASES", frozenset({"hyde"}))
    assert writer_name(None, Rewriting(small, "auto")) == "auto"
