import pytest

from app.generation.support import SUPPORTED, Source, support
from tests.unit.generation.passages import passage

BRIDGE = (
    "The Kestrel Bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee. "
    "Dogs are not allowed on it, while bicycles are welcome. The toll is 3 euros."
)
CHINESE = "北京是中国的首都。上海是最大的城市，人口2487万。公司不提供退款。"


def held(claim: str, text: str = BRIDGE, question: str = "") -> str:
    """The stretch of `text` that carries the claim, or its reason in brackets."""
    found = support(claim, Source(passage(1, text, text)), question)
    assert found.holds is (found.score >= SUPPORTED and not found.reason)
    return text[found.char_start : found.char_end] if found.holds else f"({found.reason})"


@pytest.mark.parametrize(
    ("claim", "question", "quote"),
    [
        ("The bridge opened in 1932", "When did the bridge open?", "The Kestrel Bridge opened in 1932."),
        ("1932", "When did the Kestrel Bridge open?", "The Kestrel Bridge opened in 1932."),
        ("It cost £4,200,000", "What did it cost?", "It cost 4.2 million pounds, said Mr. Lee."),
        ("Dogs are not allowed", "", "Dogs are not allowed on it, while bicycles are welcome."),
        ("Bicycles are welcome", "", "Dogs are not allowed on it, while bicycles are welcome."),
        (
            "The Kestrel Bridge opened in 1932 and cost 4.2 million pounds",
            "",
            "The Kestrel Bridge opened in 1932. It cost 4.2 million pounds, said Mr. Lee.",
        ),
    ],
)
def test_the_shortest_stretch_that_carries_the_claim_is_quoted(claim: str, question: str, quote: str) -> None:
    assert held(claim, question=question) == quote


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ("The bridge opened in 1933", "1933 is not there"),
        ("The toll is 4 euros", "4 is not there"),
        ("Dogs are allowed on it", "one of the two is negated"),
        ("The Kestrel Bridge did not open in 1932", "one of the two is negated"),
        ("The Eiffel Tower stands in Berlin", "the passage shares too few words with it"),
        ("And the of", "nothing in it can be looked up"),
    ],
)
def test_what_the_passage_does_not_say_is_refused_with_the_reason(claim: str, reason: str) -> None:
    assert held(claim) == f"({reason})"


def test_what_repeats_the_question_is_no_proof() -> None:
    text = "The Eiffel Tower is in Paris. It was built by Gustave Eiffel."
    question = "Where is the Eiffel Tower?"
    assert held("The Eiffel Tower is in Paris", text, question) == "The Eiffel Tower is in Paris."
    assert held("The Eiffel Tower is in Berlin", text, question).startswith("(")


def test_a_passage_about_something_else_does_not_carry_a_shared_word() -> None:
    text = "Berlin is the capital of Germany."
    assert held("The Eiffel Tower is in Berlin", text, "Where is the Eiffel Tower?").startswith("(")


@pytest.mark.parametrize(
    ("claim", "quote"),
    [
        ("上海人口约2500万", "上海是最大的城市，人口2487万。"),
        ("首都是北京", "北京是中国的首都。"),
        ("公司不提供退款", "公司不提供退款。"),
    ],
)
def test_chinese_claims_are_carried_too(claim: str, quote: str) -> None:
    assert held(claim, CHINESE) == quote


@pytest.mark.parametrize("claim", ["公司提供退款", "首都是上海人口9千万", "上海人口约3000万"])
def test_wrong_chinese_claims_are_not(claim: str) -> None:
    assert held(claim, CHINESE).startswith("(")


def test_a_claim_in_another_script_needs_its_numbers_and_names() -> None:
    assert held("凯斯特雷尔桥于1932年开放", question="大桥何时开放？") == "The Kestrel Bridge opened in 1932."
    assert held("凯斯特雷尔桥于1933年开放", question="大桥何时开放？") == "(1933-00-00 is not there)"
    assert held("狗不可以进入").startswith("(")


def test_inflected_words_count_as_the_same() -> None:
    text = "The construction of the tunnel was funded by the county."
    assert held("The county funded constructing the tunnel", text) == text


def test_a_passage_without_text_carries_nothing() -> None:
    empty = Source(passage(1, "x", "x"))
    empty.text = ""
    assert not support("It opened in 1932", empty).holds
