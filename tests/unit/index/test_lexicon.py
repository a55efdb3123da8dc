"""What is each BM25 engine's own: tantivy's formula, rank-bm25's erasure on disk."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from app.errors import IntegrityError
from app.index.lexicon import TantivyLexicon, inverse_document_frequency, ranked
from app.index.rank_lexicon import RankBm25Lexicon
from app.types import ScoredSlot


def test_idf_by_hand() -> None:
    assert inverse_document_frequency(1, 3) == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert inverse_document_frequency(5, 3) > 0  # a deleted row may still be counted in df
    assert inverse_document_frequency(0, 0) == pytest.approx(math.log(2))


def test_ranked_orders_by_score_then_slot() -> None:
    assert ranked([5, 2, 9], [1.0, 1.0, 3.0], 2) == [ScoredSlot(9, 3.0), ScoredSlot(2, 1.0)]


def test_tantivy_score_by_hand(tmp_path: Path) -> None:
    """Three rows of 2, 4 and 3 terms: avgdl 3, k1 1.2, b .75."""
    lexicon = TantivyLexicon.create(tmp_path / "l")
    with lexicon.writer() as writer:
        writer.add([(0, 0, ["a", "b"]), (1, 1, ["a", "a", "c", "d"]), (2, 2, ["e", "f", "g"])])
        writer.commit()
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    tf_part = {0: 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 3)), 1: 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 3))}
    found = {hit.slot: hit.score for hit in lexicon.reader().search(["a"], 5, None)}
    assert found == pytest.approx({slot: idf * part for slot, part in tf_part.items()}, rel=1e-5)
    twice = {hit.slot: hit.score for hit in lexicon.reader().search(["a", "a"], 5, None)}
    assert twice == pytest.approx({slot: 2 * score for slot, score in found.items()}, rel=1e-5)


def test_nothing_is_written_into_the_folder_after_the_writer_has_left(tmp_path: Path) -> None:
    """tantivy's own reloading takes a lock file from a thread of its own; a folder being removed then isn't empty."""
    lexicon = TantivyLexicon.create(tmp_path / "l")
    time.sleep(0.6)  # its watcher looks every half second
    with lexicon.writer() as writer:
        writer.add([(0, 0, ["a"])])
        writer.commit()
    lexicon.reader()
    lock = tmp_path / "l" / ".tantivy-meta.lock"
    lock.unlink()
    time.sleep(1.2)
    assert not lock.exists()


def test_rank_bm25_erases_deleted_terms_from_the_disk_at_commit(tmp_path: Path) -> None:
    path = tmp_path / "l"
    lexicon = RankBm25Lexicon.create(path)
    for slot, term in enumerate(["secret", "public"]):
        with lexicon.writer() as writer:
            writer.add([(slot, slot, [term, "shared"])])
            writer.commit()
    with lexicon.writer() as writer:
        writer.delete_version(0)
        writer.commit()
    content = b"".join(file.read_bytes() for file in path.iterdir())
    assert b"secret" not in content
    assert b"public" in content


def test_a_damaged_tantivy_index_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "l"
    TantivyLexicon.create(path)
    (path / "meta.json").write_text("{")
    with pytest.raises(IntegrityError, match="attest reindex"):
        TantivyLexicon(path)


def test_a_batch_that_is_gone_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "l"
    lexicon = RankBm25Lexicon.create(path)
    (path / "batches.json").write_text('["missing.jsonl"]')
    with pytest.raises(IntegrityError, match=r"batches\.json"):
        lexicon.reader()
