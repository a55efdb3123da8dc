"""House rules that no linter knows: file sizes, and nothing of a builder's own machine in what is shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
REASON = re.compile(r"^# over 400 lines: \S.{10,}", re.MULTILINE)
MACHINE = re.compile(r"(/work/|/root/|/home/\w+/|\.\./shared|/opt/wheels)")
SKIPPED = {".git", ".venv", "node_modules", "__pycache__", "dist", "build"}


def files(*suffixes: str) -> list[Path]:
    """The project's own files with these suffixes."""
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.suffix in suffixes
        and path.is_file()
        and SKIPPED.isdisjoint(path.relative_to(ROOT).parts)
        and not any(part.endswith(".egg-info") or part.startswith(".") for part in path.relative_to(ROOT).parts[:-1])
    )


def test_no_source_file_is_over_400_lines_without_a_reason() -> None:
    long = {}
    for path in files(".py"):
        if path.relative_to(ROOT).parts[0] == "tests":  # a list of cases may be long
            continue
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MAX_LINES and not REASON.search(text):
            long[str(path.relative_to(ROOT))] = text.count("\n")
    assert not long, f"split them, or say why in a line `# over 400 lines: …`: {long}"


@pytest.mark.parametrize("suffixes", [(".md",), (".py",), (".toml", ".yml", ".yaml", ".txt", ".cfg")])
def test_nothing_names_a_machine_of_ours(suffixes: tuple[str, ...]) -> None:
    found = []
    for path in files(*suffixes):
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_the_search_for_machine_paths_finds_one() -> None:
    assert MACHINE.search("see /work/" + "main/app")
    assert MACHINE.search("data in ../" + "shared/data")
    assert not MACHINE.search("POST /v1/documents; ~/.attest; homework/notes.md")


@pytest.mark.parametrize("folder", ["app", "ingestion"])
def test_no_file_is_named_for_nothing(folder: str) -> None:
    vague = {"utils", "util", "helpers", "helper", "manager", "misc", "common", "data"}
    named = [str(path) for path in files(".py") if path.relative_to(ROOT).parts[0] == folder and path.stem in vague]
    assert not named
