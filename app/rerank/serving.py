"""The ranker in service: for each collection the model that was promoted there last, else the configured one."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from app.errors import AttestError
from app.index.catalog import Catalog
from app.index.durable import fsync_directory, write_fsynced
from app.index.rerankers import RerankerStore, model_folder
from app.rerank.features import CorpusStatistics
from app.rerank.ranker import CHECKSUMS, Ranker
from app.telemetry import get_logger
from app.types import Hit

log = get_logger(__name__)
MODEL = "model.txt"


class ServingRanker(Ranker):
    """A ranker that asks, for each list, which model serves the list's collection. Threads may share it.

    A list of several collections is ordered by the configured model: scores of different models can not be compared.
    """

    _active: Callable[[str], str | None] | None = None
    _folder_of: Callable[[str], Path] | None = None

    def follow(self, active: Callable[[str], str | None], folder_of: Callable[[str], Path]) -> ServingRanker:
        """Itself, now following promotions: `active(collection)` is a reranker's id, whose files `folder_of` finds."""
        self._active, self._folder_of = active, folder_of
        self._loaded: dict[str, Ranker | None] = {}
        self._loading = threading.Lock()
        return self

    def rerank(self, query: str, hits: Sequence[Hit], statistics: CorpusStatistics) -> tuple[Hit, ...]:
        names = {hit.chunk.collection for hit in hits}
        promoted = self.promoted(names.pop()) if len(names) == 1 else None
        return promoted.rerank(query, hits, statistics) if promoted else super().rerank(query, hits, statistics)

    def promoted(self, collection: str) -> Ranker | None:
        """The model promoted for the collection; None where there is none, or its file is damaged (and logged so)."""
        reranker_id = self._active(collection) if self._active is not None else None
        if reranker_id is None or self._folder_of is None:
            return None
        with self._loading:
            if reranker_id not in self._loaded:
                try:
                    self._loaded[reranker_id] = Ranker.load(self._folder_of(reranker_id) / MODEL)
                except AttestError as error:
                    log.error("reranker_not_loaded", reranker=reranker_id, error=error.message)
                    self._loaded[reranker_id] = None
            return self._loaded[reranker_id]


def following(ranker: ServingRanker, home: Path, catalog: Catalog) -> ServingRanker:
    """The ranker, following the promotions that are noted in the catalog of this home."""
    return ranker.follow(RerankerStore(catalog).active, lambda reranker_id: model_folder(home, reranker_id))


def write_model(folder: Path, model: str) -> None:
    """Makes the model durable in `folder`, with its checksum; nothing serves it before the catalog names it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = model.encode("utf-8")
    write_fsynced(folder / MODEL, content)
    write_fsynced(folder / CHECKSUMS, f"{hashlib.sha256(content).hexdigest()}  {MODEL}\n".encode("ascii"))
    fsync_directory(folder)
    fsync_directory(folder.parent)


def sweep_models(root: Path, known: Iterable[str], older_than_s: float = 86_400.0) -> int:
    """How many folders of models were removed that the catalog does not know: of crashes and deleted collections.

    Younger ones stay: another process may be about to name them in the catalog.
    """
    wanted, latest = set(known), time.time() - older_than_s
    strays = [path for path in root.glob("*/") if path.name not in wanted and path.stat().st_mtime <= latest]
    for path in strays:
        shutil.rmtree(path, ignore_errors=True)
    return len(strays)
