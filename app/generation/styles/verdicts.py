"""Yes or no, where one sentence says it in the question's own words and nothing in it limits what it says.

Words shared are no entailment. A verdict is given only if one clause holds every term of the question, the numbers
included, and bears no word that makes a statement conditional, partial, doubtful or past; then its negations decide. In
every other case there is none, and the answer is the sentence alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.generation.quantities import quantities
from app.generation.question_kinds import kind_of
from app.generation.styles.candidates import candidates_of
from app.generation.styles.kinds import without_politeness
from app.generation.styles.topic import held
from app.index.analysis import STOP_WORDS, analyze
from app.types import Passage, PassageSpan

Rule = Literal["statement", "permission", "duty", "threshold"]

_LIMITS = re.compile(
    r"\b(?:if|unless|except|excepting|excluding|only|until|till|without|depend(?:s|ing)?|provided\s+that|subject\s+to|whether|whatever"
    r"|might|could|would|should|perhaps|possibly|probably|likely|unlikely|usually|normally|generally|typically|often|sometimes|rarely"
    r"|seldom|hardly|barely|occasionally|mostly|mainly|largely|partly|partially|almost|nearly|some|few|several|certain|most|many|half"
    r"|either|or|nor|neither|plan(?:s|ned)?|propos(?:e|es|ed)|intend(?:s|ed)?|hopes?|aims?|expect(?:s|ed)?|considered?|claim(?:s|ed)?"
    r"|allege(?:d|s)?|allegedly|reported(?:ly)?|said\s+to|believed?|suggest(?:s|ed)?|assum(?:e|es|ed)|hypothesi[sz](?:e|es|ed)"
    r"|suppos(?:e|ed|edly)|used\s+to|formerly|previously|once|no\s+longer|not\s+(?:all|every|always|only|yet|necessarily)|ask(?:s|ed)?"
    r"|rumou?r\w*|den(?:y|ies|ied)|refus(?:e|es|ed)|doubt\w*|unclear|unknown|supposedly|wants?|wish\w*|tr(?:y|ies|ied)|fail(?:s|ed)?"
    r"|aim(?:s|ed)|hypothes[ei]s|evaluat\w+|assess\w*|investigat\w+|examin\w+|determin\w+|analy[sz]\w+|clarif\w+|compar\w+|stud(?:y|ied|ies)"
    r"|seems?|appears?|closed|shut|suspended|cancell?ed|instead|rather|but|although|though|however|while|whereas|example)\b|^\W*to\s|[?？\"“”「」]"
    r"|如果|若|除非|除了|除|只有|仅|僅|只能|可能|也许|或许|大概|大约|约|部分|有些|有的|一般|通常|多数|大多|少数|计划|拟|打算|曾|原来|以前|过去"
    r"|闭|关门|关闭|停|不再|据说|据称|声称|认为|是否|或者|或|但|然而|虽然|尚未|暂|经.{1,8}(?:批准|同意|许可)|视.{1,6}而定",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"\b(?:all|every|each|any|always|never|only|both|entire|completely|fully|none)\b|所有|全部|每|任何|总是|从不|只|仅|都",
    re.I,
)
_NOT = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|cannot)\b|n['’]t\b|[没沒勿]有?|不(?![仅僅但过過同断斷少久管论論])|[无無](?![锡錫论論限数數线線])|未(?![来來])|禁止|严禁",
    re.IGNORECASE,
)
_MAY = re.compile(
    r"\b(?:may|can|allowed|permitted|permit(?:s|ted)?|allow(?:s|ed)?)\b|可以|允许|允許|准许|可(?=[\u3400-\u9fff])|能",
    re.I,
)
_MAY_NOT = re.compile(
    r"\b(?:(?:may|must|can|shall)\s+not|cannot|can['’]t|mustn['’]t|(?:not|never)\s+(?:be\s+)?(?:allowed|permitted)|(?:does|do)\s+not\s+(?:allow|permit)|prohibit(?:s|ed)?"
    r"|forbid(?:s|den)?|banned|disallowed|no\s+(?=\w+\s+(?:is|are)\s+(?:allowed|permitted)))\b|不得|禁止|严禁|嚴禁|不可以?|不允许|不准|不能|严格禁止",
    re.IGNORECASE,
)
_MUST = re.compile(
    r"\b(?:must(?!\s+not)|shall(?!\s+not)|ha(?:s|ve)\s+to|(?:is|are)\s+(?:required|obliged|obligatory|mandatory|compulsory)|need(?:s)?\s+to|requires?)\b"
    r"|必须|必須|需要?|应当|應當|须",
    re.IGNORECASE,
)
_NEED_NOT = re.compile(
    r"\b(?:need\s+not|needn['’]t|(?:do|does)(?:\s+not|n['’]t)\s+(?:have|need)\s+to|(?:do|does)(?:\s+not|n['’]t)\s+need|(?:is|are)(?:\s+not|n['’]t)\s+(?:required|obliged"
    r"|mandatory|compulsory|obligatory|necessary)|optional|voluntary)\b|无需|無需|不必|不需要?|不用|自愿",
    re.IGNORECASE,
)
_ASKS_MAY = re.compile(
    r"^(?:may|can)\b|\b(?:allowed|permitted|possible)\b|\b(?:does|do)\b.*\b(?:allow|permit)\b|可以|允许|允許|能否|可否|能不能|可不可以|准许|能(?=[\u3400-\u9fff])",
    re.I,
)
_ASKS_MUST = re.compile(
    r"^must\b|^(?:do|does)\b.*\b(?:have|need)\s+to\b|\b(?:required|mandatory|compulsory|obliged|obligatory|necessary|needed)\b|^(?:do|does)\b.*\b(?:need|require)\b"
    r"|必须|必須|需要|需不需要|应当|要不要",
    re.I,
)
_MODAL_TEXT = """
    may can must shall need needs needed have has allow allows allowed permit permits permitted possible require
    requires required mandatory compulsory obliged obligatory necessary prohibit prohibited forbidden banned
    可以 允许 准许 能 能否 可否 可 必须 需要 需 应当 要 禁止 不得 是否 有没有 是不是 能不能 可不可以 吗 有 是 会 不
