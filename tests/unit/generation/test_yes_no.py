"""Which questions want yes or no: the question may stand behind what it is about, and its form may deceive."""

from __future__ import annotations

import pytest

from app.generation.yes_no import asks_yes_or_no

WANTED = [
    "Is the mill still working?",
    "is parking included",
    "Didn't the miller have a son?",
    "So can I keep the keys?",
    "I'm blind, does my dog have to wear a muzzle?",
    "The zip broke after three months. Do I pay the postage?",
    "My wife takes insulin – may she donate?",
    "If I give you a shirt on Sunday do I get it back by night?",
    "If I lose it, does somebody else pay?",
    "Can I buy the notebook when I quit?",
    "Does the guarantee pass to someone who buys it from me?",
    "Must they tell me why I was turned down?",
    "Do I have to tell them what I've got?",
    "I can send them muddy, right?",
    "They open on Sundays, don't they?",
    "工厂在周日开门吗？",
    "是否允许吸烟",
    "能刷信用卡不",
    "竹苑店能用医保么",
    "摔坏了赔不赔",
    "自己無去上堂退唔退錢",
    "服务器采购财务批了没有？",
    "早上八点老人刷敬老卡免费吗，工作日",
    "可以去市政务大厅办吧？",
]
NOT_WANTED = [
    "Was it a windmill or a water mill?",
    "Can you tell me who owned it?",
    "Could you please give me the hotline number?",
    "Do you know how many there are?",
    "Does the report say why it failed?",
    "May I ask when it opens?",
    "Is my data shared with others? If yes, with whom?",
    "Can I appeal, and to whom?",
    "What happens if it rains, do we stay?",
    "If it rains, what do I do?",
    "How late may I come, is there a rule?",
    "In which of the two, if any, is the pump?",
    "The museum opened in 1931.",
    "Island ferries: timetable",
    "",
    "谁拥有这座磨坊？",
    "能不能告诉我多少钱",
    "这是什么",
    "怎么么",
    "是红的还是绿的？",
    "婚假几天",
]


@pytest.mark.parametrize("question", WANTED)
def test_yes_or_no_is_wanted(question: str) -> None:
    assert asks_yes_or_no(question)


@pytest.mark.parametrize("question", NOT_WANTED)
def test_something_else_is_wanted(question: str) -> None:
    assert not asks_yes_or_no(question)
