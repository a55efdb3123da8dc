"""`attest rerankers` through a running server, then on its home, with trainings that really run; models are fakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import root
from tests.animals import ANIMALS, documents, praise, with_ranker
from tests.e2e import test_api
from tests.fakes import FakeEncoder, FakeGenerator
from tests.unit.api import harness

pytestmark = pytest.mark.timeout(600)


def test_a_server_is_asked_where_one_runs_and_the_home_where_none_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, served = harness.wired, tmp_path / "home"
    monkeypatch.setattr(test_api, "wired", lambda *parts: with_ranker(plain(*parts)))

    def said(*argv: str, home: Path = tmp_path / "elsewhere", code: int = 0) -> str:
        assert root.run(["rerankers", *argv, "--home", str(home)]) == code, capsys.readouterr().err
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    with test_api.serving(served) as (running, client):
        monkeypatch.setenv("ATTEST_URL", running.url)
        assert "the training failed: too little feedback to train on: 0 ratings" in said("train", code=1)
        client.post("/v1/documents", json={"documents": documents()}).raise_for_status()
        running.work()
        praise(running.services.catalog, "default", ANIMALS)
        assert "a passage is known to be right for 32 questions" in said("show")
        trained = said("train")
        assert trained.startswith("promoted: held-out nDCG@10 0.631 before")
        assert "serves default from the next question on; `attest rerankers rollback -c default` takes it b" in trained
        (own, shipped) = client.get("/v1/rerankers?collection=default").json()["data"]
        assert (own["active"], shipped["active"]) == (True, False)
        assert json.loads(said("list", "--json")) == client.get("/v1/rerankers").json()
        told = said("show")
        assert f"serves      {own['id']} of " in told
        assert "next        nothing: the newest training knew all these ratings" in told
        assert said("rollback") == f"{own['id']} no longer serves default: the shipped reranker does\n"
        assert said("activate", own["id"]) == f"{own['id']} serves default again\n"
        assert "the server answered 409" in said("activate", own["id"], code=1)
        assert "the server answered 404" in said("activate", "no/such?one", code=1)
        assert "'nowhere'" in said("train", "-c", "nowhere", code=1)
        golden = tmp_path / "golden.jsonl"
        golden.write_text('{"question": "Who?", "relevant_document_ids": ["gone"]}\n', encoding="utf-8")
        assert "'gone' is not in the collection 'default'" in said("train", "--golden", str(golden), code=2)
    assert f"no Attest server answers at {running.url}" in said("show", code=1)

    monkeypatch.delenv("ATTEST_URL")
    assert f"serves      {own['id']} of " in said("show", home=served)
    monkeypatch.setattr(
        "app.bootstrap.build_services", lambda settings: with_ranker(plain(settings, FakeEncoder(), FakeGenerator()))
    )
    again = said("train", home=served)
    assert again.startswith("not promoted: held-out nDCG@10 ")
    assert "is kept for the record; what served goes on serving" in again
    assert f"serves      {own['id']} of " in said("show", home=served)
