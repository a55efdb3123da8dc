"""The flow of `Pipeline.answer` over a retriever and a generator that a test controls."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import Conflict, Unavailable
from app.generation.prompted import PromptedGenerator
from app.generation.rescue import RescuedGenerator
from app.generation.sentences import SentenceSelector
from app.generation.support import SUPPORTED
from app.pipeline import Pipeline
from app.retrieval.hybrid import Expand, Look
from app.stages import NEVER, Stages
from app.telemetry import Trace
from app.types import Answer, AskRequest, Evidence, Generated, Hit, Message, PassageSpan, Query
from tests.fakes import FakeEncoder
from tests.unit.generation.chat_fakes import FakeChat
from tests.unit.generation.passages import passage

DOCUMENT = "The bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee."
START = DOCUMENT.index("4.2 million pounds")


def pipeline(
    *,
    confidence: float = 0.9,
    hits: bool = True,
    texts: dict[int, str] | None = None,
    asked: list[list[str]] | None = None,
) -> Pipeline:
    """A pipeline over one document; `asked` receives the texts of every round of queries."""
    found = (Hit(passage(1, DOCUMENT, DOCUMENT).hit.chunk),) if hits else ()
    retrieved = SimpleNamespace(hits=found, generations={"default": 3}, statistics=None)
    rounds = asked if asked is not None else []

    def search(queries: Sequence[Query], *, expand: Expand | None, **_: Any) -> Any:
        rounds.append([query.text for query in queries])
        if expand is not None:
            look = Look([DOCUMENT], SimpleNamespace(idf=lambda terms: {}))  # type: ignore[arg-type]
            rounds.append([query.text for query in expand(look)])
        return retrieved

    made = Generated(
        "4.2 million pounds", (PassageSpan(0, START, START + 18),), True, Evidence(passage_mass=(0.8,)), 9, 3, "fake"
    )
    stages = Stages(
        texts=SimpleNamespace(get_texts=lambda ids: {1: DOCUMENT} if texts is None else texts),
        retriever=SimpleNamespace(search=search),  # type: ignore[arg-type]
        ranker=None,
        encoder=FakeEncoder(),
        calibrate=lambda _: (confidence, 0.5),
        budget_tokens=500,
    )
    return Pipeline(stages, generator=SimpleNamespace(name="fake", generate=lambda *_: made))  # type: ignore[arg-type]


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


def test_translations_are_asked_after_a_first_look_and_traced() -> None:
    trace = Trace()
    asked: list[list[str]] = []
    built = pipeline(asked=asked)
    answer = built.answer(AskRequest("What did the bridge cost in 2024?", translate=("step_back",)), trace)
    assert asked == [["What did the bridge cost in 2024?"], ["What did the bridge cost?"]]
    stage = next(stage for stage in answer.trace if stage.stage == "translate")
    assert [query["kind"] for query in stage.detail["queries"]] == ["original", "step_back"]
    assert answer.question == "What did the bridge cost in 2024?"


def test_without_kinds_nothing_is_translated() -> None:
    asked: list[list[str]] = []
    answer = pipeline(asked=asked).answer(AskRequest("What did the bridge cost in 2024?"), Trace())
    assert asked == [["What did the bridge cost in 2024?"]]
    assert "translate" not in {stage.stage for stage in answer.trace}


def test_a_follow_up_is_searched_as_a_standalone_question() -> None:
    history = (Message("user", "What was the revenue of Acme Corp in 2024?"), Message("assistant", "3.5 million."))
    asked: list[list[str]] = []
    answer = pipeline(asked=asked).answer(AskRequest("What about 2023?", history=history), Trace())
    assert asked == [["What was the revenue of Acme Corp in 2023?"]]
    assert answer.question == "What about 2023?"
    stage = next(stage for stage in answer.trace if stage.stage == "condense")
    assert stage.detail["question"] == "What was the revenue of Acme Corp in 2023?"


def writing(
    *pieces: str, error: Exception | None = None, rescue: bool = False, override: float | None = None
) -> Pipeline:
    """A pipeline over a language model that writes `pieces`, then fails with `error` if there is one."""
    model = PromptedGenerator(FakeChat(pieces, error=error))

    def calibrate(generated: Generated) -> tuple[float, float]:
        support = generated.evidence.support
        return (0.9 if support is None else support), SUPPORTED if override is None else override

    built = pipeline()
    built._generator = RescuedGenerator(model, SentenceSelector()) if rescue else model
    built.stages._calibrate = calibrate
    return built


def asked(built: Pipeline, **request: Any) -> tuple[Answer, list[str], Trace]:
    """The answer, the texts of its token events in order, and the trace."""
    tokens: list[str] = []
    trace = Trace()
    answer = built.answer(
        AskRequest("What did the bridge cost?", **request),
        trace,
        lambda name, data: tokens.append(data["text"]) if name == "token" else None,
    )
    return answer, tokens, trace


WRITTEN = ("The bridge cost ", "4.2 million pounds", " [1]", ". It opened", " in 1932", " [1].")


def test_a_language_model_is_shown_from_its_first_verified_claim_on() -> None:
    answer, tokens, _ = asked(writing(*WRITTEN))
    assert answer.answer == "The bridge cost 4.2 million pounds [1]. It opened in 1932 [2]."
    assert "".join(tokens) == answer.answer
    assert tokens[0] == "The bridge cost 4.2 million pounds [1]", "held back until the claim was proven"
    assert len(tokens) > 2, "and then piece by piece"
    assert [c.quote for c in answer.citations] == [
        "It cost 4.2 million pounds, said Mr. Lee.",
        "The bridge opened in 1932.",
    ]
    for citation in answer.citations:
        assert DOCUMENT[citation.char_start : citation.char_end] == citation.quote
        assert f"[{citation.index}]" in answer.answer[citation.answer_end :]
    assert (answer.abstained, answer.confidence_kind) == (False, "support")
    assert answer.confidence >= answer.threshold == SUPPORTED


def test_without_a_listener_the_answer_is_the_same() -> None:
    quiet = writing(*WRITTEN).answer(AskRequest("What did the bridge cost?"), Trace())
    assert quiet.answer == asked(writing(*WRITTEN))[0].answer


@pytest.mark.parametrize(
    "text", ["The bridge cost 9 pounds [1].", "It was expensive.", "The documents don't say.", "", "It cost 4 [7]."]
)
def test_text_that_nothing_carries_is_withheld_and_never_shown(text: str) -> None:
    answer, tokens, trace = asked(writing(text))
    assert answer.abstained
    assert answer.answer == "The documents don't say." == "".join(tokens)
    assert answer.citations == ()
    assert answer.confidence < answer.threshold
    if "[" in text:
        dropped = next(stage for stage in trace.stages() if stage.stage == "generate").detail["markers_dropped"]
        assert dropped[0]["reason"]


def test_never_abstaining_gives_free_text_but_still_not_a_refusal() -> None:
    answer, tokens, _ = asked(writing("It was very expensive. ", "Really", " so."), abstain="never")
    assert (answer.abstained, answer.answer, answer.citations) == (False, "It was very expensive. Really so.", ())
    assert "".join(tokens) == answer.answer
    assert len(tokens) == 2
    refused, tokens, _ = asked(writing("The passages do not ", "say. Sorry."), abstain="never")
    assert refused.abstained
    assert "".join(tokens) == refused.answer == "The documents don't say."


@pytest.mark.parametrize(("threshold", "abstained"), [(0.7, False), (0.95, True)])
def test_a_threshold_above_the_verified_floor_is_judged_at_the_end(threshold: float, abstained: bool) -> None:
    mixed = ("The bridge cost 4.2 million pounds [1].", " It was a good day.")  # support 0.75
    answer, tokens, _ = asked(writing(*mixed), abstain=threshold)
    assert answer.abstained is abstained
    assert "".join(tokens) == answer.answer
    assert (answer.confidence < answer.threshold) is abstained


def test_a_model_that_fails_before_anything_was_shown_is_replaced_with_a_warning() -> None:
    answer, tokens, trace = asked(writing("The bridge", error=Unavailable("HTTP 500"), rescue=True))
    assert answer.model == SentenceSelector.name
    assert answer.confidence_kind == "calibrated"
    assert "".join(tokens) == answer.answer
    assert trace.warnings == ["HTTP 500; sentences answered instead of remote:fake"]
    stage = next(stage for stage in answer.trace if stage.stage == "generate")
    assert stage.error == trace.warnings[0]


def test_a_model_that_fails_in_the_middle_of_what_was_shown_fails_the_answer() -> None:
    with pytest.raises(Unavailable, match="HTTP 500"):
        asked(writing(*WRITTEN[:3], error=Unavailable("HTTP 500"), rescue=True))
    with pytest.raises(Unavailable, match="HTTP 500"):
        asked(writing(error=Unavailable("HTTP 500")))


def test_the_prompt_instructs_in_the_questions_language_and_carries_the_history() -> None:
    for question, words in (
        ("What did the bridge cost?", "The documents don't say."),
        ("大桥花了多少钱？", "所提供的文档"),
    ):
        built = writing("x")
        built.answer(AskRequest(question, history=(Message("user", "Hello"), Message("assistant", "Hi"))), Trace())
        ((messages, _, namespace),) = built._generator._model.asked  # type: ignore[attr-defined]
        assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
        assert words in messages[0].content
        assert "<<<passage 1" in messages[-1].content
        assert messages[-1].content.endswith(question)
        assert namespace == "default"
