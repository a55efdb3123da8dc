"""Nearest neighbours inside one segment: FAISS, exact or through an HNSW graph.

All vectors have unit length, so that the inner product is the cosine.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from app.index.masks import Bools, Int64
from app.index.segments import GRAPH, Float32, Segment

faiss: Any = _faiss  # its bundled stubs lack the overloads that its Python layer adds

HNSW_M = 32
# Recall@10 and ms a query on 100,000 MiniLM embeddings of abstracts: built with 64, .9645 and .57 at a width of 128,
# .9900 and 1.92 at 512; built with 128, in 29 s instead of 12, .9905 and .60, .9990 and 2.32. Random clusters hide it.
EF_CONSTRUCTION = 128
EF_SEARCH_LEAST = 192
EF_SEARCH_MOST = 2_048
EXACT_SHARE = 0.15  # a mask that allows less is searched exactly: cheaper than walking a graph of forbidden nodes
_ADD_ROWS = 8_192

_thread = threading.local()


def _one_thread() -> None:
    """A search uses the calling thread alone: OpenMP teams for one query cost more than the query when cores are busy.

    The setting belongs to the calling thread, so each sets it once.
    """
    if not getattr(_thread, "set", False):
        faiss.omp_set_num_threads(1)
        _thread.set = True


def ef_search(top_k: int, share: float) -> int:
    """Width of the graph walk: twice the rows wanted, widened by what a mask forbids."""
    return int(min(EF_SEARCH_MOST, max(EF_SEARCH_LEAST, 2 * top_k) / max(share, EXACT_SHARE)))


class SegmentSearch:
    """FAISS over one segment, built in memory at the first search; snapshots share it."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._lock = threading.Lock()
        self._flat: Any = None
        self._graph: Any = None

    def load(self) -> None:
        """Reads the vectors (and the graph) into memory, once."""
        if self._flat is None:
            self._load_once()

    def _load_once(self) -> None:
        with self._lock:
            if self._flat is not None:
                return
            flat = faiss.IndexFlatIP(int(self._segment.vectors.shape[1]))
            for at in range(0, self._segment.rows, _ADD_ROWS):
                flat.add(np.ascontiguousarray(self._segment.vectors[at : at + _ADD_ROWS], dtype=np.float32))
            if self._segment.graph_file is not None:
                self._graph = _read_graph(self._segment, flat)
            self._flat = flat

    def search(self, queries: Float32, top_k: int, allowed: Bools | None) -> tuple[Float32, Int64]:
        """The `top_k` best rows for each query: cosines [q, k] descending and rows [q, k], -1 where there are no more.

        Args:
            queries: [q, embed_dim] float32, unit length.
            top_k: at least 1; cut to the segment's rows.
            allowed: [rows] True = may be returned; None allows all.
        """
        self.load()
        _one_thread()
        count = self._segment.rows if allowed is None else int(np.count_nonzero(allowed))
        top_k = min(top_k, count)
        if top_k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        share = count / self._segment.rows
        # bits and selector must outlive the call: FAISS keeps only a pointer
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(bits)
        if self._graph is None or share < EXACT_SHARE or top_k > EF_SEARCH_MOST // 2:
            parameters = None if selector is None else faiss.SearchParameters(sel=selector)
            scores, rows = self._flat.search(queries, top_k, params=parameters)
        else:
            parameters = faiss.SearchParametersHNSW(efSearch=ef_search(top_k, share))
            if selector is not None:
                parameters.sel = selector
            scores, rows = self._graph.search(queries, top_k, params=parameters)
        return scores, rows


def _read_graph(segment: Segment, storage: Any) -> Any:
    """The graph over `storage`, which the caller must keep alive as long."""
    file = segment.graph_file
    assert file is not None
    file.seek(0)
    graph = faiss.read_index(faiss.PyCallbackIOReader(file.read), faiss.IO_FLAG_SKIP_STORAGE)
    graph.storage = storage
    graph.own_fields = False
    return graph


def build_graph(path: Path, vectors: Float32, *, extend: Path | None = None, threads: int | None = None) -> str:
    """Builds the HNSW graph of `vectors` [n, d] and writes it, without the vectors, into the segment folder `path`.

    Args:
        path: the folder; the file's name is returned.
        vectors: the rows, in row order.
        extend: a graph over the first rows of `vectors`: only the others are inserted.
        threads: OpenMP threads; None takes every core this process may use.

    Source: Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using HNSW graphs, 2016.
    """
    storage = faiss.IndexFlatIP(int(vectors.shape[1]))
    if extend is not None:
        graph = faiss.read_index(str(extend), faiss.IO_FLAG_SKIP_STORAGE)
        for at in range(0, graph.ntotal, _ADD_ROWS):
            storage.add(np.ascontiguousarray(vectors[at : min(at + _ADD_ROWS, graph.ntotal)], dtype=np.float32))
        graph.storage = storage
        graph.own_fields = False
    else:
        graph = faiss.IndexHNSWFlat(int(vectors.shape[1]), HNSW_M, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads or len(os.sched_getaffinity(0)))
    try:
        for at in range(graph.ntotal, len(vectors), _ADD_ROWS):
            graph.add(np.ascontiguousarray(vectors[at : at + _ADD_ROWS], dtype=np.float32))
    finally:
        faiss.omp_set_num_threads(before)
    faiss.write_index(graph, str(path / GRAPH), faiss.IO_FLAG_SKIP_STORAGE)
    with (path / GRAPH).open("rb+") as file:
        os.fsync(file.fileno())
    return GRAPH


def recall_at_k(found: npt.NDArray[np.int64], exact: npt.NDArray[np.int64]) -> float:
    """Mean share of each query's exact neighbours [q, k] among those found [q, k]."""
    shares = [
        len(set(f[f >= 0].tolist()) & set(e[e >= 0].tolist())) / max(1, int((e >= 0).sum()))
        for f, e in zip(found, exact, strict=True)
    ]
    return float(np.mean(shares))
