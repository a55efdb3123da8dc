"""Document → chunks on spans of its text: structure first, then sentences, under a token budget, with overlap.

Invariants, tested as properties: `text[chunk.char_start:chunk.char_end] == chunk.text`; every visible character of the
text is in some chunk; no chunk is only white space; chunk starts and ends never go backwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.errors import InvalidInput
from app.types import Block, Chunk, LoadedDocument, PageSpan
from ingestion.loaders.titles import heading_text
from ingestion.splitting import Atom, CountTokens, cut_span, sentence_bounds

_MAX_HEADING_CHARS = 250  # a longer "heading" is a paragraph that was set in bold
_PATH_HEADING_CHARS = 160
_SMALL_SHARE = 8  # a last piece under max_tokens / this joins the one before it
_FILL_SHARE = 3  # a chunk under max_tokens / this takes sentences of a block that does not fit whole


@dataclass(frozen=True, slots=True)
class _Section:
    path: tuple[str, ...]
    blocks: tuple[Block, ...]  # the heading lines that lead to it, then its own blocks


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk in the making: `atoms[overlap:]` are its own, the ones before repeat the end of the draft before it."""

    path: tuple[str, ...]
    atoms: tuple[Atom, ...]
    overlap: int = 0

    @property
    def own(self) -> tuple[Atom, ...]:
        return self.atoms[self.overlap :]


def chunk(document: LoadedDocument, *, max_tokens: int, overlap_tokens: int, count_tokens: CountTokens) -> list[Chunk]:
    """Chunks in reading order.

    A heading starts a chunk, belongs to the text that follows it and is in the `heading_path` of everything under it.
    Blocks are packed whole while they fit; an over-long one is cut at sentences, an over-long sentence at words. Chunks
    of one section overlap by whole sentences of prose. A small last piece joins the one before or shares its sentences.

    Args:
        document: text with its blocks; text between the blocks is treated as paragraphs.
        max_tokens: budget of a chunk's text, headings in the text included; at least 1. Only a single character that
            is more than this by itself goes over it.
        overlap_tokens: at most this much of a chunk repeats the end of the one before; less than `max_tokens`.
        count_tokens: tokens of each text, without special tokens. Called a few times with long lists.

    Raises:
        InvalidInput: a budget out of range.
    """
    if max_tokens < 1:
        raise InvalidInput(f"max_tokens is {max_tokens}; it must be at least 1")
    if not 0 <= overlap_tokens < max_tokens:
        raise InvalidInput(
            f"overlap_tokens is {overlap_tokens}; it must be at least 0 and below max_tokens, {max_tokens}; lower it"
        )
    text = document.text
    sections = list(_sections(document))
    drafts: list[_Draft] = []
    for section in _atoms(text, sections, count_tokens):
        drafts.extend(_pack(text, section, max_tokens, overlap_tokens, count_tokens))
    return _finish(document, drafts, max_tokens, count_tokens)


# --- sections ------------------------------------------------------------------------------------------------------


def _sections(document: LoadedDocument) -> Iterator[_Section]:
    """Runs of blocks under one heading path; headings without text of their own go to the section that follows."""
    text, markdown = document.text, document.media_type == "text/markdown"
    stack: list[tuple[int, str]] = []
    blocks: list[Block] = []
    has_body = False
    for block in _covering(text, document.blocks):
        if block.kind == "heading":
            if has_body:
                yield _Section(tuple(title for _, title in stack), tuple(blocks))
                blocks, has_body = [], False
            while stack and stack[-1][0] >= block.level:
                stack.pop()
            title = heading_text(text[block.char_start : block.char_end], markdown=markdown)
            if title:
                stack.append((block.level, title[:_PATH_HEADING_CHARS]))
        else:
            has_body = True
        blocks.append(block)
    if blocks:
        yield _Section(tuple(title for _, title in stack), tuple(blocks))


def _covering(text: str, blocks: Sequence[Block]) -> Iterator[Block]:
    """`blocks` in order, trimmed, without overlaps or empty ones, and a paragraph wherever text lies between two."""
    at = 0
    for block in sorted(blocks, key=lambda block: (block.char_start, block.char_end)):
        start, end = max(at, block.char_start), min(len(text), block.char_end)
        if start >= end:
            continue
        yield from _trimmed("paragraph", text, at, start)
        long_heading = block.kind == "heading" and end - start > _MAX_HEADING_CHARS
        yield from _trimmed("paragraph" if long_heading else block.kind, text, start, end, block.level)
        at = end
    yield from _trimmed("paragraph", text, at, len(text))


def _trimmed(kind: str, text: str, start: int, end: int, level: int = 0) -> Iterator[Block]:
    piece = text[start:end]
    bare = piece.strip()
    if bare:
        left = start + len(piece) - len(piece.lstrip())
        yield Block(kind, left, left + len(bare), level if kind == "heading" else 0)  # type: ignore[arg-type]


