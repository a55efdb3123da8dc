import math
from typing import Any

import pytest

from app.errors import Cancelled, InvalidInput, Unavailable
from app.generation.chat import Delta, ThoughtFilter, chat_messages, plain_prompt, without_system
from app.generation.prompted import PromptedGenerator
from app.generation.rescue import RescuedGenerator
from app.generation.sentences import SentenceSelector
from app.generation.support import SUPPORTED
from app.types import Generated, GenerationOptions, Message, PassageSpan, Prompt
from tests.unit.generation.chat_fakes import FakeChat
from tests.unit.generation.passages import passage, prompt

BRIDGE = "The Kestrel Bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee."
PROMPT = prompt("When did the Kestrel Bridge open?", passage(1, BRIDGE, BRIDGE))


def written(*pieces: str | Delta, **more: Any) -> Generated:
    return PromptedGenerator(FakeChat(pieces, **more)).generate(PROMPT, GenerationOptions())


def test_the_answer_has_its_quote_its_counts_and_its_model() -> None:
    generated = written(
        "It opened ", "in 1932 [1].", Delta(finish_reason="stop", prompt_tokens=40, completion_tokens=9)
    )
    assert generated.text == "It opened in 1932 [1]."
    assert generated.spans == (PassageSpan(0, 0, len("The Kestrel Bridge opened in 1932.")),)
    assert (generated.answered, generated.model) == (True, "remote:fake")
    assert (generated.prompt_tokens, generated.completion_tokens) == (40, 9)
    assert generated.evidence.support == 1.0
    assert generated.detail["claims_verified"] == 1


def test_dropped_markers_are_told() -> None:
    generated = written("It opened in 1950 [1]. It cost 4.2 million pounds [1].")
    (dropped,) = generated.detail["markers_dropped"]
    assert dropped["claim"] == "It opened in 1950"
    assert "1950" in dropped["reason"]
    assert generated.text == "It opened in 1950. It cost 4.2 million pounds [1]."


@pytest.mark.parametrize(
    "text", ["The documents don't say.", "文档中没有提到。", "I could not find it in the passages. [1]"]
)
def test_a_refusal_is_no_answer(text: str) -> None:
    generated = written(text)
    assert (generated.answered, generated.spans, generated.claims) == (False, (), ())
    assert generated.evidence.support == 0.0
    assert generated.detail["refused"]


@pytest.mark.parametrize("text", ["", "  \n", "<think>I wonder"])
def test_nothing_is_no_answer(text: str) -> None:
    assert written(text).answered is False


def test_free_text_without_a_proof_has_no_support() -> None:
    generated = written("It opened a long time ago.")
    assert (generated.answered, generated.spans, generated.claims) == (True, (), ())
    assert generated.evidence.support == 0.0


def test_unsure_tokens_lower_the_support_but_not_below_that_of_a_verified_answer() -> None:
    generated = written(Delta("It opened in ", math.log(0.25), 1), Delta("1932 [1].", math.log(1.0), 1))
    assert generated.detail["mean_token_probability"] == pytest.approx(0.5)
    assert generated.evidence.support == pytest.approx(SUPPORTED + (1 - SUPPORTED) * 0.5)


def test_a_cut_answer_says_so() -> None:
    generated = written("It opened in 1932 [1]. It", Delta(finish_reason="length"))
    assert generated.warnings == ("the answer reached max_tokens and stops there",)


def test_pieces_join_to_the_text_and_come_with_what_is_verified_so_far() -> None:
    seen: list[tuple[str, bool, float]] = []

    def on_text(piece: str, so_far: Generated) -> bool:
        seen.append((piece, so_far.answered, so_far.evidence.support or 0.0))
        return True

    chat = FakeChat(["It ", "opened in ", "1932", " [", "1", "]. Nice", "."])
    generated = PromptedGenerator(chat).stream(PROMPT, GenerationOptions(), lambda: False, on_text)
    assert "".join(piece for piece, _, _ in seen) == generated.text == "It opened in 1932 [1]. Nice."
    supports = [support for _, _, support in seen]
    assert supports[0] == 0.0
    assert supports[-1] == SUPPORTED <= (generated.evidence.support or 0.0)
    assert supports == sorted(supports)
    assert seen[0][1] is False


def test_the_model_is_stopped_when_the_reader_goes_away() -> None:
    chat = FakeChat(["It ", "opened"])
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        PromptedGenerator(chat).generate(PROMPT, GenerationOptions(), cancelled)
    assert chat.stopped == 1


