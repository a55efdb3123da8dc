"""The flow of `Pipeline.answer` over a retriever and a generator that a test controls."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import Conflict
from app.pipeline import NEVER, Pipeline
from app.telemetry import Trace
from app.types import AskRequest, Evidence, Generated, Hit, PassageSpan
from tests.fakes import FakeEncoder
from tests.unit.generation.passages import passage

DOCUMENT = "The bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee."
START = DOCUMENT.index("4.2 million pounds")


def pipeline(*, confidence: float = 0.9, hits: bool = True, texts: dict[int, str] | None = None) -> Pipeline:
    found = (Hit(passage(1, DOCUMENT, DOCUMENT).hit.chunk),) if hits else ()
    retrieved = SimpleNamespace(hits=found, generations={"default": 3}, statistics=None)
    made = Generated(
        "4.2 million pounds", (PassageSpan(0, START, START + 18),), True, Evidence(passage_mass=(0.8,)), 9, 3, "fake"
    )
    return Pipeline(
        texts=SimpleNamespace(get_texts=lambda ids: {1: DOCUMENT} if texts is None else texts),
        retriever=SimpleNamespace(search=lambda *_, **__: retrieved),  # type: ignore[arg-type]
        ranker=None,
        encoder=FakeEncoder(),
        generator=SimpleNamespace(name="fake", generate=lambda *_: made),  # type: ignore[arg-type]
        calibrate=lambda _: (confidence, 0.5),
        budget_tokens=500,
    )


def test_events_come_in_the_contracts_order_and_the_tokens_join_to_the_answer() -> None:
    events: list[tuple[str, Any]] = []
    answer = pipeline().answer(AskRequest("What did it cost?"), Trace(), lambda *event: events.append(event))

    names = [name for name, _ in events]
    order = ["status", "sources", "token", "citation"]
    assert list(dict.fromkeys(names)) == order
    assert names == sorted(names, key=order.index)
    assert "".join(data["text"] for name, data in events if name == "token") == answer.answer
    assert answer.citations[0].quote == "It cost 4.2 million pounds, said Mr. Lee."
    assert (answer.abstained, answer.collection_generation) == (False, {"default": 3})


@pytest.mark.parametrize(("abstain", "abstained"), [("auto", True), ("never", False), (0.3, False), (0.45, True)])
def test_the_threshold_asked_for_decides(abstain: Any, abstained: bool) -> None:
    answer = pipeline(confidence=0.4).answer(AskRequest("What did it cost?", abstain=abstain), Trace())
    assert answer.abstained is abstained
    assert (answer.confidence < answer.threshold) is abstained
    assert bool(answer.citations) is not abstained


@pytest.mark.parametrize("abstain", ["auto", "never", 0.0, 1.0])
def test_without_a_passage_every_setting_refuses_with_a_confidence_below_its_threshold(abstain: Any) -> None:
    answer = pipeline(hits=False).answer(AskRequest("What did it cost?", abstain=abstain), Trace())
    assert answer.abstained
    assert answer.citations == ()
    assert answer.confidence < answer.threshold
    assert answer.threshold >= NEVER


def test_a_document_deleted_before_citing_is_a_conflict_not_a_crash() -> None:
    with pytest.raises(Conflict, match="ask again"):
        pipeline(texts={}).answer(AskRequest("What did it cost?"), Trace())


def test_what_is_not_built_yet_is_said() -> None:
    trace = Trace()
    answer = pipeline().answer(AskRequest("What did it cost?", translate=("hyde",)), trace)
    assert "hyde" in trace.warnings[0]
    assert next(stage for stage in answer.trace if stage.stage == "translate").error == trace.warnings[0]
