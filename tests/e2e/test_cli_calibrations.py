"""`attest calibrations` through a running server, whose models are fakes: the same words as on a home directly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import root
from tests.e2e.test_api import serving
from tests.ratings import rate

pytestmark = pytest.mark.timeout(300)


def test_a_server_is_asked_where_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*argv: str, code: int = 0) -> str:
        assert root.run(["calibrations", *argv, "--home", str(tmp_path / "elsewhere")]) == code, capsys.readouterr().err
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    with serving(tmp_path / "home") as (running, client):
        monkeypatch.setenv("ATTEST_URL", running.url)
        assert "the fit failed: " in said("fit", code=1)
        rate(running.services.catalog, 100, right_of_ten=3)
        assert "100 questions rated: 30 right, 70 wrong" in said("show")
        assert said("fit").startswith("promoted: held-out log loss ")
        (own, shipped) = client.get("/v1/calibrations?collection=default").json()["data"]
        assert (own["active"], shipped["active"]) == (True, False)
        assert json.loads(said("list", "--json")) == client.get("/v1/calibrations").json()
        assert json.loads(said("list", "--json", "-c", "default"))["data"][-1]["active"] is False
        assert said("rollback") == f"{own['id']} no longer serves default: the shipped calibration does\n"
        assert said("activate", own["id"]) == f"{own['id']} serves default again\n"
        assert "the server answered 409" in said("activate", own["id"], code=1)
        assert "the server answered 404" in said("activate", "no/such?one", code=1)
        assert "'nowhere'" in said("show", "-c", "nowhere", code=1)
