"""Title and language of a loaded document, the same way for every format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.index.analysis import detect_language
from app.types import Block, LoadedDocument

MAX_TITLE_CHARS = 300
_SAMPLE_CHARS = 20_000
_HEADING_CHARS = 2_000
_NOT_A_TITLE = re.compile(
    r"(?:untitled|document\d*|presentation\d*|powerpoint presentation|slide 1|title|blank|none|null|no title|无标题|"
    r"[\d\W_]*|[\w\s().-]+\.(?:docx?|pptx?|xlsx?|pdf|html?|indd|qxd|tex|dvi|ps|rtf|odt|txt|md))",
    re.IGNORECASE,
)
_APPLICATION_PREFIX = re.compile(
    r"^(?:Microsoft (?:Word|PowerPoint|Excel)|OpenOffice|LibreOffice)\s*[-–:]\s*", re.IGNORECASE
)
_MARKS = re.compile(r"^#{1,6}\s+|\s+#+$|\n[=-]+$|[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")
_WORD = re.compile(r"[^\W\d_]{3,}")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def heading_text(raw: str, *, markdown: bool) -> str:
    """A heading as it reads, on one line: Markdown's marks and link targets dropped."""
    raw = raw[:_HEADING_CHARS]
    if markdown:
        raw = _MARKS.sub("", _LINK.sub(r"\1", raw))
    return " ".join(raw.split())


def sensible_title(title: object) -> str | None:
    """`title` on one line, or `None` when it names a file, an application or nothing."""
    if not isinstance(title, str):
        return None
    cleaned = _APPLICATION_PREFIX.sub("", " ".join(title[:_HEADING_CHARS].split()))
    if not cleaned or _NOT_A_TITLE.fullmatch(cleaned):
        return None
    return cleaned[:MAX_TITLE_CHARS]


def finish(document: LoadedDocument, stem: str | None) -> LoadedDocument:
    """`document` with a title (its own, else its first heading, else `stem`) and `metadata["language"]`."""
    name = stem.strip()[:MAX_TITLE_CHARS] if stem else ""
    title = sensible_title(document.title) or _first_heading(document)
    if title and document.media_type == "application/pdf" and _is_weak(title) and _says_something(name, title):
        title = f"{title} — {name}"
    title = title or name
    metadata: Mapping[str, Any] = document.metadata
    if "language" not in metadata:
        metadata = {**metadata, "language": detect_language(document.text[:_SAMPLE_CHARS])}
    return replace(document, title=title or None, metadata=metadata)


def _is_weak(title: str) -> bool:
    """True for a PDF's title of fewer than four words, which is often a letterhead or a form's number."""
    return len(title) < 40 and len(_WORD.findall(title)) < 4 and title.isascii()


def _says_something(name: str, title: str) -> bool:
    return len(_WORD.findall(name)) >= 1 and not _NOT_A_TITLE.fullmatch(name) and name.lower() not in title.lower()


def _first_heading(document: LoadedDocument) -> str | None:
    headings: list[Block] = [block for block in document.blocks[:200] if block.kind == "heading"]
    markdown = document.media_type == "text/markdown"
    for block in sorted(headings, key=lambda block: block.level)[:1]:
        return sensible_title(heading_text(document.text[block.char_start : block.char_end], markdown=markdown))
    return None
