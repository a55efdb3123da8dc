"""Text → mentions of named things, by rules alone: the same text always gives the same mentions, with exact spans.

Capitalised names and acronyms in Latin script, with the expansions that the text itself gives, as in `World Health
Organization (WHO)`; Chinese names are in `entities_chinese`. Numbers, dates and function words are no entities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.index.graph_facts import EntityKind, Mention, entity_key
from app.index.sentences import sentence_spans
from app.index.stop_words import CAPITAL_NAMES, ENGLISH
from ingestion.entities_chinese import HAN, chinese_mentions

MAX_NAME_CHARS = 120
_TOKEN = re.compile(r"[^\W\d_][^\W_]*(?:[-&][^\W_]+|['’.](?=[^\W\d_][^\W_])[^\W_]+|\.[^\W\d_]\b)*(?:['’]s\b)?")
_ACRONYM = re.compile(r"[A-Z][A-Z0-9]*(?:[-&][A-Z0-9]+)*|(?:[A-Z]\.)+[A-Z]")
_ROMAN = re.compile(r"[IVXLCDM]+")
_POSSESSIVE = re.compile(r"['’]s$")
_IN_BRACKETS = re.compile(r"\s*[(（]([^()（）\n]{2,80})[)）]")
_CONNECTORS_TEXT = "of de la le du del di da van von der den bin al el y for"
_HONORIFICS_TEXT = "dr mr mrs ms prof st sen gen col"
_NEVER_TEXT = """
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
    october november december jan feb mar apr jun jul aug sep sept oct nov dec however therefore moreover furthermore
    meanwhile although though since because thus hence also another many several one two three four five six seven eight
    nine ten first second third finally next later today yesterday tomorrow please note yes section chapter figure table
    page appendix see e.g i.e am pm ad bc bce ce i mr mrs ms dr prof according despite during following unlike like
    given among within without instead overall additionally similarly specifically generally usually often sometimes
    recently currently previously originally eventually every everyone someone anyone nobody nothing something when
    while whether inc corp ltd llc plc co
"""
_ORGANISATION_TEXT = """
    inc corp corporation ltd llc plc company co group university institute college school organization organisation
    committee bank agency ministry department council association foundation court commission office bureau society
    hospital laboratory laboratories museum union party parliament senate congress press airlines systems technologies
"""
_CONNECTORS, _HONORIFICS, _NEVER, _ORGANISATION = (
    frozenset(words.split()) for words in (_CONNECTORS_TEXT, _HONORIFICS_TEXT, _NEVER_TEXT, _ORGANISATION_TEXT)
)
_DROPPED = ENGLISH | _NEVER
_SMALL_WORDS = ENGLISH | _CONNECTORS
_BETWEEN = _CONNECTORS | {"the"}
_AFTER_NAME = re.compile(
    r"\s*(?:,|\(|['’]s\b|(?:is|was|are|were|has|had|have|will|and|or|who|which|does|did|can|may)\b)"
)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Found:
    """`sure` is false where the capital letter may only be that of a sentence's or heading's beginning."""

    mention: Mention
    sure: bool


def find_mentions(text: str) -> list[Mention]:
    """Every mention, by position; none overlap, and `text[char_start:char_end]` is what was read."""
    found: list[_Found] = []
    expansions: dict[str, Mention] = {}
    for start, end in sentence_spans(text):
        in_sentence = list(_capitalised(text, start, end))
        found += in_sentence
        expansions.update(_expansions(text, start, end, [each.mention for each in in_sentence]))
        if HAN.search(text, start, end):
            found += [_Found(mention, True) for mention in chinese_mentions(text, start, end)]
    sure = {each.mention.key for each in found if each.sure}
    lower = _lower_words(text)
    kept = [each.mention for each in found if each.sure or each.mention.key in sure or _stands_alone(text, each, lower)]
    resolved = [_resolved(mention, expansions) for mention in kept]
    return _without_overlaps([*resolved, *expansions.values()])


def _capitalised(text: str, start: int, end: int) -> Iterator[_Found]:
    """The runs of capitalised words of one sentence."""
    tokens = [_Token(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text, start, end)]
    heading = _is_heading(tokens, text[end - 1 : end])
    for run in _runs(text, tokens):
        while run and (run[0].text.lower() in _DROPPED and run[0].text not in CAPITAL_NAMES):
            run = run[1:]
        while run and (run[-1].text.lower() in _CONNECTORS or run[-1].text.lower() in _HONORIFICS):
            run = run[:-1]
        if not run or (len(run) == 1 and not _is_name(run[0].text)):
            continue
        at_start = run[0] is tokens[0]
        stop = run[-1].end - (2 if _POSSESSIVE.search(run[-1].text) else 0)
        mention = _mention(text, run[0].start, stop, [token.text for token in run])
        if mention is None:
            continue
        acronym = len(run) == 1 and _ACRONYM.fullmatch(run[0].text) is not None
        sure = not heading and (not at_start or acronym or len(run) > 1)
        yield _Found(mention, sure)


def _runs(text: str, tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Capitalised tokens that follow one another, with small words such as "of" only between them."""
    run: list[_Token] = []
    small: list[_Token] = []
    for token in tokens:
        joined = bool(run) and _joined(text, (small or run)[-1], token)
        if token.text[0].isupper() and (not run or joined):
            run += [*small, token]
            small = []
        elif joined and token.text in _BETWEEN and len(small) < 2 and (small or token.text != "the"):
            small.append(token)
        else:
            if run:
                yield run
            run, small = ([token], []) if token.text[0].isupper() else ([], [])
        if run and not small and _POSSESSIVE.search(token.text):
            yield run
            run = []
    if run:
        yield run


