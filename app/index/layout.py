"""Where one collection's files lie, which of them a generation needs, and the removal of the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from app.errors import Conflict, IntegrityError, Unavailable
from app.index.durable import file_lock
from app.index.lexicon import Engine, Lexicon, TantivyLexicon
from app.index.manifest import LexiconRef, Manifest, current_name, read_manifest
from app.index.rank_lexicon import RankBm25Lexicon, Variant

KEPT_GENERATIONS = 3  # a reader that has just read CURRENT may still be opening the generation before


@dataclass(frozen=True, slots=True)
class Layout:
    """`root` is `index/<collection_id>/`; the rest are the store's choices for what it creates there."""

    root: Path
    encoder_name: str
    embed_dim: int
    engine: Engine
    variant: Variant
    exact_below: int
    fault: Callable[[str], None]
    """Called with a step's name between every two steps of a change: tests die there."""

    @property
    def segments(self) -> Path:
        return self.root / "segments"

    @property
    def retired(self) -> Path:
        return self.root / "retired"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def writer_lock(self) -> Path:
        return self.root / "writer.lock"

    @property
    def compaction_lock(self) -> Path:
        return self.root / "compaction.lock"

    def empty_manifest(self, analyser: str) -> Manifest:
        """Generation 0, which needs no file."""
        return Manifest(0, self.encoder_name, self.embed_dim, analyser)

    def open_lexicon(self, ref: LexiconRef) -> Lexicon:
        """Raises FileNotFoundError when a publisher has replaced it."""
        path = self.root / ref.name
        if ref.engine == "tantivy":
            return TantivyLexicon(path)
        if ref.engine == "rank_bm25":
            return RankBm25Lexicon(path, self.variant)
        raise Unavailable(f"the BM25 engine {ref.engine!r} is unknown to this version; run `attest reindex`")

    def create_lexicon(self, path: Path) -> Lexicon:
        """A new, empty BM25 index of the configured engine."""
        if self.engine == "tantivy":
            return TantivyLexicon.create(path)
        return RankBm25Lexicon.create(path, self.variant)

    def staging_is_free(self) -> bool:
        """Whether no compaction or rebuild is at work, so that what lies in `staging/` is a crashed one's."""
        try:
            with file_lock(self.compaction_lock, wait_s=0):
                return True
        except Conflict:
            return False

    def remove_unreferenced(self, *, keep: int = KEPT_GENERATIONS) -> None:
        """Removes what the last `keep` generations do not name. Only under the writer lock."""
        current = current_name(self.root)
        names = sorted(path.name for path in self.root.glob("generation-*.json"))
        published = [name for name in names if current is not None and name <= current]
        kept_names = published[-keep:] if keep else []
        manifests = [read_manifest(self.root, name) for name in kept_names if self._readable(name, current)]
        used = {f"segments/{s.name}" for m in manifests for s in m.segments}
        used |= {f"retired/{r.name}.json" for m in manifests for r in m.retired}
        used |= {m.lexicon.name for m in manifests if m.lexicon}
        leftovers: Iterable[Path] = [
            *(self.segments.iterdir() if self.segments.exists() else ()),
            *(self.retired.iterdir() if self.retired.exists() else ()),
            *self.root.glob("lexicon-*"),
        ]
        for path in leftovers:
            if str(path.relative_to(self.root)) not in used:
                _remove(path)
        for name in set(names) - set(kept_names):
            _remove(self.root / name)
        for path in self.root.glob(".*.tmp"):  # only a publisher writes these, and we are the publisher
            _remove(path)
        if self.staging.exists() and self.staging_is_free():
            shutil.rmtree(self.staging, ignore_errors=True)

    def _readable(self, name: str, current: str | None) -> bool:
        """A damaged old manifest keeps nothing alive; a damaged current one stops everything."""
        try:
            read_manifest(self.root, name)
        except (IntegrityError, Unavailable):
            if name == current:
                raise
            return False
        return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
