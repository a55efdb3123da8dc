"""Text, Markdown, CSV, JSON, XML, RTF: structure found, text kept."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UnreadableDocument
from ingestion.loaders import LoadLimits
from ingestion.loaders.delimited import delimiter_of
from ingestion.loaders.json_text import leaves
from ingestion.loaders.markdown import markdown_blocks
from ingestion.loaders.rows import infer_header, is_numeric, render_row
from ingestion.loaders.text import text_blocks
from tests.unit.ingestion.loaders.made import blocks_of, read


def test_text_is_kept_as_it_is(tmp_path: Path) -> None:
    document = read(b"CHAPTER I\r\n\r\nIt began.\r\nThen  it\tended.\r\n", tmp_path, "My story.txt")
    assert document.text == "CHAPTER I\n\nIt began.\nThen  it\tended.\n"
    assert blocks_of(document) == [("heading", "CHAPTER I"), ("paragraph", "It began.\nThen  it\tended.")]
    assert document.title == "CHAPTER I"
    assert document.metadata == {"encoding": "utf-8", "language": "en"}


def test_the_title_falls_back_to_the_name(tmp_path: Path) -> None:
    assert read(b"nothing but prose.", tmp_path, "C:\\docs\\field notes.txt").title == "field notes"
    assert read(b"nothing but prose.", tmp_path).title is None


@pytest.mark.parametrize(
    ("paragraph", "level"),
    [
        ("第一章 总则", 2),
        ("第三节", 3),
        ("第一章规定的内容应当公布。", 0),
        ("2.1 Scope of Work", 2),
        ("3. Definitions", 1),
        ("3. This is a numbered sentence.", 0),
        ("Introduction\n============", 1),
        ("Appendix B", 2),
        ("GENERAL TERMS", 2),
        ("A plain line of prose", 0),
        ("OK", 0),
    ],
)
def test_headings_of_plain_text(paragraph: str, level: int) -> None:
    blocks = text_blocks(f"Before.\n\n{paragraph}\n\nAfter.")
    assert [(block.kind == "heading", block.level) for block in blocks][1] == (bool(level), level)


def test_chinese_parts_inside_a_paragraph_and_list_items() -> None:
    text = "第一章 总则\n第一条 内容。\n一、甲\n二、乙\n（三）丙"
    assert [(block.kind, text[block.char_start : block.char_end]) for block in text_blocks(text)] == [
        ("heading", "第一章 总则"),
        ("paragraph", "第一条 内容。"),
        ("list_item", "一、甲"),
        ("list_item", "二、乙"),
        ("list_item", "（三）丙"),
    ]


MARKDOWN = """---
title: "The Guide"
author: Jo
tags: [a, b]
---

Setext
======

Para one
goes on.

- item one
  more of it
- item two

  its second paragraph

| A | B |
|---|---|
| 1 | 2 |
| 3 | 4 |

```python
# not a heading
```