def _joined(text: str, before: _Token, token: _Token) -> bool:
    """Whether nothing but white space stands between: or the period of an initial or a title."""
    if _POSSESSIVE.search(before.text):
        return False
    between = text[before.end : token.start]
    if between.startswith(".") and (len(before.text) == 1 or before.text.lower() in _HONORIFICS):
        between = between[1:]
    return between in (" ", "\n", "") or (between.isspace() and between.count("\n") < 2)


def _is_name(word: str) -> bool:
    bare = _POSSESSIVE.sub("", word)
    if len(bare) < 2 or (bare.lower() in _DROPPED and bare not in CAPITAL_NAMES) or bare.lower() in _CONNECTORS:
        return False
    return not (_ROMAN.fullmatch(bare) and len(bare) < 4)


def _is_heading(tokens: Sequence[_Token], last: str) -> bool:
    """Whether capitals say nothing here: nearly every word has one, and no sentence ends."""
    telling = [token.text for token in tokens if token.text.lower() not in _SMALL_WORDS]
    capital = sum(word[0].isupper() for word in telling)
    if last in ".!?…”\"')" and any(token.text[0].islower() for token in tokens):
        return False
    shouting = len(telling) > 3 and all(word.isupper() for word in telling)
    return shouting or (len(telling) > 1 and capital >= 0.8 * len(telling) and last not in ".!?")


def _mention(text: str, start: int, end: int, words: Sequence[str]) -> Mention | None:
    name = re.sub(r"\s+", " ", text[start:end])
    key = entity_key(name)
    if not key or len(name) > MAX_NAME_CHARS:
        return None
    kind: EntityKind = "name"
    if len(words) == 1 and _ACRONYM.fullmatch(words[0]) and len(words[0]) > 1:
        kind = "acronym"
    elif any(word.lower().rstrip(".") in _ORGANISATION for word in words) and len(words) > 1:
        kind = "organisation"
    return Mention(key, name, kind, start, end)


def _lower_words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"(?<![^\W_])[a-zà-öø-ÿ][^\W\d_]+", text))


def _stands_alone(text: str, found: _Found, lower: frozenset[str]) -> bool:
    """Whether a sentence's or heading's first word is a name: nowhere in small letters, and it stands like one."""
    words = found.mention.name.split()
    if any(word.lower() in lower for word in words if word[0].isupper()):
        return False
    return _AFTER_NAME.match(text, found.mention.char_end) is not None


def _expansions(text: str, start: int, end: int, mentions: Sequence[Mention]) -> Iterator[tuple[str, Mention]]:
    """Acronym → the mention of what it stands for, where the sentence itself says so in brackets."""
    for match in _IN_BRACKETS.finditer(text, start, end):
        inside = match.group(1).strip()
        if _ACRONYM.fullmatch(inside) and len(inside) > 1:
            letters = re.sub(r"[^A-Z]", "", inside)
            words = _TOKEN.finditer(text, start, match.start())
            tokens = [_Token(word.group(), word.start(), word.end()) for word in words]
            expansion = _spelt_out(text, letters, tokens)
            if expansion is not None:
                known = next((each for each in mentions if each.char_start == expansion.char_start), expansion)
                kind = known.kind if known.char_end == expansion.char_end else expansion.kind
                yield entity_key(inside), replace(expansion, kind=kind, acronym=inside)
        else:  # "WHO (World Health Organization)"
            before = next((each for each in mentions if each.char_end == match.start()), None)
            within = next((each for each in mentions if match.start() < each.char_start < match.end()), None)
            if before is not None and within is not None and before.kind == "acronym":
                letters = re.sub(r"[^A-Z]", "", before.name)
                if letters == "".join(word[0] for word in within.name.split() if word[0].isupper()):
                    yield before.key, replace(within, acronym=before.name)


def _spelt_out(text: str, letters: str, tokens: Sequence[_Token]) -> Mention | None:
    """The words right before, whose initials are the acronym's letters; small words may stand between."""
    left = len(letters) - 1
    for place in range(len(tokens) - 1, max(-1, len(tokens) - 1 - 2 * len(letters) - 2), -1):
        word = tokens[place].text
        if word[0].upper() == letters[left]:
            left -= 1
            if left < 0:
                start, end = tokens[place].start, tokens[-1].end
                if end - start > MAX_NAME_CHARS or "\n\n" in text[start:end]:
                    return None
                name = re.sub(r"\s+", " ", text[start:end])
                return Mention(entity_key(name), name, "name" if word[0].isupper() else "concept", start, end)
        elif word.lower() not in _SMALL_WORDS:
            return None
    return None


def _resolved(mention: Mention, expansions: dict[str, Mention]) -> Mention:
    """The mention as one of what its acronym stands for."""
    meant = expansions.get(mention.key)
    if meant is None:
        same = next((each for each in expansions.values() if each.key == mention.key), None)
        return replace(mention, acronym=same.acronym) if same else mention
    return replace(mention, key=meant.key, name=meant.name, kind=meant.kind, acronym=meant.acronym)


def _without_overlaps(mentions: Sequence[Mention]) -> list[Mention]:
    """The longest first where two overlap; by position."""
    kept: list[Mention] = []
    for mention in sorted(set(mentions), key=lambda each: (each.char_start, -each.char_end, each.key)):
        if not kept or mention.char_start >= kept[-1].char_end:
            kept.append(mention)
        elif mention.char_end - mention.char_start > kept[-1].char_end - kept[-1].char_start:
            kept[-1] = mention
    return kept
