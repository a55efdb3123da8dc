"""The items of a list that stand in several sentences, of one passage or of many, each where it is said.

A sentence counts if it bears on the question (`listing`): it holds the relation that is asked about, it or its title
names whoever is asked about, nobody else is its subject, and nothing in the item's clause denies it or puts it off.
What in such a sentence is an item is asked of the reader, shown that sentence alone: which words answer it does well,
whether they are the answer is what the words of sentence and question decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.generation.styles.candidates import Candidate, candidates_of
from app.generation.styles.item import Item, once
from app.generation.styles.item_bounds import clause_of, clauses, items_around
from app.generation.styles.listing import Listing
from app.generation.styles.topic import held_of
from app.generation.table_cells import table_rows
from app.index.analysis import STOP_WORDS, analyze, analyze_spans
from app.index.scripts import HAN
from app.types import Passage, PassageSpan

MAX_SENTENCES = 8  # read one by one: each costs its share of an answer
_HAN = re.compile(f"[{HAN}]")
_UNREAL = re.compile(
    r"\b(?:not|no|never|none|neither|nor|without|except|excluding|cannot|will|would|might|if|unless|planned|plan(?:s|ning)?\s+(?:to|for|on)|wants?|hopes?|intend\w*"
    r"|propos\w+|consider\w*|expected|rumou?r\w*|former|formerly|previously|used\s+to|longer|clos(?:e|es|ed|ing)|shut|dissolved"
    r"|resign\w*|retire\w*|abandon\w*|withdrew|withdrawn|cancel\w*|ceased?|stopped|dropped|discontinued|removed|ended|left|failed|refused|denied|instead)\b|n['’]t\b"
    r"|(?:没有?|沒有?|不(?![仅僅但过過同断斷少久管论論])|未|无(?![锡錫论論])|計劃|计划|拟|打算|将(?!军)|將|关闭|關閉|曾|原(?=[^料因创])|辞去|离开|停止|除)",
    re.IGNORECASE,
)
_OPENING = re.compile(r"^[\"'“(]*(?P<word>[\w’'-]+)")
_AFTER_TIME = re.compile(
    r"^(?:(?:in|since|on|from|by|until|during|last|this|at)\s[^,]{1,40},\s*|[^，。]{1,12}，\s*)", re.IGNORECASE
)
_OWN_SUBJECT_HAN = re.compile(
    r"^(?:请|公司|该|該|其|它|他|她|本|我们|學校|学校|集团|企业|全校|全市|目前|现|現|还|還|也|在|并|同时|此外|另外|今年|去年|如今)"
)


Ask = Callable[[PassageSpan], PassageSpan | None]
"""A sentence → the words of it that answer the question, by the reader; None where it gives none."""


def gather(listing: Listing, passages: Sequence[Passage], ask: Ask) -> tuple[Item, ...]:
    """Return the items that the passages name, each once, in the order of passages and text; empty where none stands.

    Args:
        listing: what the question wants.
        passages: of the prompt, best first.
        ask: reads one sentence.
    """
    said = candidates_of(passages)
    found: list[Item] = []
    asked = 0
    for each in said:
        if asked == MAX_SENTENCES:
            break
        before = said[each.previous] if each.leaning and each.previous is not None else None
        if not bears(listing, each, before):
            continue
        asked += 1
        text = passages[each.span.passage].text
        answer = ask(_told(listing, text, each.span))
        if answer is None:
            continue
        items = [item for item in items_around(text, each.span, answer, listing) if stands(listing, text, each, item)]
        partly = held_of(listing.relation, each.terms) != listing.relation
        if len(items) == 1 and before is None and partly and not _HAN.search(each.text):
            continue  # a sentence that leaves a part of the question to its title has to enumerate, at least
        found += [Item(PassageSpan(each.span.passage, a, b), (each.span,)) for a, b in items]
    return once(found, passages)


def with_readers(
    listing: Listing, passages: Sequence[Passage], items: Sequence[Item], spans: Sequence[PassageSpan]
) -> tuple[Item, ...]:
    """Return the items with those of an enumeration that the reader is sure of, if its sentence names whoever is asked
    about, though in other words than the question's; in the order of the passages."""
    said = candidates_of([passages[spans[0].passage]]) if spans and listing.names else []
    sentence = next((each for each in said if _holds(each.span, spans[0])), None)
    if sentence is None or held_of(listing.names, sentence.terms | sentence.above) != listing.names:
        return tuple(items)
    cited = replace(sentence.span, passage=spans[0].passage)
    text = passages[cited.passage].text
    own = [Item(span, (cited,)) for span in spans if stands(listing, text, sentence, (span.char_start, span.char_end))]
    together = sorted([*items, *own], key=lambda item: (item.span.passage, item.span.char_start))
    return once(together, passages)


