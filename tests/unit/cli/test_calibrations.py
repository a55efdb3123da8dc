"""`attest calibrations` on a home where no server runs: what it prints, what it stores, and how it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bootstrap.generators import calibration_id
from app.cli import root
from app.cli.calibration_text import list_text, state_text
from app.index.catalog import Catalog
from app.settings import load_settings
from tests.ratings import rate


@pytest.fixture
def catalog(home: Path) -> Iterator[Catalog]:
    settings = load_settings(home=home)
    opened = Catalog.open(settings.database_url)
    yield opened
    opened.close()


def rate_as_shipped(catalog: Catalog, home: Path, count: int, *, right_of_ten: int, confidence: float = 0.7) -> None:
    shipped = calibration_id(load_settings(home=home))
    rate(catalog, count, right_of_ten=right_of_ten, confidence=confidence, calibration=shipped)


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert root.run(["calibrations", *argv]) == code, capsys.readouterr().err
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_from_the_first_rating_to_a_fit_and_back(
    home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = said(capsys, "show")
    assert "serves      the shipped calibration" in empty
    assert "0 questions rated: 0 right, 0 wrong" in empty
    assert "needed      60 more rated questions, at least 15 right and 15 wrong" in empty
    assert "answers with" not in empty, "there is nothing to draw"

    rate_as_shipped(catalog, home, 30, right_of_ten=3)
    some = said(capsys, "show")
    assert "needed      30 more rated questions, at least 6 right (" in some
    assert "shipped     calibration error 0.400, given 100% (of them wrong 70%)" in some
    assert "0.7 to 0.8       30        0.70   0.30  0.17 to 0.48" in some
    assert "needs 60 rated questions" in said(capsys, "fit", code=1)

    rate_as_shipped(catalog, home, 100, right_of_ten=3, confidence=0.72)
    assert "needed      nothing: attest calibrations fit -c default" in said(capsys, "show")
    fitted = said(capsys, "fit")
    assert fitted.startswith("promoted: held-out log loss ")
    assert "serves default from the next question on" in fitted
    listed = json.loads(said(capsys, "list", "--json"))["data"]
    assert [each["status"] for each in listed] == ["active", "shipped"]
    calibration = listed[0]["id"]
    assert f"serves      {calibration}" in said(capsys, "show")
    assert "still given 100% (of them wrong 70%) → 0%\n" in said(capsys, "show")
    assert f"default     {calibration}  serves    100  " in said(capsys, "list")

    assert "not promoted: held-out log loss" in said(capsys, "fit")
    back = said(capsys, "rollback")
    assert back == f"{calibration} no longer serves default: the shipped calibration does\n"
    assert "there is no way further back" in said(capsys, "rollback", code=1)
    assert said(capsys, "activate", calibration) == f"{calibration} serves default again\n"
    state = json.loads(said(capsys, "show", "--json"))
    assert state["ratings"]["rated"] == 100
    assert state["data"][-1]["active"] is False


def test_what_is_not_there_is_named(home: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["show", "-c", "nowhere"], ["fit", "-c", "nowhere"], ["list", "-c", "nowhere"]):
        assert "nowhere" in said(capsys, *command, code=1)
    assert "cal_gone" in said(capsys, "activate", "cal_gone", code=1)
    assert "use POST /v1/calibrations/rollback" in said(capsys, "activate", "shipped", code=1)


RATINGS = {
    "collection": "laws",
    "rated": 70,
    "right": 60,
    "wrong": 10,
    "unrated": 4,
    "outdated": 9,
    "needed": {"rated": 5, "right": 0, "wrong": 5},
    "enough": False,
    "figures": None,
}
OLD = {
    "id": "cal_old",
    "collection": "laws",
    "status": "active",
    "active": True,
    "outdated": True,
    "created_at": "2026-01-02T03:04:05Z",
    "figures": {"held_out": {"questions": 80, "log_loss": {"base": 0.7, "trained": 0.6}}, "training": {"rated": 80}},
}


def test_one_of_an_earlier_release_is_told_and_does_not_count() -> None:
    told = state_text(RATINGS, [OLD])
    assert "serves      the shipped calibration" in told
    assert "outdated    cal_old corrects a calibration that is no longer shipped: fit another" in told
    assert "4 unrated; 9 answers more under an earlier calibration" in told
    assert "needed      5 more rated questions, at least 5 wrong (" in told
    assert "cal_old      outdated     80  0.700 → 0.600  2026-01-02 03:04" in list_text([OLD])


def test_a_version_without_the_newer_figures_is_shown_with_those_it_has() -> None:
    told = state_text(RATINGS, [{**OLD, "outdated": False}])
    assert "held out    log loss 0.700 → 0.600, 80 questions" in told
    assert "calibration error" not in told