def test_a_reader_that_fails_stops_the_model_too() -> None:
    chat = FakeChat(["It ", "opened"])

    def on_text(piece: str, so_far: Generated) -> bool:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        PromptedGenerator(chat).stream(PROMPT, GenerationOptions(), lambda: False, on_text)
    assert chat.stopped == 1


def test_marginalizing_modes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="mode='fusion'"):
        PromptedGenerator(FakeChat([])).generate(PROMPT, GenerationOptions(mode="rag_token"))


def test_what_the_model_is_shown() -> None:
    instructed = Prompt(
        "When?",
        PROMPT.passages,
        "Be exact.\n\n<<<passage 1>>>…\n\nQuestion: When?",
        9,
        instruction="Be exact.",
        history=(
            Message("assistant", "Hi"),
            Message("user", "Who?"),
            Message("user", "Lee?"),
            Message("assistant", "Yes"),
        ),
    )
    chat = FakeChat(["x"])
    PromptedGenerator(chat).generate(instructed, GenerationOptions(max_tokens=7))
    ((messages, options, namespace),) = chat.asked
    assert messages == [
        Message("system", "Be exact."),
        Message("user", "Who?\n\nLee?"),
        Message("assistant", "Yes"),
        Message("user", "<<<passage 1>>>…\n\nQuestion: When?", tuple(each.text for each in PROMPT.passages)),
    ]
    assert options.max_tokens == 7
    assert namespace == "default"


def test_templates_without_a_system_role_or_none_at_all() -> None:
    messages = [Message("system", "Be exact."), Message("user", "When?")]
    assert without_system(messages) == [Message("user", "Be exact.\n\nWhen?")]
    assert without_system(messages[:1]) == [Message("user", "Be exact.")]
    assert without_system(messages[1:]) == messages[1:]
    assert plain_prompt(messages) == "Be exact.\n\nUser: When?\n\nAssistant:"
    assert chat_messages(PROMPT) == [Message("user", PROMPT.text, tuple(each.text for each in PROMPT.passages))]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("<think>It may be 1932.</think>It opened.", "It opened."),
        ("\n<think>\n</think>\n\nIt opened.", "\n\nIt opened."),
        ("It <think>really</think> opened.", "It <think>really</think> opened."),
        ("<thing> opened", "<thing> opened"),
        ("<thi", "<thi"),
        ("<think>for ever", ""),
    ],
)
def test_thoughts_at_the_beginning_are_left_out(raw: str, kept: str, size: int) -> None:
    thoughts = ThoughtFilter()
    assert "".join(thoughts.feed(raw[i : i + size]) for i in range(0, len(raw), size)) + thoughts.finish() == kept


def test_the_bundled_generator_answers_when_the_model_can_not() -> None:
    rescued = RescuedGenerator(
        PromptedGenerator(FakeChat([], error=Unavailable("the model server failed (HTTP 500)"))), SentenceSelector()
    )
    generated = rescued.generate(PROMPT, GenerationOptions())
    assert generated.model == SentenceSelector.name
    assert generated.text == "The Kestrel Bridge opened in 1932."
    assert generated.warnings == ("the model server failed (HTTP 500); sentences answered instead of remote:fake",)
    assert rescued.name == "remote:fake"


def test_held_back_text_is_rescued_and_shown_text_is_not() -> None:
    def broken() -> RescuedGenerator:
        return RescuedGenerator(
            PromptedGenerator(FakeChat(["It opened. "], error=Unavailable("broke off"))), SentenceSelector()
        )

    kept = broken().stream(PROMPT, GenerationOptions(), lambda: False, lambda *_: False)
    assert kept.model == SentenceSelector.name
    with pytest.raises(Unavailable, match="broke off"):
        broken().stream(PROMPT, GenerationOptions(), lambda: False, lambda *_: True)


def test_a_callers_mistake_or_departure_is_not_rescued() -> None:
    for error in (Cancelled("gone"), InvalidInput("wrong")):
        with pytest.raises(type(error)):
            RescuedGenerator(PromptedGenerator(FakeChat([], error=error)), SentenceSelector()).generate(
                PROMPT, GenerationOptions()
            )


def test_closing_reaches_the_model() -> None:
    chat = FakeChat([])
    RescuedGenerator(PromptedGenerator(chat), SentenceSelector()).close()
    assert chat.closed
