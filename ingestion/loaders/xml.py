"""XML of no known kind: the text of its elements, one paragraph each, and titles as headings."""

from __future__ import annotations

import html.entities
import re
from pathlib import Path
from typing import Any

from app.types import LoadedDocument
from ingestion.loaders.builder import TextBuilder
from ingestion.loaders.html_blocks import HtmlBlocks
from ingestion.loaders.limits import LoadLimits
from ingestion.loaders.safe_xml import local_name, parse_xml
from ingestion.loaders.text import read_text

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_HEADINGS = frozenset({"title", "article-title", "heading", "head", "subtitle", "invention-title"})
_MARKED_UP = re.compile(r"</?(?:p|b|i|em|strong|a|div|br|ul|li|h[1-6]|table|td)\b", re.I)
_SPACE = re.compile(r"\s+")
_ENTITY = re.compile(r"&(\w+);")
_PREDEFINED = frozenset({"amp", "lt", "gt", "quot", "apos"})
_MAX_DEPTH = 150


def load_xml(path: Path, media_type: str, limits: LoadLimits) -> LoadedDocument:
    """Text of every element in document order; attributes are left out; markup inside a text (RSS) is read as HTML."""
    text, metadata, warnings = read_text(path, "XML", limits)
    plain = _ENTITY.sub(_character, _DECLARATION.sub("", text))
    root = parse_xml(plain.encode("utf-8"), "the XML file")
    builder = TextBuilder("XML", limits)
    builder.warnings.extend(warnings)
    _Walker(builder).visit(root, 0)
    return builder.build(media_type, metadata=metadata)


def _character(match: re.Match[str]) -> str:
    """The character that HTML gives an entity; one that the file declares itself stays a name and is never expanded."""
    name = match[1]
    if name in _PREDEFINED:
        return match[0]
    return html.entities.html5.get(f"{name};") or f"&amp;{name};"


class _Walker:
    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._sections = 0

    def visit(self, element: Any, depth: int) -> None:
        tag = local_name(element)
        if tag == "table":
            HtmlBlocks(self._builder).add(element)
            return
        own = (element.text or "").strip()
        mixed = bool(own) or any((child.tail or "").strip() for child in element)
        if mixed or len(element) == 0 or depth >= _MAX_DEPTH:
            self._leaf(tag, "".join(element.itertext()))
            return
        is_section = any(local_name(child) in _HEADINGS for child in element)
        self._sections += is_section
        for child in element:
            self.visit(child, depth + 1)
        self._sections -= is_section

    def _leaf(self, tag: str, text: str) -> None:
        if tag in _HEADINGS and len(text) < 300:
            self._builder.add("heading", _SPACE.sub(" ", text), min(6, max(1, self._sections)))
        elif _MARKED_UP.search(text):
            from ingestion.loaders.html import parse_html

            tree = parse_html(text)
            if tree is not None:
                HtmlBlocks(self._builder).add(tree)
        else:
            self._builder.add("paragraph", _SPACE.sub(" ", text))
