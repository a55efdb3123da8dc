"""A question to a collection's own graph → Cypher by patterns: what is mentioned where, what belongs together.

What a question says only ever becomes a bound value: the statements' shapes are those that stand here. Rows that can be
cited carry `document_id`, `version`, `char_start` and `char_end`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.index.stop_words import ENGLISH
from app.query.construction.cypher_check import DEFAULT_LIMIT, check_cypher
from app.query.construction.cypher_schema import collection_schema
from app.query.construction.cypher_source import EntityLink, GraphSource
from app.query.construction.cypher_tree import statement_text
from app.query.construction.fields import stem

_DOCS = (
    r"(?:\b(?:documents?|files?|papers?|reports?|articles?|texts?|contracts?|sources?|pages)\b"
    r"|文档|文件|文章|报告|论文|资料|合同)"
)
_MENTION = (
    r"(?:\b(?:mention(?:s|ed|ing)?|contain(?:s|ed|ing)?|discuss(?:es|ed|ing)?|refer(?:s|red|ring)? to|name[sd]?|about"
    r"|talk(?:s|ing)? about|speak(?:s|ing)? of|cite[sd]?)\b|提到|提及|涉及|讨论|包含|关于|谈到)"
)
_HOW_MANY = r"how many|number of|count|多少|几[个篇份]"
_COMMON = re.compile(r"\bin common\b|\bconnect(?:s|ed|ion|ions)?\b|\blink(?:s|ed)?\b|共同点|有什么联系|有何联系", re.I)
_RELATED_PAIR = re.compile(r"\brelat(?:ed|ion|ions|ionship)\b|关系", re.I)
_RELATED = re.compile(r"\brelated to\b|\bassociated with\b|\bconnected (?:to|with)\b|\btogether with\b|相关|有关", re.I)
_TIMES = re.compile(r"how (?:many times|often)|多少次|几次", re.I)
_OUTLINE = re.compile(
    r"(?P<what>sections?|headings?|chapters?|tables?|章节|表格)\b.*?(?:\b(?:of|in|does|do)\b|有)|(?P<zh>章节|表格)",
    re.I,
)
_QUOTED = re.compile(r"[\"“「《']([^\"”」》']{2,200})[\"”」》']")
_VERB_FORMS = {
    "wrote": "written", "write": "written", "writes": "written", "built": "built", "build": "built", "led": "led",
    "leads": "led", "lead": "led", "owns": "owned", "own": "owned", "bought": "bought", "buy": "bought",
}  # fmt: skip
_READ = (
    *(re.compile(words, re.IGNORECASE) for words in (_DOCS, _MENTION, _HOW_MANY)),
    *(_COMMON, _RELATED_PAIR, _RELATED, _TIMES, _OUTLINE),
)
_ASKING = ENGLISH | frozenset(
    [
        "list",
        "show",
        "give",
        "find",
        "tell",
        "name",
        "many",
        "times",
        "one",
        "thing",
        "things",
        "anything",
        "else",
        "called",
    ]
)
_IS_WHAT = re.compile(r"^\s*(?:what|who) (?:is|was|are|were)\b|是(?:什么|谁|哪)", re.I)
_SPAN = "{0}.document_id AS document_id, {0}.version AS version, {0}.char_start AS char_start, {0}.char_end AS char_end"


@dataclass(frozen=True, slots=True)
class CypherStatement:
    """A checked statement; `text` is empty where none could be built, and the explanation says why.

    Args:
        parameters: bound to `$p1`, `$p2`, … by name.
        answer: the column that answers the question.
    """

    text: str
    parameters: dict[str, Any]
    explanation: str
    confidence: float
    how: str = "rules"
    answer: str = ""


def build_graph_question(question: str, source: GraphSource) -> CypherStatement:
    """The statement by rules over the collection's graph. Never raises for a question.

    Raises:
        Unavailable: the collection has no graph of its present documents. MissingPackage: the engine is missing.
    """
    links = source.entities_in(question)
    for build in (_outline, _counts, _documents, lambda q, found: _relation(q, found, source), _pairs, _neighbours):
        built = build(question, links)
        if built is not None:
            return _with_the_unread(built, question, links)
    if not links:
        return CypherStatement("", {}, "The question names nothing that the graph knows.", 0.0)
    named = ", ".join(link.name for link in links)
    return CypherStatement("", {}, f"The question names {named}, but asks nothing that the graph's edges say.", 0.0)


def _with_the_unread(built: CypherStatement, question: str, links: Sequence[EntityLink]) -> CypherStatement:
    """The statement, less sure and saying so where words of the question had no part in it."""
    rest = _QUOTED.sub(" ", _without(question, links))
    for read in _READ:
        rest = read.sub(" ", rest)
    known = {stem(word) for value in built.parameters.values() for word in re.findall(r"\w+", str(value))}
    words = [word for word in re.findall(r"[^\W_\u3400-\u9fff]+", rest) if word.lower() not in _ASKING]
    left = [word for word in words if stem(_VERB_FORMS.get(word.lower(), word)) not in known]
    if not left:
        return built
    told = f"{built.explanation} Not read: {' '.join(left)[:200]!r}."
    return replace(built, explanation=told, confidence=round(built.confidence * 0.5, 3))


def _made(
    text: str, values: Sequence[Any], explanation: str, confidence: float, answer: str, *, limit: int = DEFAULT_LIMIT
) -> CypherStatement:
    parameters = {f"p{n}": value for n, value in enumerate(values, start=1)}
    checked = check_cypher(text, collection_schema(), limit=limit, parameters=parameters)
    return CypherStatement(statement_text(checked), parameters, explanation, confidence, answer=answer)


def _counts(question: str, links: Sequence[EntityLink]) -> CypherStatement | None:
    if links and _TIMES.search(question):
        return _made(
            "MATCH (d:Document)-[m:MENTIONS]->(e:Entity {id: $p1}) RETURN count(m) AS mentions",
            [links[0].id], f"Counts the mentions of {links[0].name}.", 0.9, "mentions",
        )  # fmt: skip
    if not re.search(rf"(?:{_HOW_MANY})\W*(?:\w+ )?(?:{_DOCS})", question, re.IGNORECASE):
        return None
    if links and re.search(_MENTION, question, re.IGNORECASE):
        where, names, ids = _mentioning(links)
        told = f"Counts the documents that mention {names}."
        return _made(f"{where} RETURN count(DISTINCT d.id) AS documents", ids, told, 0.9, "documents")
    if links or re.search(_MENTION, question, re.IGNORECASE):
        return None  # a condition that can't be read must not be dropped
    if re.search(
        r"\b(?:are there|do (?:you|we) have|exist|in total|altogether|is there)\b|有多少|一共|总共", question, re.I
    ):
        return _made("MATCH (d:Document) RETURN count(d) AS documents", [], "Counts the documents.", 0.8, "documents")
    return None


def _documents(question: str, links: Sequence[EntityLink]) -> CypherStatement | None:
    if not links or not re.search(_DOCS, question, re.I) or not re.search(_MENTION, question, re.I):
        return None
    where, names, ids = _mentioning(links)
    return _made(
        f"{where} RETURN d.title AS title, d.id AS document_id, d.version AS version, "
        "count(DISTINCT m1.char_start) AS mentions, min(m1.char_start) AS char_start, min(m1.char_end) AS char_end "
        "ORDER BY mentions DESC, document_id",
        ids, f"Lists the documents that mention {names}.", 0.9, "title",
    )  # fmt: skip


def _mentioning(links: Sequence[EntityLink]) -> tuple[str, str, list[str]]:
    """MATCH for documents that mention all of them, their names, their ids."""
    known = list({link.id: link for link in links}.values())[:4]
    paths = [f"(d:Document)-[m{n}:MENTIONS]->(e{n}:Entity {{id: $p{n}}})" for n in range(1, len(known) + 1)]
    return "MATCH " + ", ".join(paths), " and ".join(link.name for link in known), [link.id for link in known]


def _outline(question: str, links: Sequence[EntityLink]) -> CypherStatement | None:
    del links
    asked, title = _OUTLINE.search(question), _QUOTED.search(question)
    if asked is None or title is None:
        return None
    tables = (asked["what"] or asked["zh"]).lower().startswith(("table", "表格"))
    edge, label = ("HAS_TABLE", "`Table`") if tables else ("HAS_SECTION", "Section")
    return _made(
        f"MATCH (d:Document)-[:{edge}]->(s:{label}) WHERE lower(d.title) CONTAINS lower($p1) "
        f"RETURN s.title AS title, {_SPAN.format('s')} ORDER BY document_id, char_start",
        [title[1]], f"Lists the {'tables' if tables else 'sections'} of documents called {title[1]!r}.", 0.8, "title",
    )  # fmt: skip


def _relation(question: str, links: Sequence[EntityLink], source: GraphSource) -> CypherStatement | None:
    """ "What is the capital of France?", "who founded Acme?", "what is Acme?": one edge from or to a named entity."""
    if not links:
        return None
    known = links[-1]
    said = {_VERB_FORMS.get(word.lower(), stem(word)) for word in re.findall(r"[^\W\d_]+", _without(question, links))}
    best: tuple[int, str] | None = None
    for name in source.relations():
        telling = [word for word in re.split(r"[ …]", name) if word not in ("of", "by", "in", "is", "a", "由", "")]
        matched = bool(telling) and all(
            word in question if not word.isascii() else _said(word, said) for word in telling
        )
        if matched and (best is None or (len(name), name) > best):
            best = (len(name), name)
    if best is None:
        if _IS_WHAT.search(question) and len(links) == 1 and "is a" in source.relations() and _only(question, known):
            return _edge("is a", known, known_is_subject=True, confidence=0.7)
        return None
    name = best[1]
    if name.endswith((" by", " in")) or name.startswith("由…") or name in ("位于", "坐落于"):
        passive = re.search(r"\b(?:by|in)\s+(?:the\s+)?$|由$", question[: known.start], re.IGNORECASE) is not None
        acting = (
            re.search(r"\b(?:did|does|has|have)\s+(?:the\s+)?$", question[: known.start], re.IGNORECASE) is not None
        )
        return _edge(name, known, known_is_subject=not (passive or acting), confidence=0.85)
    return _edge(name, known, known_is_subject=False, confidence=0.85)


def _edge(name: str, known: EntityLink, *, known_is_subject: bool, confidence: float) -> CypherStatement:
    subject, other = (
        ("(k:Entity {id: $p1})", "(x:Entity)") if known_is_subject else ("(x:Entity)", "(k:Entity {id: $p1})")
    )
    told = f"{known.name} – {name} – ?" if known_is_subject else f"? – {name} – {known.name}"
    return _made(
        f"MATCH {subject}-[r:RELATION {{name: $p2}}]->{other} RETURN x.name AS answer, {_SPAN.format('r')} "
        "ORDER BY answer, document_id, char_start",
        [known.id, name], f"Reads the relation {told}.", confidence, "answer",
    )  # fmt: skip


def _pairs(question: str, links: Sequence[EntityLink]) -> CypherStatement | None:
    ids = list({link.id: link for link in links}.values())
    if len(ids) != 2:
        return None
    names = f"{ids[0].name} and {ids[1].name}"
    values = [link.id for link in ids]
    if _COMMON.search(question):
        return _made(
            "MATCH (a:Entity {id: $p1})-[c:CO_OCCURS]-(x:Entity)-[e:CO_OCCURS]-(b:Entity {id: $p2}) "
            f"RETURN x.name AS name, c.count + e.count AS strength, {_SPAN.format('c')} "
            "ORDER BY strength DESC, name, document_id",
            values, f"Lists what stands in one sentence with each of {names}.", 0.7, "name",
        )  # fmt: skip
    if _RELATED_PAIR.search(question):
        return _made(
            "MATCH (s:Entity)-[r:RELATION]->(o:Entity) "
            "WHERE (s.id = $p1 AND o.id = $p2) OR (s.id = $p2 AND o.id = $p1) "
            f"RETURN s.name AS subject, r.name AS relation, o.name AS object, {_SPAN.format('r')} "
            "ORDER BY relation, document_id, char_start",
            values, f"Reads the relations between {names}.", 0.7, "relation",
        )  # fmt: skip
    return None


def _neighbours(question: str, links: Sequence[EntityLink]) -> CypherStatement | None:
    if len({link.id for link in links}) != 1 or not _RELATED.search(question):
        return None
    return _made(
        f"MATCH (k:Entity {{id: $p1}})-[c:CO_OCCURS]-(x:Entity) RETURN x.name AS name, c.count AS strength, "
        f"{_SPAN.format('c')} ORDER BY strength DESC, name, document_id",
        [links[0].id], f"Lists what stands in one sentence with {links[0].name}.", 0.7, "name",
    )  # fmt: skip


def _without(question: str, links: Sequence[EntityLink]) -> str:
    """The question with the entities' names blanked, so that a name's own words ask for nothing."""
    for link in links:
        question = question[: link.start] + " " * (link.end - link.start) + question[link.end :]
    return question


def _said(word: str, said: set[str]) -> bool:
    return word in said or stem(word) in said


def _only(question: str, known: EntityLink) -> bool:
    """Whether nothing but "what is" stands beside the name."""
    rest = _without(question, [known])
    return (
        re.fullmatch(r"\s*(?:what|who)\s+(?:is|was|are|were)\s+(?:the|an?)?\s*\W*|\W*是(?:什么|谁)\W*", rest, re.I)
        is not None
    )
