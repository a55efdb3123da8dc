from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from app.errors import IntegrityError, InvalidInput, Unavailable
from app.rerank.features import FEATURES, build
from app.rerank.ranker import BUNDLED, CHECKSUMS, Ranker
from app.types import Hit
from tests.unit.rerank.conftest import Statistics, hit


@pytest.fixture(scope="module")
def shipped() -> Ranker:
    return Ranker.load()


def _model(path: Path, names: list[str]) -> Path:
    generator = np.random.default_rng(0)
    rows = generator.random((40, len(names)))
    booster = lightgbm.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2},
        lightgbm.Dataset(rows, rows[:, 0], feature_name=names),
        2,
    )
    booster.save_model(str(path))
    return path


def test_the_shipped_model_puts_the_answer_first_and_overwrites_nothing(shipped: Ranker) -> None:
    texts = [
        "The canal has twelve locks and two aqueducts.",
        "The brewery beside the canal opened in 1887 and burned twelve years later.",
        "Canal boats were drawn by horses.",
        "Breweries need clean water.",
    ]
    hits = [
        Hit(hit(text, number=n).chunk, {"cosine": 0.4 + 0.1 * (n == 1), "rrf": 0.01}, {"rrf": n + 1})
        for n, text in enumerate(texts)
    ]
    ranked = shipped.rerank("When did the brewery beside the canal open?", hits, Statistics(avgdl=7.0))
    assert ranked[0].chunk.text == texts[1]
    assert sorted(found.chunk.chunk_id for found in ranked) == sorted(found.chunk.chunk_id for found in hits)
    assert [found.ranks["rerank"] for found in ranked] == [1, 2, 3, 4]
    scores = [found.scores["rerank"] for found in ranked]
    assert scores == sorted(scores, reverse=True)
    before = {found.chunk.chunk_id: found for found in hits}
    for found in ranked:
        was = before[found.chunk.chunk_id]
        assert {**found.scores, **was.scores} == dict(found.scores)
        assert {**found.ranks, **was.ranks} == dict(found.ranks)
        assert "rerank" not in was.scores


def test_scores_are_the_boosters_over_the_serving_features(shipped: Ranker) -> None:
    hits = [hit("amber heron", cosine=0.2, number=0), hit("a heron in reeds", cosine=0.7, number=1)]
    booster = lightgbm.Booster(model_file=str(BUNDLED))
    expected = booster.predict(build("heron", hits, Statistics()), raw_score=True)
    found = {h.chunk.chunk_id: h.scores["rerank"] for h in shipped.rerank("heron", hits, Statistics())}
    assert [found["1-0"], found["1-1"]] == pytest.approx(expected.tolist())


def test_ties_keep_the_order_given(shipped: Ranker) -> None:
    hits = [hit("the same words", number=n) for n in (3, 1, 2)]
    same = [Hit(h.chunk.__class__(**{**_fields(h), "ordinal": 0}), h.scores) for h in hits]
    ranked = shipped.rerank("other question", same, Statistics())
    assert [h.chunk.chunk_id for h in ranked] == ["1-3", "1-1", "1-2"]


def _fields(found: Hit) -> dict[str, object]:
    return {name: getattr(found.chunk, name) for name in found.chunk.__slots__}


def test_nothing_to_rerank(shipped: Ranker) -> None:
    assert shipped.rerank("question", [], Statistics()) == ()


def test_a_missing_file_names_the_settings() -> None:
    with pytest.raises(Unavailable, match="ATTEST_RERANK__ENABLED"):
        Ranker.load(Path("nowhere.txt"))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED.parent, tmp_path / "copy")
    model = tmp_path / "copy" / BUNDLED.name
    Ranker.load(model)
    model.write_text(model.read_text() + "\n")
    with pytest.raises(IntegrityError, match="sha256"):
        Ranker.load(model)


def test_a_model_that_the_checksums_do_not_name_is_refused(tmp_path: Path) -> None:
    model = _model(tmp_path / "mine.txt", list(FEATURES))
    Ranker.load(model)  # no checksums beside it: a model of one's own
    (tmp_path / CHECKSUMS).write_text(f"{hashlib.sha256(b'').hexdigest()}  other.txt\n")
    with pytest.raises(IntegrityError, match="nothing of it"):
        Ranker.load(model)


def test_a_shipped_model_without_checksums_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(BUNDLED, tmp_path / BUNDLED.name)
    monkeypatch.setattr("app.rerank.ranker.BUNDLED", tmp_path / BUNDLED.name)
    with pytest.raises(IntegrityError, match="SHA256SUMS is missing"):
        Ranker.load()


def test_a_model_of_other_features_names_them(tmp_path: Path) -> None:
    names = [*FEATURES[1:], "moon_phase"]
    with pytest.raises(InvalidInput, match=f"lacking: {FEATURES[0]}; unknown: moon_phase"):
        Ranker.load(_model(tmp_path / "other.txt", names))
    swapped = [FEATURES[1], FEATURES[0], *FEATURES[2:]]
    with pytest.raises(InvalidInput, match="in their order"):
        Ranker.load(_model(tmp_path / "swapped.txt", swapped))


@pytest.mark.parametrize("content", [b"not a model", b"\xff\xfe\x00", b""])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.txt").write_bytes(content)
    with pytest.raises(IntegrityError, match="no LightGBM text model"):
        Ranker.load(tmp_path / "model.txt")
