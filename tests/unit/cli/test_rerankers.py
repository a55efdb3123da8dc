"""`attest rerankers` on a home where no server runs: what it prints, and how it fails before any model is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import root
from app.cli.reranker_text import list_text, state_text
from app.index.catalog import Catalog
from app.settings import load_settings
from tests.animals import trained


@pytest.fixture
def catalog(home: Path) -> Iterator[Catalog]:
    opened = Catalog.open(load_settings(home=home).database_url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise AssertionError("no model is needed for this")

    monkeypatch.setattr("app.bootstrap.build_services", load)


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert root.run(["rerankers", *argv]) == code, capsys.readouterr().err
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_without_a_rating_the_state_says_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "show")
    assert "serves      the shipped reranker\n" in told
    assert "a passage is known to be right for 0 questions" in told
    assert "needed      30 more questions with a passage rated as helpful, at least 16 to train on and 8 to" in told
    assert "next        rate answers: thumbs on the page" in told
    assert "held out" not in told
    assert "not counted" not in told
    listed = said(capsys, "list").splitlines()
    assert listed[0].split() == ["collection", "reranker", "status", "questions", "nDCG@10", "made"]
    assert listed[1].split() == ["every", "one", "shipped", "serves"]
    failed = said(capsys, "train", code=2)
    assert "too little feedback to train on: 0 ratings and golden questions name relevant passages" in failed
    assert "at least 16 to train on and 8 to measure with" in failed


def test_versions_are_listed_shown_taken_back_and_put_back(
    home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    first = trained(catalog, "default", 0.91).id
    rejected = trained(catalog, "default", 0.9, before=0.91, promote=False).id
    listed = said(capsys, "list").splitlines()
    assert listed[1].startswith(f"default     {rejected}  rejected         32  0.910 → 0.900  20")
    assert listed[2].startswith(f"default     {first}  serves           32  0.630 → 0.910  20")
    assert listed[3].split() == ["any", "other", "shipped", "serves"]
    told = said(capsys, "show")
    assert f"serves      {first} of 20" in told
    assert "held out    nDCG@10 0.630 → 0.910 (+0.280, 90% interval +0.230 to +0.330), 10 questions" in told
    assert f"newest      {rejected} of 20" in told
    assert "            not promoted: held-out nDCG@10 0.910 before" in told
    assert said(capsys, "rollback") == f"{first} no longer serves default: the shipped reranker does\n"
    assert "there is no way further back" in said(capsys, "rollback", code=1)
    assert "was not promoted" in said(capsys, "activate", rejected, code=1)
    assert said(capsys, "activate", first) == f"{first} serves default again\n"
    state = json.loads(said(capsys, "show", "--json"))
    assert state["ratings"]["needed"] == {"questions": 30, "to_train": 16, "to_measure": 8}
    assert [each["active"] for each in state["data"]] == [False, True, False]
    assert (state["enabled"], state["obstacle"]) == (True, None)
    assert json.loads(said(capsys, "list", "--json"))["data"][1]["id"] == first
    assert json.loads(said(capsys, "rollback", "--json"))["active"]["id"] == "shipped"


def test_what_is_not_there_is_named(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["show"], ["train"], ["list"], ["rollback"]):
        assert "'nowhere'" in said(capsys, *command, "-c", "nowhere", code=1)
    assert "rrk_gone" in said(capsys, "activate", "rrk_gone", code=1)
    assert "use POST /v1/rerankers/rollback" in said(capsys, "activate", "shipped", code=1)
    assert "can not be read" in said(capsys, "train", "--golden", str(tmp_path / "none.jsonl"), code=2)
    golden = tmp_path / "golden.jsonl"
    golden.write_text('{"question": "Who?"}\n{"query": "What?"}\n', encoding="utf-8")
    assert f"{golden} line 2: " in said(capsys, "train", "--golden", str(golden), code=2)


@pytest.mark.parametrize(
    ("name", "value", "serves"),
    [
        ("ATTEST_RERANK__ENABLED", "false", "nothing: passages stay as the search ranks them"),
        ("ATTEST_RERANK__MODEL", "mine.txt", "the model that the settings name"),
    ],
)
def test_where_none_could_serve_none_is_trained(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    serves: str,
) -> None:
    monkeypatch.setenv(name, value)
    told = said(capsys, "show")
    assert f"serves      {serves}\n" in told
    assert name in told.split("next  ")[1], "what to do is to change the setting"
    assert name in said(capsys, "list")
    assert name in said(capsys, "train", code=1)


def test_a_server_that_is_not_there_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATTEST_URL", "http://127.0.0.1:9")
    for command in (["show"], ["list"], ["train"], ["rollback"], ["activate", "rrk_one"]):
        assert "no Attest server answers at http://127.0.0.1:9" in said(capsys, *command, code=1)


RATINGS: dict[str, Any] = {
    "collection": "laws",
    "ratings": 60,
    "questions": 40,
    "to_train": 29,
    "to_measure": 11,
    "unhelpful": 5,
    "gone": 2,
    "needed": {"questions": 0, "to_train": 0, "to_measure": 0},
    "enough": True,
}
SHIPPED = {"id": "shipped", "active": True}
OFFERED = {"data": [SHIPPED], "enabled": True, "obstacle": None}


def test_what_does_not_count_and_what_comes_next() -> None:
    told = state_text(RATINGS, OFFERED)
    assert "not counted 5 questions that no passage helped with; 2 whose passages have left the coll" in told
    assert "needed      nothing more" in told
    assert "next        attest rerankers train -c laws: it serves only if" in told
    lopsided = {**RATINGS, "needed": {"questions": 3, "to_train": 0, "to_measure": 3}, "enough": False}
    assert "needed      3 more questions with a passage rated as helpful, at least 3 to measure with\n" in state_text(
        lopsided, OFFERED
    )


def test_ratings_that_the_newest_training_knew_teach_nothing_new() -> None:
    held = {
        "questions": 11,
        "ndcg@10": {"base": 0.5, "trained": 0.45},
        "difference": {"mean": -0.05, "low": -0.1, "high": 0.0, "confidence": 0.9},
    }
    one = {
        "id": "rrk_one",
        "collection": "laws",
        "status": "rejected",
        "active": False,
        "reason": "not promoted: it does not rise",
        "created_at": "2026-01-02T03:04:05Z",
        "figures": {"held_out": held, "training": {"ratings": 60, "judged_questions": 40}},
    }
    found = {**OFFERED, "data": [one, SHIPPED]}
    told = state_text(RATINGS, found)
    assert "newest      rrk_one of 2026-01-02 03:04, rejected\n            not promoted: it does not rise" in told
    assert "next        nothing: the newest training knew all these ratings" in told
    assert "next        attest rerankers train -c laws" in state_text({**RATINGS, "ratings": 61}, found)
    assert "laws        rrk_one   rejected         40  0.500 → 0.450  2026-01-02 03:04" in list_text(found)
