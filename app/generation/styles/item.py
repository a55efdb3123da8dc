"""One item of a list, and the same item said in several places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.index.analysis import STOP_WORDS, analyze
from app.types import Passage, PassageSpan

MAX_ITEMS = 15


@dataclass(frozen=True, slots=True)
class Item:
    """`span` are its words; `said` what is cited for it: the stretch around it, then others with the same words."""

    span: PassageSpan
    said: tuple[PassageSpan, ...]


def once(items: Sequence[Item], passages: Sequence[Passage]) -> tuple[Item, ...]:
    """Return each item once, in its first place, with every stretch that says it in the same words.

    "Sanders" goes into "Piet Sanders", and "the Orbis Medal" into "Orbis Medal".
    """
    kept: dict[frozenset[str], Item] = {}
    for item in items:
        words = _words(passages, item.span)
        key = frozenset(analyze(words)) - STOP_WORDS or frozenset([words])
        if key not in kept:
            kept[key] = item
        elif words == _words(passages, kept[key].span) and item.said[0] not in kept[key].said:
            kept[key] = replace(kept[key], said=(*kept[key].said, *item.said))
    whole = [
        item
        for key, item in kept.items()
        if not (_words(passages, item.span)[:1].isupper() and any(key < other for other in kept))
    ]
    return tuple(whole[:MAX_ITEMS])


def _words(passages: Sequence[Passage], span: PassageSpan) -> str:
    return passages[span.passage].text[span.char_start : span.char_end]
