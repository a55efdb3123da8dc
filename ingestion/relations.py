"""Sentences with their mentions → relations by a handful of patterns; each edge carries the span of its sentence.

`(subject, name, object)`: ("paris", "capital of", "france"), ("microsoft", "founded by", "bill gates").
A pattern reads what stands between two neighbouring mentions, or after one; it never guesses across a clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from app.index.graph_facts import Mention, Relation, entity_key
from app.index.stop_words import ENGLISH

MAX_SPAN_CHARS = 600
_DONE = (
    r"founded|co-founded|created|developed|invented|written|directed|designed|acquired|bought|discovered|established"
    r"|owned|led|published|produced|built|composed|painted|launched|introduced|manufactured|operated|managed|chaired"
)
_DID = {
    "founded": "founded by", "co-founded": "co-founded by", "created": "created by", "developed": "developed by",
    "invented": "invented by", "wrote": "written by", "directed": "directed by", "designed": "designed by",
    "acquired": "acquired by", "bought": "bought by", "discovered": "discovered by", "established": "established by",
    "owns": "owned by", "leads": "led by", "published": "published by", "built": "built by",
    "composed": "composed by", "painted": "painted by", "launched": "launched by",
}  # fmt: skip
_BE = r"(?:,? (?:which|who|that))? (?:is|was|are|were|has been|had been)"
_THE = r"(?: the| a| an)?"
_ROLE = r"(?P<role>[a-z][a-z-]*(?: [a-z][a-z-]*){0,3})"
_NOUN_OF = re.compile(rf"(?:{_BE}|,)(?P<the> the| an?| one of the)? {_ROLE} of{_THE} ")
_DONE_BY = re.compile(rf"(?:{_BE}|,)(?: \w+ly)? (?P<done>{_DONE}) by{_THE} ")
_DONE_IN = re.compile(rf"(?:{_BE}|,)(?: \w+ly)? (?P<done>located|based|headquartered|situated|born) in{_THE} ")
_PART_OF = re.compile(rf"{_BE} (?:a )?part of{_THE} ")
_DID_IT = re.compile(rf"(?: \w+ly)? (?P<did>{'|'.join(_DID)}){_THE} ")
_OWN_NOUN = re.compile(rf"['’]s {_ROLE} (?:is|was) ")
_MORE = re.compile(r",? and |, ")
_STOP = (
    "that|which|who|in|of|for|by|from|to|and|or|on|at|with|as|but|located|based|founded|made|used|not|over|under|near"
    "|headquartered|situated|living|designed|built|created|developed|published|known|called|named|when|where|while|than"
    "|born|containing|including|involving|consisting|common|belonging|written|directed|produced|owned"
)
_IS_A = re.compile(
    rf"{_BE} (?:an?|one of the) (?P<what>(?!(?:{_STOP})\b)[a-z][a-z-]*+(?: (?!(?:{_STOP})\b)[a-z][a-z-]*+){{0,5}}+)"
    rf"(?= (?:{_STOP})\b(?<!of)|[,.;:)]|$)"
)
_NOT_IN_A_ROLE = ENGLISH | frozenset(["also", "near", "although", "among", "around", "along", "upon", "since", "like"])
_ZH_BORDERS = "，。；、！？：（）《》“”「」\n ,()"
_VERBS = "创立|创办|创建|成立|建立|发明|撰写|收购|出版|设计|开发|执导"
_ZH_OF = re.compile(r"(?:是|，)")
_ZH_ROLE_AFTER = re.compile(r"的(?P<role>[\u4e00-\u9fff]{2,6})(?=[，。；、！？]|$)")
_ZH_ROLE_BETWEEN = re.compile(r"的(?P<role>[\u4e00-\u9fff]{2,6}?)(?:是|为)")
_ZH_DONE = re.compile(rf"(?P<did>{_VERBS})了?")
_ZH_BY_AFTER = re.compile(rf"(?:[^，。；]{{0,8}}?)(?P<done>{_VERBS})")
_ZH_IN = re.compile(r"(?:总部)?(?P<done>位于|坐落于)")
_ZH_IS_A = re.compile(
    r"是一?[个家位所座种部本名款项](?:[^，。；、！？]{0,20}的)?(?P<what>(?!一)[\u4e00-\u9fff]{2,8})(?=[，。；、！？]|$)"
)


def find_relations(
    text: str, sentence: tuple[int, int], mentions: Sequence[Mention]
) -> tuple[list[Relation], list[Mention]]:
    """What one sentence says of its mentions, and mentions of the kinds ("is a …") that it names.

    Args:
        text: the whole document.
        sentence: `[char_start, char_end)` in it.
        mentions: those inside the sentence, by position.
    """
    relations: list[Relation] = []
    concepts: list[Mention] = []
    if text[sentence[1] - 1] in "?？":  # asked, not said
        return relations, concepts
    for subject in mentions:
        if (concept := _kind_of(text, sentence, subject)) is not None:
            concepts.append(concept)
            relations.append(_relation(sentence, subject, "is a", concept, (subject, concept)))
    for place, (first, second) in enumerate(pairwise(mentions)):
        for subject, name, other in _between(text, sentence, first, second):
            relations.append(_relation(sentence, subject, name, other, (first, second)))
            if name.endswith(" by") and other is second:  # "founded by X and Y"
                for before, after in pairwise(mentions[place + 1 :]):
                    if not _MORE.fullmatch(text, before.char_end, after.char_start):
                        break
                    relations.append(_relation(sentence, subject, name, after, (first, after)))
    known = {
        (edge.subject, edge.name, edge.object): edge for edge in reversed(relations) if edge.subject != edge.object
    }
    return sorted(known.values(), key=lambda edge: (edge.char_start, edge.subject, edge.name, edge.object)), concepts


def _between(text: str, sentence: tuple[int, int], a: Mention, b: Mention) -> Iterator[tuple[Mention, str, Mention]]:
    gap = re.sub(r"\s+", " ", text[a.char_end : b.char_start])
    if len(gap) > 80:
        return
    if match := _NOUN_OF.fullmatch(gap):
        if _is_role(match["role"], listed=gap.startswith(",") and match["the"] is None):
            yield a, f"{match['role']} of", b
    elif match := _DONE_BY.fullmatch(gap):
        yield a, f"{match['done']} by", b
    elif match := _DONE_IN.fullmatch(gap):
        yield a, f"{match['done']} in", b
    elif _PART_OF.fullmatch(gap):
        yield a, "part of", b
    elif match := _DID_IT.fullmatch(gap):
        yield b, _DID[match["did"]], a
    elif match := _OWN_NOUN.fullmatch(gap):
        if _is_role(match["role"], listed=False):
            yield b, f"{match['role']} of", a
    elif not _begins_clause(text, sentence, a):
        return
    elif match := _ZH_ROLE_BETWEEN.fullmatch(gap):
        if _ends_clause(text, sentence, b):
            yield b, match["role"], a
    elif match := _ZH_DONE.fullmatch(gap):
        if _ends_clause(text, sentence, b):
            yield b, f"由…{match['did']}", a
    elif _ZH_OF.fullmatch(gap) and (match := _ZH_ROLE_AFTER.match(text, b.char_end, sentence[1])):
        yield a, match["role"], b
    elif gap in ("由", "是由") and (match := _ZH_BY_AFTER.match(text, b.char_end, sentence[1])):
        yield a, f"由…{match['done']}", b
    elif match := _ZH_IN.fullmatch(gap):
        yield a, match["done"], b


def _is_role(role: str, *, listed: bool) -> bool:
    """Whether the words name what one thing is of another; in a list ("Lyon, parts of Spain") only a single one."""
    words = role.split()
    if any(word in _NOT_IN_A_ROLE for word in words) or words[-1].endswith("ing"):
        return False
    return not (listed and (words[-1].endswith("s") or words[-1] in ("part", "death", "end")))


def _begins_clause(text: str, sentence: tuple[int, int], mention: Mention) -> bool:
    """Whether the name is whole at its left: Chinese writes no spaces, and a dictionary may have cut it."""
    return mention.char_start == sentence[0] or text[mention.char_start - 1] in _ZH_BORDERS


def _ends_clause(text: str, sentence: tuple[int, int], mention: Mention) -> bool:
    return mention.char_end == sentence[1] or text[mention.char_end] in _ZH_BORDERS


def _kind_of(text: str, sentence: tuple[int, int], subject: Mention) -> Mention | None:
    """ "X is a Y": Y, where it is said in small letters right after X."""
    match = _IS_A.match(text, subject.char_end, sentence[1])
    if match is None and _begins_clause(text, sentence, subject):
        match = _ZH_IS_A.match(text, subject.char_end, sentence[1])
    if match is None:
        return None
    name = match["what"]
    if name.endswith("ly"):  # "one of the most ethnically diverse": no noun has come yet
        return None
    return Mention(entity_key(name), name, "concept", match.start("what"), match.end("what"))


def _relation(
    sentence: tuple[int, int], subject: Mention, name: str, other: Mention, within: tuple[Mention, Mention]
) -> Relation:
    start, end = sentence
    if end - start > MAX_SPAN_CHARS:
        start = min(mention.char_start for mention in within)
        end = max(mention.char_end for mention in within)
    return Relation(subject.key, name, other.key, start, end)
