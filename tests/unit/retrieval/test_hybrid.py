from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app.errors import Cancelled, InvalidInput, NotFound, Unavailable
from app.index.snapshot import Snapshot
from app.protocols import Float32
from app.retrieval.hybrid import HybridRetriever, Retrieved
from app.telemetry import Trace
from app.types import Query, RetrievalOptions
from tests.fakes import FakeEncoder
from tests.unit.retrieval.conftest import Library

TEXTS = {
    "lighthouse": "The keeper of the lighthouse trimmed the lamp at dusk.",
    "orchard": "Apples from the orchard were pressed into cider in October.",
    "harbour": "Ships waited in the harbour until the lighthouse lamp was lit.",
}


def search(library: Library, *texts: str, trace: Trace | None = None, **changes: object) -> Retrieved:
    arguments: dict[str, object] = {
        "collections": ("default",), "filters": {}, "as_of": None, "options": RetrievalOptions(),
    }  # fmt: skip
    retriever = HybridRetriever(library.catalog, library.store, library.encoder)
    queries = [Query(text) for text in texts]
    return retriever.search(queries, trace=trace or Trace(), **{**arguments, **changes})  # type: ignore[arg-type]


def found(retrieved: Retrieved) -> list[str]:
    return [hit.chunk.document_id for hit in retrieved.hits]


@pytest.fixture
def filled(library: Library) -> Library:
    for document_id, text in TEXTS.items():
        library.add(document_id, text, metadata={"kind": document_id[:1]})
    return library


def test_each_hit_keeps_every_stages_score_and_rank(filled: Library) -> None:
    retrieved = search(filled, "lighthouse lamp")
    assert set(found(retrieved)) == set(TEXTS)  # dense ranks everything
    hits = {hit.chunk.document_id: hit for hit in retrieved.hits}
    assert set(hits["orchard"].scores) == {"cosine", "rrf"}  # shares no term: BM25 has nothing to say
    assert hits["orchard"].ranks.keys() == {"cosine", "rrf"}
    lamp = hits["lighthouse"]
    assert lamp.scores["rrf"] == pytest.approx(1 / (60 + lamp.ranks["cosine"]) + 1 / (60 + lamp.ranks["bm25"]))
    assert [hit.ranks["rrf"] for hit in retrieved.hits] == [1, 2, 3]
    assert retrieved.generations == {"default": 3}
    query, passage = (
        filled.encoder.encode_queries(["lighthouse lamp"]),
        filled.encoder.encode_passages([TEXTS["orchard"]]),
    )
    assert hits["orchard"].scores["cosine"] == pytest.approx(float(query[0] @ passage[0]), abs=1e-5)


def test_lexical_hits_that_dense_search_cut_off_still_get_their_cosine(filled: Library) -> None:
    class Backwards(FakeEncoder):
        def encode_queries(self, texts: Sequence[str]) -> Float32:
            return -self._encode(texts)

    filled.encoder = Backwards()
    retrieved = search(filled, "lighthouse keeper dusk", options=RetrievalOptions(top_k=1))
    deep = search(filled, "lighthouse keeper dusk", options=RetrievalOptions(top_k=3))
    (only,) = retrieved.hits
    assert only.chunk.document_id in TEXTS
    by_id = {hit.chunk.document_id: hit for hit in deep.hits}
    assert by_id["lighthouse"].scores["cosine"] < 0 < by_id["lighthouse"].scores["bm25"]


def test_filters_bind_before_the_cut(filled: Library) -> None:
    retrieved = search(filled, "lighthouse lamp", filters={"kind": {"eq": "o"}}, options=RetrievalOptions(top_k=1))
    assert found(retrieved) == ["orchard"]  # the worst match, yet the only one allowed


def test_as_of_finds_the_old_version_and_now_only_the_new(library: Library) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    old = library.add("rules", "Parking costs two euros an hour.", valid_from=start)
    new = library.add("rules", "Parking costs five euros an hour.", valid_from=start + timedelta(days=30))
    assert old != new
    now = search(library, "parking costs euros")
    then = search(library, "parking costs euros", as_of=start + timedelta(days=1))
    assert [hit.chunk.text for hit in now.hits] == ["Parking costs five euros an hour."]
    assert [hit.chunk.text for hit in then.hits] == ["Parking costs two euros an hour."]
    assert search(library, "parking costs euros", as_of=start - timedelta(days=1)).hits == ()


def test_rankings_of_several_collections_are_merged_by_score(filled: Library) -> None:
    filled.catalog.create_collection("second")
    filled.add("beacon", "The lighthouse lamp.", collection="second")
    retrieved = search(filled, "lighthouse lamp", collections=("default", "second", "default"))
    assert sorted(found(retrieved)) == ["beacon", "harbour", "lighthouse", "orchard"]
    by_cosine = sorted(retrieved.hits, key=lambda hit: -hit.scores["cosine"])
    assert [hit.ranks["cosine"] for hit in by_cosine] == [1, 2, 3, 4]
    assert by_cosine[0].chunk.document_id == "beacon"
    by_bm25 = sorted((hit for hit in retrieved.hits if "bm25" in hit.scores), key=lambda hit: -hit.scores["bm25"])
    assert [hit.ranks["bm25"] for hit in by_bm25] == [1, 2, 3]
    assert retrieved.generations == {"default": 3, "second": 1}
    assert retrieved.statistics.num_docs == 4
    assert retrieved.statistics.avgdl > 0
    idf = retrieved.statistics.idf(["lamp", "orchard"])
    assert set(idf) == {"lamp", "orchard"}