# --- atoms ---------------------------------------------------------------------------------------------------------


def _atoms(
    text: str, sections: Sequence[_Section], count_tokens: CountTokens
) -> Iterator[tuple[tuple[str, ...], list[Atom]]]:
    """Each section's path and sentences with their token counts: one call of `count_tokens` for the whole document."""
    spans: list[tuple[int, int, int, Block]] = []  # start, end, section, block
    for number, section in enumerate(sections):
        for block in section.blocks:
            bounds = sentence_bounds(text, block.char_start, block.char_end, block.kind)
            spans.extend((start, end, number, block) for start, end in bounds)
    counts = count_tokens([text[start:end] for start, end, _, _ in spans])
    grouped: list[list[Atom]] = [[] for _ in sections]
    for (start, end, number, block), tokens in zip(spans, counts, strict=True):
        grouped[number].append(Atom(start, end, tokens, block.char_start, block.kind))
    for section, atoms in zip(sections, grouped, strict=True):
        if atoms:
            yield section.path, atoms


# --- packing -------------------------------------------------------------------------------------------------------


class _Packer:
    """Fills one chunk after the other; each new one starts with the last sentences of the one before."""

    def __init__(self, path: tuple[str, ...], max_tokens: int, overlap_tokens: int) -> None:
        self._path = path
        self._max = max_tokens
        self._overlap_tokens = overlap_tokens
        self._repeated: list[Atom] = []
        self._own: list[Atom] = []
        self.drafts: list[_Draft] = []

    @property
    def own_tokens(self) -> int:
        return _tokens(self._own)

    @property
    def only_headings(self) -> bool:
        """True for a chunk that holds heading lines and nothing else."""
        return bool(self._own) and all(atom.kind == "heading" for atom in self._own)

    def fits(self, tokens: int) -> bool:
        """Whether `tokens` more fit; the repeated sentences give way to a chunk's first block only."""
        return self.own_tokens + tokens + (_tokens(self._repeated) if self._own else 0) <= self._max

    def add(self, atoms: Sequence[Atom]) -> None:
        """Appends `atoms`, which fit; repeated sentences that no longer fit go, from the front."""
        self._own.extend(atoms)
        own = self.own_tokens
        while self._repeated and own + _tokens(self._repeated) > self._max:
            self._repeated.pop(0)

    def close(self) -> None:
        """Ends the chunk, if it holds anything of its own."""
        if self._own:
            self.drafts.append(_Draft(self._path, (*self._repeated, *self._own), len(self._repeated)))
            self._repeated = _last_sentences(self.drafts[-1], self._overlap_tokens)
            self._own = []


def _pack(
    text: str,
    section: tuple[tuple[str, ...], list[Atom]],
    max_tokens: int,
    overlap_tokens: int,
    count_tokens: CountTokens,
) -> list[_Draft]:
    """Greedy: whole blocks while they fit; sentences of one that does not, where the chunk would else stay small."""
    path, atoms = section
    packer = _Packer(path, max_tokens, overlap_tokens)
    for block in _by_block(atoms):
        whole = _tokens(block)
        if packer.fits(whole):
            packer.add(block)
        elif whole <= max_tokens and not packer.only_headings and packer.own_tokens >= max_tokens // _FILL_SHARE:
            packer.close()
            packer.add(block)
        else:
            for atom in block:
                _add_sentence(text, packer, atom, max_tokens, count_tokens)
    packer.close()
    return _balanced(packer.drafts, max_tokens, overlap_tokens)


def _add_sentence(text: str, packer: _Packer, atom: Atom, max_tokens: int, count_tokens: CountTokens) -> None:
    """Adds a sentence, to a new chunk where it does not fit; cut where no chunk could hold it and its heading."""
    if not packer.fits(atom.tokens) and not packer.only_headings:
        packer.close()
    if packer.fits(atom.tokens):
        packer.add([atom])
        return
    if packer.own_tokens > max_tokens // 2:  # headings alone fill the chunk
        packer.close()
    for piece in _cut(text, atom, (max_tokens - packer.own_tokens, max_tokens), count_tokens):
        if not packer.fits(piece.tokens):
            packer.close()
        packer.add([piece])


def _by_block(atoms: Sequence[Atom]) -> Iterator[list[Atom]]:
    group: list[Atom] = []
    for atom in atoms:
        if group and group[-1].block != atom.block:
            yield group
            group = []
        group.append(atom)
    if group:
        yield group


def _cut(text: str, atom: Atom, budgets: tuple[int, int], count_tokens: CountTokens) -> list[Atom]:
    pieces = cut_span(text, atom.start, atom.end, budgets, count_tokens)
    counts = count_tokens([text[start:end] for start, end in pieces])
    return [replace(atom, start=s, end=e, tokens=n) for (s, e), n in zip(pieces, counts, strict=True)]


