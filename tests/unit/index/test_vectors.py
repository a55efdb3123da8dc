"""Nearest neighbours in a segment: exact, through the graph, masked, after deletions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.index.compaction import write_graph
from app.index.layout import Layout
from app.index.segments import FOREVER, GRAPH, Float32, Segment, VersionRow, crc_of, scrub, write_segment
from app.index.vectors import SegmentSearch, build_graph, ef_search, recall_at_k


def clustered(n: int, dim: int, seed: int) -> Float32:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((40, dim))
    points = centres[rng.integers(0, 40, n)] + 0.7 * rng.standard_normal((n, dim))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def write(parent: Path, name: str, vectors: Float32, *, graph: bool, per_version: int = 10) -> Segment:
    rows = []
    for version, start in enumerate(range(0, len(vectors), per_version)):
        block = vectors[start : start + per_version]
        rows.append((VersionRow(version, start, len(block), 0, FOREVER, False, 0, crc_of(block)), block))
    dim = vectors.shape[1]
    layout = Layout(parent, "e", dim, "tantivy", "okapi", 1 if graph else len(vectors) + 1, lambda _: None)
    ref = write_segment(parent, name, rows, add_files=lambda path: write_graph(path, layout, threads=1))
    assert (GRAPH in ref.files) == graph
    return Segment(parent / name, ref, dim)


def exact(vectors: Float32, queries: Float32, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
    scores = queries @ vectors.T
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def test_exact_search_equals_the_matrix_product(tmp_path: Path) -> None:
    vectors, queries = clustered(300, 16, 0), clustered(5, 16, 1)
    scores, rows = SegmentSearch(write(tmp_path, "s", vectors, graph=False)).search(queries, 7, None)
    assert rows.tolist() == exact(vectors, queries, 7).tolist()
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ vectors.T, rows, 1), atol=1e-6)


def test_exact_search_under_a_mask(tmp_path: Path) -> None:
    vectors, queries = clustered(300, 16, 0), clustered(5, 16, 1)
    allowed = np.random.default_rng(2).random(300) < 0.3
    _, rows = SegmentSearch(write(tmp_path, "s", vectors, graph=False)).search(queries, 7, allowed)
    assert rows.tolist() == exact(vectors, queries, 7, allowed).tolist()


def test_no_more_rows_than_the_mask_allows(tmp_path: Path) -> None:
    search = SegmentSearch(write(tmp_path, "s", clustered(50, 8, 0), graph=False))
    only = np.zeros(50, np.bool_)
    only[[3, 40]] = True
    scores, rows = search.search(clustered(2, 8, 1), 10, only)
    assert scores.shape == (2, 2)
    assert {tuple(sorted(row)) for row in rows.tolist()} == {(3, 40)}
    assert search.search(clustered(2, 8, 1), 10, np.zeros(50, np.bool_))[1].shape == (2, 0)


@pytest.mark.parametrize("share", [None, 0.9, 0.5, 0.2, 0.1, 0.01])
def test_graph_recall_at_10_is_at_least_97_percent_whatever_is_allowed(tmp_path: Path, share: float | None) -> None:
    vectors, queries = clustered(4_000, 32, 0), clustered(100, 32, 1)
    allowed = None if share is None else np.random.default_rng(3).random(4_000) < share
    search = SegmentSearch(write(tmp_path, "s", vectors, graph=True))
    _, rows = search.search(queries, 10, allowed)
    assert recall_at_k(rows, exact(vectors, queries, 10, allowed)) >= 0.97
    if allowed is not None:
        assert allowed[rows[rows >= 0]].all()


def test_graph_recall_when_a_whole_cluster_is_forbidden(tmp_path: Path) -> None:
    """The hard mask: what is allowed lies far from where the walk would go."""
    vectors, queries = clustered(4_000, 32, 0), clustered(40, 32, 1)
    near = exact(vectors, queries, 100)
    allowed = np.ones(4_000, np.bool_)
    allowed[np.unique(near)] = False
    _, rows = SegmentSearch(write(tmp_path, "s", vectors, graph=True)).search(queries, 10, allowed)
    assert recall_at_k(rows, exact(vectors, queries, 10, allowed)) >= 0.97


def test_an_extended_graph_finds_old_and_new_rows(tmp_path: Path) -> None:
    vectors, queries = clustered(3_000, 32, 0), clustered(60, 32, 1)
    first = write(tmp_path, "first", vectors[:2_000], graph=True)
    extended = tmp_path / "extended"
    extended.mkdir()
    build_graph(extended, vectors, extend=tmp_path / first.name / GRAPH, threads=1)
    whole = write(tmp_path, "whole", vectors, graph=False)
    whole.graph_file = (extended / GRAPH).open("rb")
    _, rows = SegmentSearch(whole).search(queries, 10, None)
    assert recall_at_k(rows, exact(vectors, queries, 10)) >= 0.97


def test_recall_with_a_tenth_of_the_nodes_zeroed(tmp_path: Path) -> None:
    vectors, queries = clustered(4_000, 32, 0), clustered(60, 32, 1)
    segment = write(tmp_path, "s", vectors, graph=True)
    gone = frozenset(range(0, 400, 10))
    assert scrub(tmp_path / "s", gone) == 400
    allowed = np.ones(4_000, np.bool_)
    for version in gone:
        allowed[version * 10 : version * 10 + 10] = False
    assert not segment.vectors[~allowed].any()
    _, rows = SegmentSearch(segment).search(queries, 10, allowed)
    assert recall_at_k(rows, exact(vectors, queries, 10, allowed)) >= 0.97


def test_the_graph_file_holds_no_vectors(tmp_path: Path) -> None:
    """Scrubbing vectors.f32 is enough: the graph on disk is links only."""
    vectors = clustered(500, 64, 0)
    write(tmp_path, "s", vectors, graph=True)
    assert vectors[123].tobytes() in (tmp_path / "s" / "vectors.f32").read_bytes()
    assert vectors[123].tobytes() not in (tmp_path / "s" / GRAPH).read_bytes()


def test_a_segment_stays_searchable_after_its_files_are_gone(tmp_path: Path) -> None:
    vectors = clustered(600, 16, 0)
    search = SegmentSearch(write(tmp_path, "s", vectors, graph=True))
    for path in (tmp_path / "s").iterdir():
        path.unlink()
    assert search.search(vectors[:1], 1, None)[1].tolist() == [[0]]


def test_ef_grows_with_top_k_and_with_what_is_forbidden() -> None:
    assert ef_search(10, 1.0) == 192
    assert ef_search(100, 1.0) == 200
    assert ef_search(100, 0.5) == 400
    assert ef_search(10_000, 0.2) == 2_048


def test_recall_counts_shared_rows() -> None:
    assert recall_at_k(np.array([[1, 2, -1]]), np.array([[2, 3, 1]])) == pytest.approx(2 / 3)
