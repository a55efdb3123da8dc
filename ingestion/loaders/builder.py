"""Text with its blocks, built piece by piece: every loader that has no natural source text writes through this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import UnreadableDocument
from app.types import Block, BlockKind, LoadedDocument, PageSpan
from ingestion.loaders.encoding import clean_text
from ingestion.loaders.limits import LoadLimits

_TIGHT: frozenset[BlockKind] = frozenset({"list_item", "table_row"})


class TextBuilder:
    """Appends cleaned blocks; items of one list and rows of one table are a line apart, all else a blank line.

    Args:
        format_name: for messages, e.g. "PDF".
        limits: `text_chars` and `pages` are enforced while the text grows, not after.
    """

    def __init__(self, format_name: str, limits: LoadLimits) -> None:
        self._format = format_name
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._pages: list[tuple[int, int]] = []  # (number, where it starts)
        self._waiting: list[int] = []  # pages whose first text is still to come
        self._gap = True
        self.warnings: list[str] = []

    def __len__(self) -> int:
        return self._length

    @property
    def blocks(self) -> Sequence[Block]:
        return self._blocks

    def add(self, kind: BlockKind, text: str, level: int = 0) -> None:
        """Appends one block; text without a visible character is dropped.

        Raises:
            UnreadableDocument: `too_large` once the text passes `limits.text_chars`.
        """
        cleaned = clean_text(text).strip()
        if not cleaned:
            return
        if self._blocks:
            tight = not self._gap and kind in _TIGHT and self._blocks[-1].kind == kind
            separator = "\n" if tight else "\n\n"
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._start_pages()
        self._parts.append(cleaned)
        self._length += len(cleaned)
        check_chars(self._length, self._format, self._limits)
        self._blocks.append(Block(kind, start, self._length, level if kind == "heading" else 0))
        self._gap = False

    def extend(self, text: str, separator: str) -> None:
        """Appends `text` to the last block: a paragraph that goes on after a page break."""
        cleaned = clean_text(text).strip()
        if not cleaned or not self._blocks:
            self.add("paragraph", cleaned)
            return
        self._parts.append(separator)
        self._length += len(separator)
        self._start_pages()
        self._parts.append(cleaned)
        self._length += len(cleaned)
        check_chars(self._length, self._format, self._limits)
        last = self._blocks[-1]
        self._blocks[-1] = Block(last.kind, last.char_start, self._length, last.level)

    def gap(self) -> None:
        """Ends the current list or table: the next item starts after a blank line."""
        self._gap = True

    def page(self, number: int) -> None:
        """Page `number` (1-based) starts with the next text.

        Raises:
            UnreadableDocument: `too_large` past `limits.pages`.
        """
        check_pages(number, self._format, self._limits)
        self._waiting.append(number)
        self._gap = True

    def build(
        self, media_type: str, *, title: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> LoadedDocument:
        """The document so far; pages tile the text, and a page without text has an empty span."""
        starts = [*self._pages, *((number, self._length) for number in self._waiting)]
        ends = [*(start for _, start in starts[1:]), self._length][: len(starts)]
        pages = [PageSpan(number, start, end) for (number, start), end in zip(starts, ends, strict=True)]
        return LoadedDocument(
            text="".join(self._parts),
            media_type=media_type,
            title=title,
            blocks=tuple(self._blocks),
            pages=tuple(pages),
            metadata={key: value for key, value in (metadata or {}).items() if value not in (None, "", [])},
            warnings=tuple(self.warnings),
        )

    def _start_pages(self) -> None:
        self._pages.extend((number, self._length) for number in self._waiting)
        self._waiting.clear()


def check_chars(chars: int, format_name: str, limits: LoadLimits) -> None:
    """Raises `UnreadableDocument` (`too_large`) when `chars` is over `limits.text_chars`."""
    if chars > limits.text_chars:
        raise UnreadableDocument(
            f"the {format_name} file holds more than {limits.text_chars:,} characters of text (limits.text_chars); "
            "split it or raise the limit",
            code="too_large",
        )


def check_pages(pages: int, format_name: str, limits: LoadLimits) -> None:
    """Raises `UnreadableDocument` (`too_large`) when `pages` is over `limits.pages`."""
    if pages > limits.pages:
        raise UnreadableDocument(
            f"the {format_name} file has more than {limits.pages:,} pages (limits.pages); split it or raise the limit",
            code="too_large",
        )
