"""What a question wants a text column to be about: "whose comment complains about delivery", 评论提到物流的订单."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.query.construction.fields import stem
from app.query.construction.sql_mentions import ColumnMention, Ref, name_stems
from app.query.construction.sql_schema import SqlSchema
from app.query.construction.values import Word

# verbs that say what a text does; those that carry meaning stay in the phrase, "about" and "mentions" do not
_PLAIN = (
    r"(?:is|are|was|were)\s+(?:about|like|similar\s+to)|(?:talk|speak|wr[io]te?)s?\s+(?:about|of)|about|on\s+the\s+subject\s+of"
    r"|mention(?:s|ed|ing)?|refer(?:s|red|ring)?\s+to|sa(?:y|ys|id|ying)(?:\s+that)?|describ(?:e|es|ed|ing)"
    r"|discuss(?:es|ed|ing)?|deal(?:s|ing)?\s+with|concern(?:s|ing)?|regarding|resembl(?:e|es|ing)|sound(?:s|ing)?\s+like"
)
_TELLING = (
    r"complain(?:s|ed|ing)?|prais(?:e|es|ed|ing)|critici[sz](?:e|es|ed|ing)|thank(?:s|ed|ing)?|warn(?:s|ed|ing)?"
    r"|suggest(?:s|ed|ing)?|ask(?:s|ed|ing)?\s+for|report(?:s|ed|ing)?|express(?:es|ed|ing)?"
)
_AFTER_COLUMN = re.compile(
    rf"[\s'’]*(?:(?:that|which|text)\s+)?(?:(?:{_PLAIN})\s+|(?=(?:{_TELLING})\b))(?P<phrase>\S.*)", re.IGNORECASE
)
_ANYWHERE = re.compile(
    rf"\b(?:(?:mention(?:s|ed|ing)?)\s+|(?=(?:{_TELLING})\s+(?:about|of|that)\b)|complaints?\s+about\s+)(?P<phrase>\S.*)",
    re.IGNORECASE,
)
_CHINESE_AFTER = re.compile(
    r"(?:里|中|内容)?(?:是)?(?:提到|提及|说到?|谈到|讲|关于|涉及|类似于?|有关|(?=抱怨|投诉|称赞|批评|反映))了?(?P<phrase>[^，。？！；,?!;]{2,60}?)"
    r"(?:的(?=[\u4e00-\u9fff]{1,8}(?:$|[，。？！,?]|有|是|数|总|平均))|(?=$|[，。？！；,?!;]))"
)
_END = re.compile(
    r"\s*(?:[?!;？！；。]|\.(?:\s|$)|,|，|$|\s(?:and|but)\s+(?:with|whose|that|which|cost|costs|have|has|were|was|are|is|from|"
    r"ha[ds])\b|\s(?:whose|where|with\s+an?\s|with\s+the\s)|\s(?:over|above|under|below|since|before|after)\s+[$€£¥]?\d"
    r"|\s(?:in|during|since|before|after)\s+(?:\d{4}|last|this|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:\b(?:whose|with|where|having|in\s+whose|and|the|a|an|their|its|customer|user)\s+)+$", re.IGNORECASE
)
_NAMES = frozenset({
    "comment", "comments", "review", "reviews", "description", "note", "notes", "feedback", "text", "body", "abstract",
    "summary", "message", "complaint", "remark", "remarks", "reason", "content", "story", "plot", "opinion",
    "评论", "备注", "描述", "意见", "反馈", "内容", "说明", "摘要", "评价", "留言",
})  # fmt: skip
_LEAST_CHARS = 2


@dataclass(frozen=True, slots=True)
class SemanticCondition:
    """The column's text is near `phrase`; `span`: the characters of the question that say so, column's name too."""

    ref: Ref
    phrase: str
    span: tuple[int, int]


def find_semantic(
    question: str, words: Sequence[Word], mentions: Sequence[ColumnMention], schema: SqlSchema
) -> SemanticCondition | None:
    """The first one that the question names; None where no column holds sentences, or nothing is asked of them."""
    prose = [
        Ref(table.name, column)
        for table in schema.tables
        for column in table.columns
        if column.type == "text" and (column.prose or _is_called_so(column.name))
    ]
    if not prose:
        return None
    keys = {ref.key for ref in prose}
    for mention in sorted((m for m in mentions if m.ref.key in keys), key=lambda m: (m.first, -m.score)):
        start, end = words[mention.first].start, words[mention.last - 1].end
        found = _AFTER_COLUMN.match(question, end) or _CHINESE_AFTER.match(question, end)
        if found is not None:
            lead = _LEAD.search(question[:start])
            return _condition(question, mention.ref, found, lead.start() if lead else start)
    tables = {word for table in schema.tables for word in name_stems(table.name)}
    for number, word in enumerate(words):  # "reviews about noise", where the table is called so
        if len(prose) == 1 and stem(word.text) in tables:
            found = _AFTER_COLUMN.match(question, word.end)
            if found is not None and _is_called_so(word.text) and number:
                return _condition(question, prose[0], found, word.end)
    found = _ANYWHERE.search(question) if len(prose) == 1 else None
    return _condition(question, prose[0], found, found.start()) if found is not None else None


def _condition(question: str, ref: Ref, found: re.Match[str], start: int) -> SemanticCondition | None:
    begin, end = found.span("phrase")
    stop = _END.search(question, begin, end)
    end = stop.start() if stop else end
    phrase = question[begin:end].strip(" \"'“”‘’.,?!")
    if len(phrase) < _LEAST_CHARS:
        return None
    return SemanticCondition(ref, phrase, (start, end))


def _is_called_so(name: str) -> bool:
    plain = name.casefold().replace("_", " ")
    return plain in _NAMES or bool(_NAMES & set(plain.split())) or any(len(n) == 2 and n in plain for n in _NAMES)