def _last_sentences(draft: _Draft, budget: int) -> list[Atom]:
    """The draft's last sentences of prose within `budget` tokens, never from its start on."""
    found: list[Atom] = []
    for atom in reversed(draft.atoms[max(1, draft.overlap) :]):
        if atom.tokens > budget or atom.kind in ("heading", "table_row", "code"):
            break
        found.append(atom)
        budget -= atom.tokens
    found.reverse()
    return found


def _balanced(drafts: list[_Draft], max_tokens: int, overlap_tokens: int) -> list[_Draft]:
    """A small last draft joins the one before, or shares its sentences when both together are too long."""
    if len(drafts) < 2 or _tokens(drafts[-1].own) >= max(2, max_tokens // _SMALL_SHARE):
        return drafts
    before, last = drafts[-2], drafts[-1]
    atoms = (*before.own, *last.own)
    repeated = before.atoms[: before.overlap]
    total = _tokens(atoms)
    if total <= max_tokens:
        while repeated and _tokens(repeated) + total > max_tokens:
            repeated = repeated[1:]
        return [*drafts[:-2], _Draft(before.path, (*repeated, *atoms), len(repeated))]
    best, best_gap, head = 0, total, 0
    for cut, atom in enumerate(atoms[:-1], start=1):
        head += atom.tokens
        gap = abs(total - 2 * head)
        fits = head + _tokens(repeated) <= max_tokens and total - head <= max_tokens
        if fits and gap < best_gap and any(own.kind != "heading" for own in atoms[:cut]):
            best, best_gap = cut, gap
    if not best:
        return drafts
    first = _Draft(before.path, (*repeated, *atoms[:best]), len(repeated))
    carried = _last_sentences(first, min(overlap_tokens, max_tokens - _tokens(atoms[best:])))
    return [*drafts[:-2], first, _Draft(last.path, (*carried, *atoms[best:]), len(carried))]


def _tokens(atoms: Sequence[Atom]) -> int:
    return sum(atom.tokens for atom in atoms)


# --- the final count -----------------------------------------------------------------------------------------------


def _finish(
    document: LoadedDocument, drafts: Sequence[_Draft], max_tokens: int, count_tokens: CountTokens
) -> list[Chunk]:
    """Chunks with their counted tokens; sums of sentences are only an estimate, so one over the budget is cut again."""
    text = document.text
    done: list[tuple[_Draft, int]] = []
    todo = list(drafts)
    counts = count_tokens([_span_text(text, draft) for draft in todo]) if todo else []
    while any(count > max_tokens for count in counts):
        following: list[_Draft] = []
        for draft, count in zip(todo, counts, strict=True):
            following.extend(_smaller(text, draft, count, max_tokens, count_tokens) if count > max_tokens else (draft,))
        if following == todo:
            break
        todo = following
        counts = count_tokens([_span_text(text, draft) for draft in todo])
    done = list(zip(todo, counts, strict=True))
    page_of = _PageOf(document.pages)
    return [
        Chunk(
            ordinal=ordinal,
            text=_span_text(text, draft),
            char_start=draft.atoms[0].start,
            char_end=draft.atoms[-1].end,
            page=page_of(draft.atoms[0].start),
            heading_path=draft.path,
            tokens=tokens,
        )
        for ordinal, (draft, tokens) in enumerate(done)
    ]


def _span_text(text: str, draft: _Draft) -> str:
    return text[draft.atoms[0].start : draft.atoms[-1].end]


def _smaller(text: str, draft: _Draft, count: int, max_tokens: int, count_tokens: CountTokens) -> tuple[_Draft, ...]:
    """`draft`, counted over the budget, without its overlap, else in two, else its one sentence cut."""
    if draft.overlap:
        return (_Draft(draft.path, draft.own),)
    if len(draft.atoms) > 1:
        half = max(1, min(len(draft.atoms) - 1, len(draft.atoms) // 2))
        return (_Draft(draft.path, draft.atoms[:half]), _Draft(draft.path, draft.atoms[half:]))
    atom = draft.atoms[0]
    budget = max(1, max_tokens * max_tokens // count)
    pieces = _cut(text, atom, (budget, budget), count_tokens)
    if len(pieces) < 2 and atom.end - atom.start > 1:
        pieces = _cut(text, atom, (1, 1), count_tokens)
    return tuple(_Draft(draft.path, (piece,)) for piece in pieces)


class _PageOf:
    """Page of an offset; `None` without pages. Empty pages hold no offset."""

    def __init__(self, pages: Sequence[PageSpan]) -> None:
        filled = [page for page in pages if page.char_end > page.char_start]
        self._starts = [page.char_start for page in filled]
        self._numbers = [page.number for page in filled]

    def __call__(self, offset: int) -> int | None:
        if not self._starts:
            return None
        return self._numbers[max(0, bisect_right(self._starts, offset) - 1)]
