"""`translate: "auto"` on its way through the pipeline, with a policy whose mind is made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.pipeline import Pipeline
from app.query.policy.auto import AutoTranslation
from app.query.policy.model import Decision, Prediction
from app.telemetry import Trace
from app.types import AskRequest
from tests.unit.test_pipeline import pipeline

QUESTION = "What did the bridge cost in 2024?"


class Settled:
    """A policy that always chooses the same."""

    def __init__(self, *kinds: str) -> None:
        self.chosen = kinds
        self.asked: list[Mapping[str, Any]] = []

    def decide(self, features: Any, *, look_ms: float, budget_ms: float) -> Decision:
        self.asked.append({"features": len(features), "look_ms": look_ms, "budget_ms": budget_ms})
        predicted = {kind: Prediction(0.1, 0.0) for kind in self.chosen}
        return Decision(self.chosen, predicted, dict.fromkeys(self.chosen, 1.0), dict.fromkeys(self.chosen, "sure"))


def with_policy(policy: Settled, asked: list[list[str]]) -> Pipeline:
    built = pipeline(asked=asked)
    built.stages._auto = AutoTranslation(policy, 70.0)  # type: ignore[arg-type]
    return built


def stages(trace: Trace) -> list[str]:
    return [stage.stage for stage in trace.stages() if stage.stage in ("policy", "translate")]


def test_auto_asks_for_what_the_policy_chooses() -> None:
    policy, asked, trace = Settled("step_back"), list[list[str]](), Trace()
    with_policy(policy, asked).answer(AskRequest(QUESTION), trace)
    assert asked == [[QUESTION], ["What did the bridge cost?"]]
    assert stages(trace) == ["policy", "translate"]
    assert policy.asked == [{"features": 32, "look_ms": 0.0, "budget_ms": 70.0}]


def test_a_policy_that_chooses_nothing_costs_no_second_search() -> None:
    asked, trace = list[list[str]](), Trace()
    with_policy(Settled(), asked).answer(AskRequest(QUESTION), trace)
    assert asked == [[QUESTION], []]  # the expansion was asked, and gave no query
    assert stages(trace) == ["policy"]


def test_what_a_request_names_itself_is_not_the_policys_business() -> None:
    policy, trace = Settled("hyde"), Trace()
    asked: list[list[str]] = []
    built = with_policy(policy, asked)
    built.answer(AskRequest(QUESTION, translate=()), trace)
    built.answer(AskRequest(QUESTION, translate=("step_back",)), trace)
    assert asked == [[QUESTION], [QUESTION], ["What did the bridge cost?"]]
    assert policy.asked == []
    assert stages(trace) == ["translate"]


def test_without_a_policy_auto_translates_nothing() -> None:
    asked, trace = list[list[str]](), Trace()
    pipeline(asked=asked).answer(AskRequest(QUESTION), trace)
    assert asked == [[QUESTION]]
    assert stages(trace) == []
