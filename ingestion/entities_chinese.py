"""Chinese text → mentions: titles in 《》, and names by jieba's dictionary of parts of speech with common suffixes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

from app.index.graph_facts import EntityKind, Mention, entity_key
from app.index.unsegmented import jieba_tokenizer

HAN = re.compile(r"[\u3400-\u9fff]")
_RUN = re.compile(r"[\u3400-\u9fff·]+")
_WORK = re.compile(r"《([^《》\n]{1,60})》")
_SUFFIX = re.compile(
    r"(?:公司|集团|银行|大学|学院|中学|研究所|研究院|实验室|委员会|协会|学会|联盟|基金会|医院|法院|检察院|政府"
    r"|出版社|博物馆|图书馆|俱乐部|组织|部门|总局|党)$"
)
_KINDS: dict[str, EntityKind] = {"nr": "person", "nrt": "person", "nrfg": "person", "ns": "place", "nt": "organisation"}
_PART = frozenset({"n", "ns", "nr", "nz", "nt", "nrt", "nrfg", "j", "b", "vn", "l", "eng", "ng", "s", "an"})
_SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范"
    "廖石贾韦夏付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严武戴莫孔汤"
)
_FUNCTION = ("p", "c", "u", "d", "q", "r", "x", "y", "f", "v")  # parts of speech that no given name is made of
_MAX_PARTS = 6
_LOADING = threading.Lock()
_tagger: Any = None


def chinese_mentions(text: str, start: int, end: int) -> Iterator[Mention]:
    """The names in `text[start:end]`, by position."""
    works = list(_WORK.finditer(text, start, end))
    for match in works:
        yield Mention(entity_key(match.group(1)), match.group(1), "work", match.start(1), match.end(1))
    for run in _RUN.finditer(text, start, end):
        if not any(work.start() < run.end() and run.start() < work.end() for work in works):
            yield from _in_run(text, run.start(), run.end())


def _in_run(text: str, start: int, end: int) -> Iterator[Mention]:
    words: list[tuple[str, str, int]] = []
    at = start
    for pair in _jieba_tagger().cut(text[start:end], HMM=False):  # unknown words by HMM: ten times as slow
        words.append((pair.word, pair.flag, at))
        at += len(pair.word)
    place = 0
    while place < len(words):
        word, flag, at = words[place]
        last = _organisation_from(words, place)
        if last is not None:
            stop = words[last][2] + len(words[last][0])
            yield _mention(text, at, stop, "organisation")
            place = last + 1
        elif len(word) > 1 and (flag in _KINDS or flag == "nz"):
            yield _mention(text, at, at + len(word), _KINDS.get(flag, "name"))
            place += 1
        elif (given := _given_name(words, place)) > 0:
            yield _mention(text, at, at + 1 + given, "person")
            place += 1 + given
        else:
            place += 1


def _given_name(words: list[tuple[str, str, int]], place: int) -> int:
    """How many characters of a given name follow a surname that the dictionary has no whole name for; 0 for none."""
    if words[place][0] not in _SURNAMES:
        return 0
    given = 0
    for word, flag, _ in words[place + 1 : place + 3]:
        if len(word) > 1 or flag.startswith(_FUNCTION):
            break
        given += 1
    return given


def _organisation_from(words: list[tuple[str, str, int]], first: int) -> int | None:
    """The last word of an organisation's name that begins at `first`: nouns and names that end in a telling suffix."""
    found = None
    for place in range(first, min(len(words), first + _MAX_PARTS)):
        word, flag, _ = words[place]
        if flag not in _PART:
            break
        if _SUFFIX.search(word) and (place > first or len(word) > 3):
            found = place
    return found


def _mention(text: str, start: int, end: int, kind: EntityKind) -> Mention:
    return Mention(entity_key(text[start:end]), text[start:end], kind, start, end)


def _jieba_tagger() -> Any:
    """jieba's tagger over the tokenizer that the index has, its tags read at the first Chinese text."""
    global _tagger
    if _tagger is None:
        tokenizer = jieba_tokenizer()
        with _LOADING:
            if _tagger is None:
                from jieba.posseg import POSTokenizer

                tagger = POSTokenizer(tokenizer)
                tagger.load_word_tag(tokenizer.get_dict_file())
                _tagger = tagger
    return _tagger