"""
_MODAL_WORDS = frozenset(_MODAL_TEXT.split()) | frozenset(analyze(_MODAL_TEXT))
_COMPARED = re.compile(
    r"\b(?P<above>(?:more|higher|greater|larger|longer|older|bigger)\s+than|over|above|exceed(?:s|ed)?|at\s+least)\b"
    r"|\b(?P<below>(?:less|fewer|lower|smaller|shorter|younger)\s+than|under|below|at\s+most)\b"
    r"|(?P<over>超过|多于|高于|大于|不少于|至少)|(?P<beneath>少于|低于|小于|不超过|至多|最多)",
    re.IGNORECASE,
)
_COMPARATIVE = re.compile(r"\b(?:\w+er|more|less|fewer)\s+than\b|\bthan\b|比.{1,20}(?:更|还)?|最", re.IGNORECASE)
_PAST = re.compile(r"\b(?:was|were|had|did|until)\b|n['’]t\s+(?:was|were)|曾", re.IGNORECASE)
_PRESENT = re.compile(r"^(?:is|are|do|does|has|have|can|may|must|will)\b", re.IGNORECASE)
_NEGATED = re.compile(
    r"^(?:\w+n['’]t|(?:is|are|do|does|did|was|were|can|may|must|has|have)\s+\w+\s+not)\b|不是.*吗|没有.*吗|不.*吗",
    re.IGNORECASE,
)
_ASKING = re.compile(r"是否|是不是|有没有|[吗嗎]$")
_BY = re.compile(r"\bby\b|[被由]")
_CLAUSES = re.compile(r"[;；。]|,\s+(?:and|so)\s+(?=\w+\s+(?:is|are|was|were|has|have|may|can|must|will)\b)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`yes` is what `span` says to the question; `rule` is how that was told."""

    yes: bool
    span: PassageSpan
    rule: Rule


