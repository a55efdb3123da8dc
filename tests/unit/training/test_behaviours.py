"""The hand-written behaviours: every row is sound, the built files are up to date, and the loader returns them all."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from app.errors import InvalidInput, Unavailable
from app.training.behaviours import KINDS, Behaviour, load_behaviours
from app.training.behaviours.build import built_files, built_rows, counts
from app.training.behaviours.checks import problems_of
from app.training.behaviours.loading import ROWS_DIR


@pytest.fixture(scope="module")
def built() -> list[Behaviour]:
    rows, problems = built_rows()
    assert problems == []
    return rows


def test_every_row_is_sound_and_the_parts_share_nothing(built: list[Behaviour]) -> None:
    assert problems_of(built) == []


def test_the_files_on_disk_are_what_the_scenarios_give(built: list[Behaviour]) -> None:
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in ROWS_DIR.glob("*.jsonl")}
    assert on_disk == built_files(built)


def test_the_readme_counts_the_rows_that_there_are(built: list[Behaviour]) -> None:
    assert counts(built) in (ROWS_DIR.parent / "README.md").read_text(encoding="utf-8")


def test_the_loader_returns_exactly_what_was_built(built: list[Behaviour]) -> None:
    loaded = [*load_behaviours("train"), *load_behaviours("heldout")]
    assert {row.id: row for row in loaded} == {row.id: row for row in built}
    assert len(loaded) == len(built)


def test_every_kind_is_in_both_parts_and_a_quarter_is_chinese(built: list[Behaviour]) -> None:
    assert {(row.part, row.kind) for row in built} == {(part, kind) for part in ("train", "heldout") for kind in KINDS}
    languages = Counter(row.lang for row in built)
    assert languages["zh-Hant"] > 10
    assert 0.2 < (languages["zh"] + languages["zh-Hant"]) / len(built) < 0.35


def test_there_are_as_many_near_misses_as_twins(built: list[Behaviour]) -> None:
    refusals = [row for row in built if row.kind == "refusal"]
    assert sum(row.answerable for row in refusals) * 2 == len(refusals)
    assert len(refusals) >= 240


def test_a_fifth_to_two_fifths_of_parallel_rows_ask_for_the_fact_that_stands_first(built: list[Behaviour]) -> None:
    """Both directions are measured: a reader that gives the last fact of every sentence must not look good either."""
    for part in ("train", "heldout"):
        rows = [row for row in built if row.kind == "parallel" and row.part == part]
        first = sum(row.tempting is not None and row.answers[0].char_start < row.tempting.char_start for row in rows)
        assert 0.2 < first / len(rows) < 0.4


def test_kinds_are_chosen_by_name() -> None:
    rows = load_behaviours("heldout", ["list", "open"])
    assert {row.kind for row in rows} == {"list", "open"}
    assert {row.part for row in rows} == {"heldout"}


def test_an_unknown_part_or_kind_is_named() -> None:
    with pytest.raises(InvalidInput, match="'test' is not one of train, heldout"):
        load_behaviours("test")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="riddle"):
        load_behaviours("train", ["riddle"])  # type: ignore[list-item]


def test_missing_files_say_how_they_are_built(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"app\.training\.behaviours\.build"):
        load_behaviours("train", rows_dir=tmp_path)