def test_every_query_counts_and_ranks_are_the_best_over_them(filled: Library) -> None:
    single = search(filled, "lighthouse keeper")
    double = search(filled, "lighthouse keeper", "orchard apples cider")
    assert found(single)[-1] != "lighthouse"
    orchard = next(hit for hit in double.hits if hit.chunk.document_id == "orchard")
    assert orchard.ranks["bm25"] == 1
    assert orchard.ranks["cosine"] == 1
    alone = next(hit for hit in single.hits if hit.chunk.document_id == "orchard")
    assert orchard.scores["cosine"] == pytest.approx(alone.scores["cosine"])  # with the original question


def test_switched_off_retrievers_are_not_asked(filled: Library) -> None:
    before = len(filled.encoder.calls)
    lexical = search(filled, "lighthouse", options=RetrievalOptions(dense=False))
    assert len(filled.encoder.calls) == before
    assert set(found(lexical)) == {"lighthouse", "harbour"}
    assert all("cosine" not in hit.scores for hit in lexical.hits)
    dense = search(filled, "lighthouse", options=RetrievalOptions(lexical=False))
    assert all("bm25" not in hit.scores for hit in dense.hits)


class Broken(FakeEncoder):
    def encode_queries(self, texts: Sequence[str]) -> Float32:
        raise RuntimeError("/secret/path: out of memory")


def test_a_broken_encoder_leaves_bm25_and_the_trace_says_so(filled: Library) -> None:
    filled.encoder = Broken()
    trace = Trace()
    retrieved = search(filled, "lighthouse", trace=trace)
    assert set(found(retrieved)) == {"lighthouse", "harbour"}
    failed = [stage for stage in trace.stages() if stage.error]
    assert [stage.stage for stage in failed] == ["embed"]
    (warning,) = trace.warnings
    assert "dense retrieval failed (RuntimeError)" in warning
    assert "/secret" not in warning


def test_a_broken_lexicon_leaves_dense_search(filled: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("posting list corrupt")

    monkeypatch.setattr(Snapshot, "search_lexical", fail)
    trace = Trace()
    assert len(search(filled, "lighthouse", trace=trace).hits) == 3
    assert [stage.stage for stage in trace.stages() if stage.error] == ["lexical"]


def test_both_broken_is_unavailable(filled: Library) -> None:
    filled.encoder = Broken()
    with pytest.raises(Unavailable, match="no retriever works: dense: RuntimeError"):
        search(filled, "lighthouse", options=RetrievalOptions(lexical=False))


def test_vectors_of_another_model_are_not_compared(filled: Library) -> None:
    filled.encoder = FakeEncoder(name="another-model@2")
    trace = Trace()
    retrieved = search(filled, "lighthouse", trace=trace)
    assert set(found(retrieved)) == {"lighthouse", "harbour"}
    assert "attest reindex" in trace.warnings[0]


def test_cancellation_stops_between_two_stages(filled: Library) -> None:
    seen: list[str] = []
    trace = Trace(on_stage=seen.append, cancelled=lambda: "embed" in seen)
    with pytest.raises(Cancelled):
        search(filled, "lighthouse", trace=trace)
    assert seen == ["open", "embed"]


def test_an_empty_collection_finds_nothing(library: Library) -> None:
    retrieved = search(library, "anything")
    assert retrieved.hits == ()
    assert retrieved.generations == {"default": 0}
    assert retrieved.statistics.avgdl == 0.0


@pytest.mark.parametrize(
    ("texts", "changes", "error", "message"),
    [
        ((), {}, InvalidInput, "at least one"),
        (("  ",), {}, InvalidInput, "blank"),
        (("a",), {"collections": ()}, InvalidInput, "collections is empty"),
        (("a",), {"options": RetrievalOptions(dense=False, lexical=False)}, InvalidInput, "both false"),
        (("a",), {"options": RetrievalOptions(top_k=0)}, InvalidInput, "top_k is 0"),
        (("a",), {"collections": ("nowhere",)}, NotFound, "nowhere"),
    ],
)
def test_wrong_arguments_are_named(
    library: Library, texts: tuple[str, ...], changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        search(library, *texts, **changes)


def test_late_interaction_is_refused_in_words_not_silently(filled: Library) -> None:
    trace = Trace()
    search(filled, "lighthouse", trace=trace, options=RetrievalOptions(late_interaction=True))
    assert any("late interaction" in warning for warning in trace.warnings)


def test_scores_are_plain_floats(filled: Library) -> None:
    for hit in search(filled, "lighthouse lamp").hits:
        assert all(type(score) is float for score in hit.scores.values())
        assert not any(np.isnan(score) for score in hit.scores.values())