## Deep ##
1. first
> quoted
"""


def test_markdown_blocks_and_front_matter(tmp_path: Path) -> None:
    document = read(MARKDOWN.encode(), tmp_path, "x.md")
    assert document.text == MARKDOWN
    assert document.title == "The Guide"
    assert document.metadata["author"] == "Jo"
    assert blocks_of(document)[1:] == [
        ("heading", "Setext\n======"),
        ("paragraph", "Para one\ngoes on."),
        ("list_item", "- item one\n  more of it"),
        ("list_item", "- item two\n\n  its second paragraph"),
        ("table_row", "| A | B |\n|---|---|"),
        ("table_row", "| 1 | 2 |"),
        ("table_row", "| 3 | 4 |"),
        ("code", "```python\n# not a heading\n```"),
        ("heading", "## Deep ##"),
        ("list_item", "1. first\n> quoted"),
    ]
    assert [block.level for block in document.blocks if block.kind == "heading"] == [1, 2]


@given(st.lists(st.sampled_from(["# a", "- b", "|c|d|", "|-|-|", "```", "  e", "", "===", "f g", "> h"]), max_size=25))
def test_markdown_and_text_blocks_hold_every_visible_character(lines: list[str]) -> None:
    text = "\n".join(lines)
    for blocks in (markdown_blocks(text), text_blocks(text)):
        seen = "".join(text[block.char_start : block.char_end] for block in blocks)
        assert "".join(seen.split()) == "".join(text.split())
        assert all(a.char_end <= b.char_start for a, b in pairwise(blocks))


def test_csv_rows_name_their_columns(tmp_path: Path) -> None:
    data = 'Name;City;Amount\n"Ann; B.";Köln;1,5\nBob;;2\n\n'.encode()
    document = read(data, tmp_path, "sales.csv")
    assert document.text == "Name: Ann; B.; City: Köln; Amount: 1,5\nName: Bob; Amount: 2"
    assert document.metadata["rows"] == 2
    assert {kind for kind, _ in blocks_of(document)} == {"table_row"}


def test_csv_without_a_header(tmp_path: Path) -> None:
    assert read(b"1,2,3\n4,5,6\n", tmp_path, "x.csv").text == "1 | 2 | 3\n4 | 5 | 6"
    assert read(b"only,a,header\n", tmp_path, "x.csv").text == "only | a | header"


def test_csv_in_gb18030(tmp_path: Path) -> None:
    data = "姓名,城市,说明\n王芳,上海,这是一个测试的说明\n李明,北京,他的工作是管理\n".encode("gb18030")
    assert "姓名: 王芳; 城市: 上海" in read(data, tmp_path, "x.csv").text


@pytest.mark.parametrize("delimiter", list(",;\t|"))
def test_delimiters(delimiter: str) -> None:
    assert delimiter_of("\n".join(delimiter.join(row) for row in (["a", "b c", "d"], ["1", "2", "3"]))) == delimiter


def test_headers_are_inferred_with_care() -> None:
    assert infer_header([["Part", "Weight"], ["Valve", "12 kg"]])
    assert not infer_header([["Name", "Ann"], ["City", "Rome"]])
    assert not infer_header([["2021", "2022"], ["1", "2"]])
    assert not infer_header([["A", "A", "B"], ["1", "2", "3"]])
    assert is_numeric("$ (1,234.5)")
    assert is_numeric("12 kg")
    assert not is_numeric("Item 12")
    assert render_row(["x", "", "y"], ["A", "B"]) == "A: x; y"


def test_json_keeps_key_paths_and_spellings(tmp_path: Path) -> None:
    spec = b'{"kw": 1.10, "tags": ["a", "b"], "ok": true, "none": null}'
    data = b'{"title": "Pump", "spec": ' + spec + b', "n": 12345678901234567890}'
    document = read(data, tmp_path, "x.json")
    assert document.text == ("title: Pump\n\nspec.kw: 1.10\nspec.tags: a, b\nspec.ok: true\n\nn: 12345678901234567890")
    assert document.title == "Pump"


def test_json_rows_and_lines(tmp_path: Path) -> None:
    expected = "id: 1; who.name: Ann\nid: 2; who.name: Bob"
    rows = ['{"id": 1, "who": {"name": "Ann"}}', '{"id": 2, "who": {"name": "Bob"}}']
    assert read(f"[{','.join(rows)}]".encode(), tmp_path).text == expected
    assert read("\n".join(rows).encode(), tmp_path).text == expected
    broken = read("\n".join([*rows, "oops {"]).encode(), tmp_path, "x.jsonl")
    assert broken.text.endswith("oops {")
    assert "1 lines" in broken.warnings[0]


def test_json_with_an_error_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="line 3") as caught:
        read(b'{\n"a": 1,\n"b" 2}', tmp_path, "x.json")
    assert caught.value.code == "corrupt"


def test_json_that_nests_too_deep(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDocument, match="deep") as caught:
        read(b"[" * 100_000 + b"]" * 100_000, tmp_path, "x.json")
    assert caught.value.code == "corrupt"


def test_leaves_do_not_recurse() -> None:
    nested: object = "end"
    for _ in range(2_000):
        nested = {"k": [nested, {"x": None}]}
    assert sum(1 for _ in leaves(nested)) == 1


def test_a_notebook_becomes_its_cells(tmp_path: Path) -> None:
    data = b"""{"nbformat": 4, "cells": [{"cell_type": "markdown", "source": ["# Study\\n", "Some text."]},
      {"cell_type": "code", "source": "x = 1", "outputs": [{"text": ["42\\n"]}]}]}"""
    assert blocks_of(read(data, tmp_path, "a.ipynb")) == [
        ("heading", "Study"),
        ("paragraph", "Some text."),
        ("code", "x = 1"),
        ("code", "42"),
    ]


def test_xml_text_titles_and_entities(tmp_path: Path) -> None:
    data = b"""<?xml version="1.0" encoding="utf-8"?><!DOCTYPE a [<!ENTITY own "expanded">]><a><sec><title>First</title>
      <p>Some <b>bold</b> words &ndash; &own;.</p></sec><note>last</note></a>"""
    document = read(data, tmp_path, "x.xml")
    assert document.text == "First\n\nSome bold words – &own;.\n\nlast"
    with pytest.raises(UnreadableDocument) as caught:
        read(b"<?xml version='1.0'?><a><b></a>", tmp_path, "x.xml")
    assert caught.value.code == "corrupt"


def test_rtf(tmp_path: Path) -> None:
    data = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\info{\title no}}\f0 Caf\'e9 \b bold\b0\par "
        rb"\u8364?5 \{x\}\par a\cell b\cell\row {\*\generator hidden}end}"
    )
    document = read(data, tmp_path, "x.rtf")
    assert document.text == "Café bold\n\n€5 {x}\n\na | b\n\nend"


@pytest.mark.parametrize("name", ["x.txt", "x.md", "x.csv", "x.html", "x.json"])
def test_text_over_the_limit(tmp_path: Path, name: str) -> None:
    limits = LoadLimits(text_chars=100)
    with pytest.raises(UnreadableDocument, match="text_chars") as caught:
        read(b'{"a": "' + b"word, " * 200 + b'"}', tmp_path, name, limits=limits)
    assert caught.value.code == "too_large"
