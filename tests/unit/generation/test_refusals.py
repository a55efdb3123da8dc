import pytest

from app.generation.citations import abstention_text
from app.generation.refusals import is_refusal


@pytest.mark.parametrize(
    "sentence",
    [
        abstention_text("Why?"),
        abstention_text("为什么？"),
        "The documents don’t say",
        "**The documents don't say.**",
        "The passages do not mention when the bridge opened.",
        "The provided context does not contain enough information to answer the question.",
        "There is no information about the toll in the passages.",
        "I could not find an answer in the documents.",
        "I don't know.",
        "Based on the passages, I cannot determine the year.",
        "The year is not specified in the text.",
        "It is not possible to answer this question.",
        "文档中没有提到大桥的开放时间。",
        "根据提供的资料，无法回答这个问题。",
        "我无法从这些段落中找到答案。",
        "文檔中沒有說明。",
        "没有足够的信息。",
    ],
)
def test_refusals_are_recognised(sentence: str) -> None:
    assert is_refusal(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "No.",
        "No, dogs are not allowed.",
        "The bridge did not open in 1932.",
        "We do not sell your data to third parties.",
        "No data is stored outside the European Union.",
        "The information is not shared with advertisers.",
        "The cause of the fire is unknown.",
        "The witness said that she did not know the driver.",
        "公司不提供退款。",
        "起火原因尚未确定。",
        "不，狗不可以进入。",
        "这份文件于2024年发布。",
    ],
)
def test_answers_with_a_no_in_them_are_answers(sentence: str) -> None:
    assert not is_refusal(sentence)
