"""Mentions and relations read from texts by rules: what is one, and exactly where."""

from __future__ import annotations

from itertools import pairwise

import pytest

from app.index.sentences import sentence_spans
from app.types import StoredChunk
from ingestion.entities import find_mentions
from ingestion.outline import find_sections, find_tables
from ingestion.relations import find_relations


def names(text: str) -> list[tuple[str, str]]:
    found = find_mentions(text)
    assert all(text[each.char_start : each.char_end].strip() for each in found)
    return [(text[each.char_start : each.char_end], each.key) for each in found]


def relations(text: str) -> list[tuple[str, str, str]]:
    mentions = find_mentions(text)
    found = []
    for start, end in sentence_spans(text):
        inside = [each for each in mentions if start <= each.char_start < end]
        edges, _ = find_relations(text, (start, end), inside)
        assert all(text[edge.char_start : edge.char_end] == text[start:end] for edge in edges)
        found += [(edge.subject, edge.name, edge.object) for edge in edges]
    return found


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("We met Ada Lovelace in New York City.", ["ada lovelace", "new york city"]),
        ("The Bank of England and the University of the Arts agree.", ["bank of england", "university of the arts"]),
        ("Paris is big. Nobody leaves Paris.", ["paris", "paris"]),
        ("However, Monday was cold. The weather in May was not.", []),
        ("Results were good. We saw results in 1999 and 2,000 more.", []),
        ("Dr. J. R. R. Tolkien wrote it.", ["j. r. r. tolkien"]),
        ("They trust Ann's brother and U.S. law.", ["ann", "u.s"]),
        ("Methods And Further Results\n\nwe used methods and further results.", []),
        ("It was Acme, not Globex (or Initech).", ["acme", "globex", "initech"]),
        ("Chapter XIV says so, as part II did.", []),
        ("张三加入清华大学。", ["张三", "清华大学"]),
        ("鲁迅写了《阿Q正传》。", ["鲁迅", "阿q正传"]),
        ("小米科技有限公司由雷军创办。", ["小米科技有限公司", "雷军"]),
        ("", []),
        ("\n\n  \t", []),
        ("🎉 ｗｅ met Ｚｏë Wang 🎉", ["zoë wang"]),
    ],
)
def test_mentions(text: str, keys: list[str]) -> None:
    assert [key for _, key in names(text)] == keys


def test_an_acronym_is_what_the_text_says_it_stands_for() -> None:
    text = (
        "The World Health Organization (WHO) met. Optical character recognition (OCR) failed. "
        "WHO used OCR. NATO did not."
    )
    assert names(text) == [
        ("World Health Organization", "world health organization"),
        ("WHO", "world health organization"),
        ("Optical character recognition", "optical character recognition"),
        ("OCR", "optical character recognition"),
        ("WHO", "world health organization"),
        ("OCR", "optical character recognition"),
        ("NATO", "nato"),
    ]
    assert {each.acronym for each in find_mentions(text)} == {"WHO", "OCR", ""}
    assert names("Then WHO (World Health Organization) met.")[0] == ("WHO", "world health organization")


def test_the_same_text_gives_the_same_mentions_and_none_overlap() -> None:
    text = "Ada Byron of Acme Corporation (AC) met Karl. 北京大学和清华大学在北京。AC paid Karl Weiss in Paris.\n" * 20
    found = find_mentions(text)
    assert found == find_mentions(text)
    assert all(one.char_end <= other.char_start for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("Paris is the capital of France.", [("paris", "capital of", "france")]),
        ("We saw Paris, the capital of France, last.", [("paris", "capital of", "france")]),
        ("We know that France's capital is Paris.", [("paris", "capital of", "france")]),
        ("In 1990 Acme was founded by Ann Lee, Bob Ray and Cy Fox.",
         [("acme", "founded by", "ann lee"), ("acme", "founded by", "bob ray"), ("acme", "founded by", "cy fox")]),
        ("Then Ann Lee founded Acme in Oslo.", [("acme", "founded by", "ann lee")]),
        ("We know that Acme is based in Oslo.", [("acme", "based in", "oslo")]),
        ("They say that Acme is a small company that sells anvils.", [("acme", "is a", "small company")]),
        ("We know that Oslo is part of Norway.", [("oslo", "part of", "norway")]),
        ("Is Paris the capital of Spain?", []),
        ("They say Paris is not the capital of Spain.", []),
        ("They say Paris was never the capital of Spain.", []),
        ("Ann Lee met Bob Ray. Oslo is cold.", []),
        ("法国的首都是巴黎。", [("巴黎", "首都", "法国")]),
        ("巴黎是法国的首都。", [("巴黎", "首都", "法国")]),
        ("小米科技有限公司由雷军创办。", [("小米科技有限公司", "由…创办", "雷军")]),
        ("清华大学位于北京。", [("清华大学", "位于", "北京")]),
        ("清华大学是一所著名的大学。", [("清华大学", "是一", "大学")]),
    ],
)  # fmt: skip
def test_relations(text: str, edges: list[tuple[str, str, str]]) -> None:
    found = relations(text)
    assert found == [(one, name.replace("是一", "is a"), other) for one, name, other in edges]


def test_a_long_sentence_is_cited_by_the_part_that_says_it() -> None:
    text = "We know that Acme was founded by Ann Lee " + "and so on " * 100 + "in the end."
    mentions = find_mentions(text)
    edges, _ = find_relations(text, (0, len(text)), mentions)
    assert text[edges[0].char_start : edges[0].char_end] == "Acme was founded by Ann Lee"


def chunk(ordinal: int, start: int, end: int, *headings: str) -> StoredChunk:
    return StoredChunk(
        f"1-{ordinal}", 1, ordinal, "d", 1, "default", "T", None, "text/plain", "", start, end, None, headings, {}
    )


def test_sections_are_runs_of_chunks_under_the_same_headings() -> None:
    found = find_sections(
        [chunk(0, 0, 5), chunk(1, 5, 9, "A"), chunk(2, 8, 20, "A"), chunk(3, 20, 30, "A", "B"), chunk(4, 30, 40, "A")]
    )
    told = [(each.title, each.level, each.char_start, each.char_end) for each in found]
    assert told == [("A", 1, 5, 20), ("B", 2, 20, 30), ("A", 1, 30, 40)]
    assert find_sections([]) == []


def test_tables_are_runs_of_rows() -> None:
    text = "Note: this; that\n\nCity: Lyon; People: 5\nCity: Nice; Area: 7; People: 3\n\na | b\nc | d\ne | f\n\nx | y"
    found = find_tables(text, [])
    assert [(each.columns, each.rows, text[each.char_start : each.char_end]) for each in found] == [
        (("City", "People", "Area"), 2, "City: Lyon; People: 5\nCity: Nice; Area: 7; People: 3"),
        ((), 3, "a | b\nc | d\ne | f"),
    ]
