"""The bundled Chinese and English reader on made-up passages: exact characters, both scripts, and who answers."""

from __future__ import annotations

import pytest
import torch

from app.bootstrap.generators import build_generator
from app.generation.reader import Reader, bilingual_folder, has_bilingual, load_reader, reader_name
from app.settings import Settings
from app.types import GenerationOptions
from tests.unit.generation.test_reader import BAKERY, BRIDGE, copied, prompt

pytestmark = pytest.mark.skipif(not has_bilingual(), reason="the bilingual weights are not part of this installation")
MILL = "青石镇的水磨坊建于1874年，由工程师林志远设计。磨坊高十二米，现为博物馆。"
FERRY = "從青石鎮到白沙島的渡輪每天開四班，船票每張三十五元。船長名叫陳大衛。"
OPTIONS = GenerationOptions()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return load_reader(bilingual_folder(), dtype=torch.float32)


def test_a_chinese_answer_has_its_exact_characters(reader: Reader) -> None:
    asked = prompt("青石镇的水磨坊建于哪一年？", FERRY, MILL)
    generated = reader.generate(asked, OPTIONS)
    assert "1874" in generated.text
    assert generated.spans[0].passage == 1
    assert generated.text == copied(generated, asked)
    assert len(generated.text) < 10
    assert generated.model == reader_name(bilingual_folder()) == reader.name


def test_simplified_questions_are_answered_from_traditional_text(reader: Reader) -> None:
    asked = prompt("白沙岛渡轮的船长叫什么名字？", MILL, FERRY)
    generated = reader.generate(asked, OPTIONS)
    assert generated.text == copied(generated, asked)
    assert generated.spans[0].passage == 1


def test_a_question_that_nothing_answers_has_less_evidence(reader: Reader) -> None:
    found = reader.generate(prompt("青石镇的水磨坊建于哪一年？", MILL), OPTIONS).evidence
    missing = reader.generate(prompt("哪位国王签署了瓦尔多条约？", MILL), OPTIONS).evidence
    assert found.margin is not None
    assert missing.margin is not None
    assert missing.margin < found.margin


def test_the_service_sends_each_language_to_the_reader_that_knows_it() -> None:
    generator = build_generator(Settings(), None)
    chinese = generator.generate(prompt("青石镇的水磨坊建于哪一年？", MILL), OPTIONS)
    english = generator.generate(prompt("Who opened the Kestrel bridge?", BAKERY, BRIDGE), OPTIONS)
    russian = generator.generate(prompt("Куда впадает Волга?", "Волга впадает в Каспийское море."), OPTIONS)
    assert chinese.model == reader_name(bilingual_folder())
    assert english.text == "Maria Lindqvist"
    assert english.model not in {chinese.model, russian.model}
    assert russian.model == "sentences"
