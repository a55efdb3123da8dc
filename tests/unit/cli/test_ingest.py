"""Which files `attest ingest` takes, in which groups, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.cli import ingest
from app.cli.ingest import groups, parse_metadata, walk
from app.cli.intake import Source
from app.errors import InvalidInput


def tree(root: Path) -> None:
    for name in ("b.md", "a.txt", "sub/c.html", "sub/.hidden.txt", ".git/config", "sub/deeper/d.pdf"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_folders_are_walked_sorted_without_hidden_files(tmp_path: Path) -> None:
    tree(tmp_path)
    problems: list[str] = []
    assert [source.name for source in walk([tmp_path], problems)] == ["a.txt", "b.md", "sub/c.html", "sub/deeper/d.pdf"]
    assert problems == []


def test_a_file_given_twice_is_taken_once_and_links_do_not_loop(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "again.txt").symlink_to(tmp_path / "a.txt")
    names = [source.name for source in walk([tmp_path / "a.txt", tmp_path, tmp_path / "sub"], [])]
    assert names == ["a.txt", "b.md", "sub/c.html", "sub/deeper/d.pdf"]


def test_a_hidden_file_that_was_named_is_taken(tmp_path: Path) -> None:
    tree(tmp_path)
    assert [source.name for source in walk([tmp_path / "sub" / ".hidden.txt"], [])] == [".hidden.txt"]


def test_what_is_no_file_is_refused_or_skipped(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        list(walk([tmp_path / "none"], []))
    os.mkfifo(tmp_path / "pipe")
    assert list(walk([tmp_path], [])) == []
    with pytest.raises(InvalidInput, match="neither a file nor a folder"):
        list(walk([tmp_path / "pipe"], []))


def test_groups_keep_order_and_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "GROUP_FILES", 3)
    monkeypatch.setattr(ingest, "GROUP_BYTES", 10)
    sources = []
    for number, size in enumerate([4, 4, 4, 20, 1, 1, 1, 1]):
        path = tmp_path / str(number)
        path.write_bytes(b"x" * size)
        sources.append(Source(path, str(number)))
    assert [[source.name for source in group] for group in groups(sources)] == [
        ["0", "1"],
        ["2"],
        ["3"],
        ["4", "5", "6"],
        ["7"],
    ]
    assert list(groups([])) == []


def test_metadata_is_a_json_object() -> None:
    assert parse_metadata(None) == {}
    assert parse_metadata('{"year": 2024, "tags": ["a"]}') == {"year": 2024, "tags": ["a"]}
    for bad in ("{", "[1]", '"text"', "3"):
        with pytest.raises(InvalidInput, match="--metadata"):
            parse_metadata(bad)
