"""Nouns that name somebody or something by what it is to another: "the chief engineer of X", X的总工程师.

Such a description is a question of its own, whose answer takes its place. English nouns are matched in lower case:
"the director of" describes a person, "The Director Of …" is a title.
"""

from __future__ import annotations

import re

_PEOPLE = (
    "actor", "actress", "animator", "anchor", "architect", "artist", "assassin", "author", "bassist", "biographer",
    "boyfriend", "brother", "builder", "captain", "ceo", "CEO", "chairman", "chairperson", "chairwoman", "chancellor",
    "child", "choreographer", "cinematographer", "co-author", "co-creator", "co-director", "co-founder", "co-writer",
    "coach", "cofounder", "commander", "composer", "conductor", "constructor", "costume designer", "creator",
    "curator", "daughter", "dean", "designer", "developer", "director", "discoverer", "drummer", "editor",
    "editor-in-chief", "emperor", "engineer", "executive", "executive officer", "father", "fiance", "fiancee",
    "founder", "girlfriend", "governor", "grandfather", "grandmother", "guitarist", "headmaster", "heir", "host",
    "husband", "illustrator", "inventor", "killer", "king", "librettist", "lyricist", "maker", "manager", "mayor",
    "minister", "mother", "namesake", "narrator", "nephew", "niece", "novelist", "officer", "owner", "painter",
    "partner", "performer", "photographer", "pilot", "playwright", "portrayer", "poet", "predecessor", "presenter",
    "president", "prime minister", "principal", "producer", "proprietor", "protagonist", "queen", "rector", "scientist",
    "screenwriter", "screenplay writer", "sculptor", "sibling", "singer", "sister", "son", "songwriter", "spouse",
    "star", "stepson", "student", "successor", "teacher", "translator", "vice president", "vocalist", "voice actor",
    "voice actress", "widow", "widower", "wife", "writer",
)  # fmt: skip
_PLACES = (
    "alma mater", "band", "birthplace", "capital", "capital city", "employer", "headquarters", "hometown",
    "home stadium", "label", "manufacturer", "parent company", "place of birth", "place of death", "publisher",
    "record label", "birth city", "city of birth", "country of birth", "country of origin",
)  # fmt: skip
_RANKS = (
    "older", "younger", "first", "second", "third", "last", "lead", "current", "former", "original", "chief", "head",
    "deputy", "vice", "main", "principal", "executive", "founding", "general", "managing", "artistic", "musical",
    "technical", "adoptive", "biological", "eldest", "oldest", "youngest", "leading", "main",
)  # fmt: skip


def _any(names: tuple[str, ...]) -> str:
    return "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(set(names), key=len, reverse=True))


ROLE = rf"(?:(?:(?:{_any(_RANKS)})\s+)?(?:{_any(_PEOPLE)}|{_any(_PLACES)}))"
"""A noun of role or relation, in the singular, with its rank; no groups."""

ASKED_OF_THING = re.compile(rf"\b(?:{_any(_PLACES)}|place|country|city|state)\b")
"""Roles that "what is" asks for, rather than "who is"."""

_PEOPLE_ZH = (
    "总工程师 首席工程师 总设计师 首席设计师 首席科学家 首席执行官 总建筑师 总指挥 总经理 总教练 主教练 导演 编剧 "
    "主演 男主角 女主角 扮演者 饰演者 配音演员 作者 原作者 译者 作曲者 作曲家 作曲 作词者 作词人 作词 演唱者 原唱 "
    "歌手 主唱 制片人 制作人 监制 摄影师 主持人 主编 编辑 插画师 创始人 联合创始人 创办人 创办者 创立者 创建者 "
    "建立者 发明者 发明人 发现者 提出者 设计者 设计师 建筑师 建造者 开发者 董事长 总裁 首任校长 校长 院长 所长 "
    "馆长 市长 省长 州长 首相 总理 总统 主席 国王 女王 皇帝 船长 队长 司令 经理 老板 所有者 拥有者 父亲 母亲 妻子 "
    "丈夫 配偶 儿子 女儿 长子 次子 长女 哥哥 弟弟 姐姐 妹妹 祖父 祖母 外祖父 外祖母 岳父 岳母 老师 导师 继任者 "
    "前任 凶手 遗孀"
)
_PLACES_ZH = (
    "首都 首府 省会 总部 母公司 母校 出生地 故乡 家乡 制造商 生产商 开发商 出版社 出版商 发行商 唱片公司 所属公司 "
    "主场 出版方"
)
_TOWNS_ZH = ("首都", "首府", "省会", "出生地", "故乡", "家乡")
_RANKS_ZH = "(?:首任|第一任|第二任|前任|现任|时任|前|原|副)?"
# what may follow the noun when more is asked of it; 首都机场 and 作者群 are other words
_REST_ZH = (
    r"(?:的|是|在|于|出生|生于|死|去世|逝世|毕业|就读|来自|位于|有|曾|还|担任|获得|获过|得过|国籍|哪一?年|什么时候|何时|何地|多大|几岁|"
    r"今年|为什么|后来|住|属于|[和跟与]谁|写|拍|执导|导演过|拿过|享年|葬)"
)
# what follows the noun where the noun itself is asked for: one step
_WHOLE_ZH = re.compile(
    r"(?:[是在叫为有]|位于|都有|分别是)*(?:谁|什么人|哪一?[位个些座]?(?:人|城市)?|什么(?:地方|名字)?|哪[里儿]|何人|几[位个])[?？]?$"
)
_BRIDGE_ZH = re.compile(
    rf"(?P<thing>[^\s，,。；;：:？?！!]{{2,60}}?)的(?P<role>{_RANKS_ZH}(?:"
    + "|".join(sorted(f"{_PEOPLE_ZH} {_PLACES_ZH}".split(), key=len, reverse=True))
    + rf"))(?={_REST_ZH})"
)
_ASKS_ZH = re.compile(r"[哪谁几]|什么|多少|何[时地处人年]|多[大高长远久]|吗[？?]?$|是否|怎么|怎样|为何")
_WHO_IS_ZH = re.compile(r"^(?:谁是|哪一?位是)(.+?)[?？]?$")
_LEAD_ZH = re.compile(r"^(?:请问|请告诉我|告诉我|你知道|那么|在)+")


def first_described(text: str) -> tuple[str, str] | None:
    """(the phrase that describes something, the question that asks for it) of a Chinese question; None without one.

    The first is the innermost: 《红楼梦》的作者的父亲 asks for the author before the father.
    """
    text = _WHO_IS_ZH.sub(r"\1是谁？", text)
    found = _BRIDGE_ZH.search(text)
    if found is None or not _ASKS_ZH.search(text[found.end() :]) or _WHOLE_ZH.match(text[found.end() :]):
        return None
    thing = _LEAD_ZH.sub("", found["thing"])
    if len(thing) < 2 or _ASKS_ZH.search(thing):
        return None
    is_place = found["role"].endswith(_TOWNS_ZH)
    asked = "是哪里" if is_place else "是什么" if found["role"].endswith(tuple(_PLACES_ZH.split())) else "是谁"
    start = found.start() + len(found["thing"]) - len(thing)
    return text[start : found.end("role")], f"{thing}的{found['role']}{asked}？"
