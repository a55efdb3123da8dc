from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidInput
from app.evaluation.metrics import ndcg_at_k
from app.rerank.candidates import judged_lists, ndcg
from app.rerank.collections import load_collection, load_collections
from app.rerank.features import FEATURES
from app.rerank.ranker import CHECKSUMS, Ranker
from app.rerank.train import FALLING, RISING, train_reranker
from tests.fakes import FakeEncoder


def test_collections_are_read_with_sampled_queries_and_grades(data_dir: Path) -> None:
    folder = data_dir / "ir" / "rivers"
    loaded = load_collection(folder, max_queries=5, seed=1)
    assert (loaded.name, len(loaded.documents), len(loaded.queries)) == ("rivers", 24, 5)
    assert loaded.queries == load_collection(folder, max_queries=5, seed=1).queries
    assert loaded.queries != load_collection(folder, max_queries=5, seed=2).queries
    assert loaded.documents[0].embedding_text == "otter notes\nA red otter crossed the river bank in 1900."
    grades = [{"qid": 0, "did": "rivers-3", "grade": 2}, {"qid": 0, "did": "rivers-4", "grade": 0},
              {"qid": 1, "did": "unknown", "grade": 1}]  # fmt: skip
    (folder / "qrels.jsonl").write_text("\n".join(map(json.dumps, grades)))
    graded = load_collection(folder, max_queries=50, seed=1)
    assert graded.qrels == {"0": {"rivers-3": 2.0}}  # grade 0 and unknown documents are not relevant
    assert [query_id for query_id, _ in graded.queries] == ["0"]


def test_broken_rows_are_named_by_file_and_line(data_dir: Path) -> None:
    corpus = data_dir / "ir" / "rivers" / "corpus.jsonl"
    corpus.write_text('{"id": "1", "text": "x"}\n\n{"id": "2"}\n')
    with pytest.raises(InvalidInput, match=r"corpus\.jsonl:3: field text is missing"):
        load_collections(data_dir, ["rivers"])
    corpus.write_text("{")
    with pytest.raises(InvalidInput, match=r"corpus\.jsonl:1: not JSON"):
        load_collections(data_dir, ["rivers"])


def test_missing_collections_are_named(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no complete collection named seas; .* found: rivers, towns, woods"):
        load_collections(data_dir, ["seas", "rivers"])
    with pytest.raises(InvalidInput, match="no judged collection"):
        load_collections(tmp_path / "nowhere")


@pytest.mark.parametrize("seed", range(5))
def test_the_trainers_ndcg_is_that_of_the_evaluation_room(seed: int) -> None:
    generator = np.random.default_rng(seed)
    ranking = [f"d{n}" for n in generator.permutation(15)]
    grades = {f"d{n}": float(generator.integers(0, 4)) for n in range(0, 15, 2)} | {"unretrieved": 3.0}
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    expected = ndcg_at_k(ranking, grades, 10)
    assert ndcg([grades.get(key, 0.0) for key in ranking], ideal) == pytest.approx(expected, abs=1e-12)


def test_judged_lists_are_what_serving_would_rerank(data_dir: Path) -> None:
    encoder = FakeEncoder()
    (rivers,) = load_collections(data_dir, ["rivers"], max_queries=3)
    lists = judged_lists(rivers, encoder, depth=6, cache_dir=data_dir / "cache")
    assert len(lists) == 3
    for judged in lists:
        assert judged.features.shape == (6, len(FEATURES))  # the fused list is cut like the retrievers'
        assert judged.grades.sum() == 1
        assert judged.ideal == (1.0,)
        assert all(0 <= value <= 1 for value in judged.first_stage)
    embedded = len(encoder.calls)
    again = judged_lists(rivers, encoder, depth=6, cache_dir=data_dir / "cache")
    assert len(encoder.calls) == embedded  # from the cache
    np.testing.assert_array_equal(again[0].features, lists[0].features)


def test_training_writes_a_model_that_the_ranker_takes(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    said: list[str] = []
    report = train_reranker(data_dir, out, encoder=FakeEncoder(), rounds=3, threads=1, progress=said.append)
    Ranker.load(report.model)
    assert [row.collection for row in report.held_out] == ["rivers", "towns", "woods"]
    assert all(0 <= value <= 1 for row in report.held_out for value in row.ndcg)
    assert report.mean[3] == pytest.approx(np.mean([row.ndcg[3] for row in report.held_out]))
    digest = hashlib.sha256(report.model.read_bytes()).hexdigest()
    assert (out / CHECKSUMS).read_text() == f"{digest}  model.txt\n"
    card = (out / "README.md").read_text()
    assert report.table() in card
    assert "| rivers | 24 | your own |" in card
    assert not list(out.glob("*.partial"))
    assert "holding out towns" in said
    again = train_reranker(data_dir, tmp_path / "again", encoder=FakeEncoder(), rounds=3, threads=1)
    assert again.model.read_bytes() == report.model.read_bytes()


def test_one_collection_leaves_nothing_to_hold_out(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="at least two"):
        train_reranker(data_dir, tmp_path / "out", encoder=FakeEncoder(), collections=["woods"])
    assert not (tmp_path / "out").exists()


def test_constraints_name_features_that_exist() -> None:
    assert set(FEATURES) >= RISING | FALLING
    assert not RISING & FALLING