def verdict(question: str, passages: Sequence[Passage]) -> Verdict | None:
    """Return the verdict of the first passage with a sentence that gives one; None where none does, or two differ."""
    if kind_of(without_politeness(question)) != "yes_no":
        return None
    found = []
    for each in candidates_of(passages):
        if not each.states or each.leaning:
            continue
        told = said_of(question, each.text, each.above)
        if told is not None:
            found.append(Verdict(told[0], each.span, told[1]))
    return found[0] if found and len({one.yes for one in found}) == 1 else None


def said_of(question: str, sentence: str, above: frozenset[str] = frozenset()) -> tuple[bool, Rule] | None:
    """Return whether the sentence says yes, and by which rule; None where it can't be told safely.

    Args:
        question: that asks for yes or no.
        sentence: of a passage.
        above: index terms of the title and headings over it: the subject may stand there.
    """
    asked = _ASKING.sub("", " ".join(without_politeness(question).split()).rstrip("?？ "))
    if _NEGATED.search(question.strip()):
        return None
    rule: Rule = "permission" if _ASKS_MAY.search(asked) else "duty" if _ASKS_MUST.search(asked) else "statement"
    compared = _COMPARED.search(asked)
    bare = asked if compared is None else _COMPARED.sub(" ", asked)
    numbers = quantities(bare)
    terms = frozenset(analyze(numbers.rest if compared else bare)) - STOP_WORDS - _MODAL_WORDS
    for clause in _CLAUSES.split(sentence):
        said = frozenset(analyze(clause))
        missing = [term for term in terms if not held(term, said)]
        if (
            not terms
            or len(missing) > 1
            or any(not held(term, above) for term in missing)
            or len(terms) == len(missing)
        ):
            continue
        if _LIMITS.search(clause) or _LIMITS.search(asked) or _unlike(asked, clause):
            continue
        if compared is not None:
            return _threshold(compared, bare, clause)
        if _COMPARATIVE.search(asked) or _COMPARED.search(clause) or numbers.missing_from(quantities(clause)):
            continue
        return _decided(rule, clause)
    return None


def _decided(rule: Rule, clause: str) -> tuple[bool, Rule] | None:
    if rule == "permission":
        if _MAY_NOT.search(clause):
            return False, rule
        return (True, rule) if _MAY.search(clause) and not _NOT.search(clause) else None
    if rule == "duty":
        if _NEED_NOT.search(clause):
            return False, rule
        return (True, rule) if _MUST.search(clause) and not _NOT.search(clause) else None
    negations = len(_NOT.findall(clause))
    return (negations == 0, rule) if negations <= 1 else None


def _unlike(asked: str, clause: str) -> bool:
    """Whether the clause speaks of another time, turns who did what, or says less than the "all" asked for."""
    if _PRESENT.match(asked) and _PAST.search(clause):
        return True
    if _BY.search(clause) and not _BY.search(
        asked
    ):  # "Acme was bought by Bolt" holds every word of "did Acme buy Bolt"
        return True
    wholes = {match.group().lower() for match in _WHOLE.finditer(asked)}
    return not wholes <= {match.group().lower() for match in _WHOLE.finditer(clause)}


def _threshold(compared: re.Match[str], asked: str, clause: str) -> tuple[bool, Rule] | None:
    """The clause's one number against the question's one bound."""
    bounds, values = quantities(asked).numbers, quantities(clause).numbers
    if len(bounds) != 1 or len(values) != 1 or values[0].about or _COMPARED.search(clause) or _NOT.search(clause):
        return None
    words, value, bound = compared.group().lower(), values[0].value, bounds[0].value
    above = compared["above"] is not None or compared["over"] is not None
    inclusive = words in ("at least", "at most", "不少于", "至少", "不超过", "至多", "最多")
    if value == bound:
        return inclusive, "threshold"
    return (value > bound) == above, "threshold"
