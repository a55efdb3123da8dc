"""What questions for lists want, and where items begin and end."""

from __future__ import annotations

import pytest

from app.generation.styles.item_bounds import items_around
from app.generation.styles.listing import listing_of
from app.types import PassageSpan


@pytest.mark.parametrize(
    ("question", "names", "relation", "kind", "side"),
    [
        ("Which cities does Quillon have offices in?", {"quillon"}, {"offic"}, {"citi"}, None),
        ("List the cities where Quillon has offices.", {"quillon"}, {"offic"}, {"citi"}, None),
        ("Name the founders of Halbek.", {"halbek"}, {"founder"}, {"founder"}, None),
        ("Who are the members of the Larchfield board?", {"larchfield"}, {"board", "member"}, {"member"}, None),
        ("Which firms does Torvik supply?", {"torvik"}, {"suppli"}, {"firm"}, "after"),
        ("Which firms supply Torvik?", {"torvik"}, {"suppli"}, {"firm"}, "before"),
        ("Which side effects does Norvalin have?", {"norvalin"}, {"side", "effect"}, {"side", "effect"}, None),
        ("松岭食品生产哪些产品？", set(), {"松岭", "食品", "生产"}, {"产品"}, None),
        ("列举松岭食品生产的产品。", set(), {"松岭", "食品", "生产"}, {"产品"}, None),
    ],
)
def test_a_question_is_taken_apart(
    question: str, names: set[str], relation: set[str], kind: set[str], side: str | None
) -> None:
    listing = listing_of(question)
    assert listing is not None
    assert (set(listing.names), set(listing.relation), set(listing.kind)) == (names, relation, kind)
    assert listing.side == side


@pytest.mark.parametrize("question", ["", "List the cities.", "What are they?", "有哪些？", "Which ones?"])
def test_a_question_that_names_nothing_to_look_for_is_none(question: str) -> None:
    assert listing_of(question) is None


@pytest.mark.parametrize(
    ("question", "sentence", "answer", "items"),
    [
        (
            "Which cities does Acme have employees in?",
            "Acme has 40 employees in Berlin and 12 in Lyon.",
            "Lyon",
            ["Berlin", "Lyon"],
        ),
        (
            "Which cities does Acme have employees in?",
            "Acme has 40 employees in Berlin and 12 in Lyon.",
            "Berlin and 12 in Lyon",
            ["Berlin", "Lyon"],
        ),
        ("Which prizes did Mira Solen win?", "Mira Solen won the Hale Prize in 2009.", "Hale", ["Hale Prize"]),
        (
            "Which languages are taught at the Lake School?",
            "At the Lake School, French and Latin are taught.",
            "French",
            ["French", "Latin"],
        ),
        ("Who are the founders of Halbek?", "Olga Wirth founded Halbek.", "Olga Wirth founded Halbek", ["Olga Wirth"]),
        ("Who are the founders of Halbek?", "Halbek was founded in 1990.", "Halbek", []),
        ("What were the names of the Ferrand mills?", "The house of the Ferrand mills.", "house of the", []),
        ("Which services do branches offer?", "Branches offer credit and safes; only Alder advises.", "credit", None),
        ("春晖小学开设了哪些社团？", "春晖小学开设合唱和书法社团。", "唱和书法", ["合唱", "书法"]),
        ("松岭食品生产哪些产品？", "松岭食品还生产豆奶。", "松岭食品还生产豆奶", ["豆奶"]),
        ("费用包含哪些项目？", "费用每人45元，包含车费和门票。", "每人45元，包含车费和门票", ["车费", "门票"]),
    ],
)
def test_items_are_trimmed_to_their_own_words(
    question: str, sentence: str, answer: str, items: list[str] | None
) -> None:
    listing = listing_of(question)
    assert listing is not None
    start = sentence.index(answer)
    whole, span = PassageSpan(0, 0, len(sentence)), PassageSpan(0, start, start + len(answer))
    found = [sentence[a:b] for a, b in items_around(sentence, whole, span, listing)]
    assert found == (["credit", "safes"] if items is None else items)