def _told(listing: Listing, text: str, sentence: PassageSpan) -> PassageSpan:
    """The clauses in a row that hold something of the question and deny nothing of it; the sentence where none does."""
    best, run = 0, sentence
    start = end = None
    for a, b in [*clauses(text, sentence), (sentence.char_end, sentence.char_end)]:
        if a < b and not denied(listing.question, text[a:b]):
            start, end = (a if start is None else start), b
            continue
        if start is not None and end is not None:
            held = len(held_of(listing.relation, frozenset(analyze(text[start:end]))))
            if held > best:
                best, run = held, PassageSpan(sentence.passage, start, end)
        start = end = None
    return run


def bears(listing: Listing, each: Candidate, before: Candidate | None) -> bool:
    """Return whether the sentence, `before` it the one that it points back to, speaks of what is asked about."""
    if not each.states or (each.leaning and before is None) or next(table_rows(each.text), None) is not None:
        return False
    own = held_of(listing.relation, each.terms)
    said = own | (held_of(listing.relation, before.terms) if before is not None else frozenset())
    missing = listing.relation - said
    if missing and (listing.names or not own - each.above or not _own_subject(listing, each)):
        return False  # without a name the title may say whose club it is
    named = each.terms | each.above | (before.terms if before is not None else frozenset())
    return bool(own) and held_of(listing.names, named) == listing.names and held_of(missing, each.above) == missing


def stands(listing: Listing, text: str, each: Candidate, item: tuple[int, int]) -> bool:
    """Return whether the sentence says the item of whom is asked about, and says it plainly."""
    start, end = clause_of(text, each.span, item)
    clause = text[start:end]
    if denied(listing.question, clause):
        return False
    if _HAN.search(clause) or not listing.names:
        return True
    if not held_of(listing.names, frozenset(analyze(clause))) and _foreign(listing, text, start, item):
        return False
    return _on_its_side(listing, each, item)


def of_kind(listing: Listing, passages: Sequence[Passage], items: Sequence[Item]) -> bool:
    """Return whether the words tell that the items are of the kind asked for: "databases" among "Linux and Windows" do
    not. Any name may be that of a place or a person."""
    if not listing.particular:
        return True
    for item in items:
        for span in item.said:
            chunk = passages[span.passage].hit.chunk
            text = passages[span.passage].text[span.char_start : span.char_end]
            if held_of(listing.kind, frozenset(analyze(" ".join([chunk.title, *chunk.heading_path, text])))):
                return True
    return False


def possible(listing: Listing, passages: Sequence[Passage]) -> bool:
    """Return whether a reader's list may be right although no sentence bears on the question: not where the passages
    say nothing at all of a thing that is asked about."""
    said = "\n".join(" ".join([p.hit.chunk.title, *p.hit.chunk.heading_path, p.text]) for p in passages)
    absent = listing.anchors - held_of(listing.anchors, frozenset(analyze(said)))
    return all(_HAN.search(anchor) and any(character in said for character in anchor) for anchor in absent)


def _holds(sentence: PassageSpan, span: PassageSpan) -> bool:
    return sentence.char_start <= span.char_start < sentence.char_end


def denied(question: str, clause: str) -> bool:
    """Return whether the clause denies, ends or only plans what the question asks about as it is."""
    return _UNREAL.search(clause) is not None and _UNREAL.search(question) is None


def _own_subject(listing: Listing, each: Candidate) -> bool:
    """Whether a sentence without the subject's name may still speak of the one that its title names."""
    plain = each.text.strip()
    for part in (plain, _AFTER_TIME.sub("", plain)):
        if _HAN.search(part) and _OWN_SUBJECT_HAN.match(part):
            return True
        if held_of(analyze(part[:40])[: 3 if _HAN.search(part) else 1], listing.terms):
            return True
        if not _HAN.search(part) and not part[:1].isupper():
            return True
    return False


def _foreign(listing: Listing, text: str, start: int, item: tuple[int, int]) -> bool:
    """Whether a clause without the asked name begins with another name, its subject."""
    clause = text[start : item[1]].lstrip(" ,;")
    clause = re.sub(r"^(?:and|but|while|whereas|although|though)\s+", "", _AFTER_TIME.sub("", clause), flags=re.I)
    first = _OPENING.match(clause)
    if first is None or not first["word"][:1].isupper():
        return False
    terms = frozenset(analyze(first["word"])) - STOP_WORDS
    own = terms & frozenset(analyze(text[item[0] : item[1]]))
    return bool(terms) and not own and not held_of(terms, listing.terms) and first["word"].lower() not in STOP_WORDS


def _on_its_side(listing: Listing, each: Candidate, item: tuple[int, int]) -> bool:
    """Whether the item stands where the sentence's doer or its object is asked for; "by" turns them round."""
    if listing.side is None:
        return True
    names = [start for term, start, _ in analyze_spans(each.text) if term in listing.names]
    if not names:
        return True
    offset = item[0] - each.span.char_start
    before_item, before_name = each.text[:offset].rstrip().lower(), each.text[: names[0]].rstrip().lower()
    item_by, name_by = before_item.endswith(" by"), before_name.endswith(" by")
    if item_by or name_by:
        return item_by if listing.side == "before" else name_by
    return (offset < names[0]) == (listing.side == "before")
