from pathlib import Path

import pytest

from app.errors import Cancelled, Unavailable
from app.generation.fallback import FallbackGenerator, Readable, is_latin, is_latin_or_chinese
from app.generation.sentences import SentenceSelector, load_confidence
from app.types import GenerationOptions
from tests.unit.generation.passages import passage, prompt

ENGLISH = "The mill was built in 1820. The mill burned down in 1911 after a storm. Sheep graze nearby."
CHINESE = "长江是中国最长的河流。黄河全长约5464公里，是第二长河。"


@pytest.mark.parametrize(
    ("document", "question", "expected"),
    [
        (ENGLISH, "When did the mill burn down?", "The mill burned down in 1911 after a storm."),
        (CHINESE, "黄河有多长？", "黄河全长约5464公里，是第二长河。"),
        (CHINESE, "中國最長的河流是什麼？", "长江是中国最长的河流。"),
    ],
)
def test_the_sentence_with_the_rarest_question_terms_wins(document: str, question: str, expected: str) -> None:
    made = SentenceSelector().generate(prompt(question, passage(1, document, document)), GenerationOptions())
    assert made.answered
    assert made.text == expected
    (span,) = made.spans
    assert document[span.char_start : span.char_end] == expected


def test_nothing_in_common_is_no_answer() -> None:
    made = SentenceSelector().generate(prompt("quantum flux?", passage(1, ENGLISH, ENGLISH)), GenerationOptions())
    assert (made.answered, made.text, made.spans) == (False, "", ())
    assert made.evidence.question_coverage == 0.0


def test_cancellation_is_seen_between_passages() -> None:
    with pytest.raises(Cancelled):
        SentenceSelector().generate(prompt("mill?", passage(1, ENGLISH, ENGLISH)), GenerationOptions(), lambda: True)


class Ascii(SentenceSelector):
    name = "ascii"


class Bilingual(SentenceSelector):
    name = "bilingual"


RUSSIAN = "Волга впадает в Каспийское море."


@pytest.mark.parametrize(
    ("question", "texts", "model"),
    [
        ("mill?", [ENGLISH], "ascii"),
        ("mill?", [ENGLISH, CHINESE], "ascii"),
        ("mill?", [ENGLISH, CHINESE, CHINESE], "bilingual"),
        ("mill?", [CHINESE], "bilingual"),
        ("黄河", [CHINESE, RUSSIAN, RUSSIAN], "bilingual"),
        ("黄河", [ENGLISH], "bilingual"),
        ("黄河", [RUSSIAN], "sentences"),
        ("Волга?", [ENGLISH], "sentences"),
        ("mill?", [], "sentences"),
    ],
)
def test_the_first_generator_that_can_read_question_and_passages_answers(
    question: str, texts: list[str], model: str
) -> None:
    chooser = FallbackGenerator(
        [Readable(Ascii(), str.isascii), Readable(Bilingual(), is_latin_or_chinese)], SentenceSelector()
    )
    passages = [passage(number, text, text) for number, text in enumerate(texts, start=1)]
    assert chooser.chosen(prompt(question, *passages)).name == model
    assert chooser.name == "ascii"
    assert chooser.generate(prompt(question, *passages), GenerationOptions()).model == model


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("黄河有多长？", True),
        ("GPU 的价格", True),
        ("東京タワーはどこにありますか", False),
        ("Где?", False),
        ("12", True),
    ],
)
def test_chinese_with_latin_words_is_read_and_japanese_is_not(text: str, readable: bool) -> None:
    assert is_latin_or_chinese(text) is readable


@pytest.mark.parametrize(
    ("text", "latin"),
    [("Où est la gare?", True), ("12.5 %", True), ("黄河", False), ("ok 黄河有多长", False), ("Где?", False)],
)
def test_is_latin_goes_by_the_share_of_letters(text: str, latin: bool) -> None:
    assert is_latin(text) is latin


def test_a_heading_that_only_repeats_the_question_is_passed_over() -> None:
    document = "# 黄河\n\n黄河全长约5464公里。"
    made = SentenceSelector().generate(prompt("黄河有多长？", passage(1, document, document)), GenerationOptions())
    assert made.text == "黄河全长约5464公里。"
    assert load_confidence().confidence(made.evidence) > 0.5


def test_a_missing_calibration_names_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="reinstall"):
        load_confidence(tmp_path / "calibration.json")
