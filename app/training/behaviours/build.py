"""Builds and checks the rows of behaviour: `python -m app.training.behaviours.build [--check]`.

Every hand-written scenario is turned into rows with offsets (`scenarios.py`), the rows are checked one by one and
against each other, and written to `rows/{part}_{kind}.jsonl`. `--check` writes nothing and fails where the files on
disk are not what the scenarios give.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from app.errors import InvalidInput
from app.training.behaviours.checks import problems_of
from app.training.behaviours.loading import KINDS, PARTS, ROWS_DIR, Behaviour
from app.training.behaviours.scenarios import SCENARIOS_DIR, read_scenarios, rows_of


def built_rows(directory: Path = SCENARIOS_DIR) -> tuple[list[Behaviour], list[str]]:
    """Return the rows of all scenarios, train before held out, and what is wrong in those that make none."""
    rows: list[Behaviour] = []
    problems = []
    for part in PARTS:
        for scenario in read_scenarios(part, directory):
            try:
                rows += rows_of(scenario)
            except InvalidInput as error:
                problems.append(error.message)
    return rows, problems


def built_files(rows: Sequence[Behaviour]) -> dict[str, str]:
    """Return the text of every file by its name; a kind without rows is an empty file."""
    return {
        f"{part}_{kind}.jsonl": "".join(
            json.dumps(row.as_json(), ensure_ascii=False, separators=(",", ":")) + "\n"
            for row in rows
            if (row.part, row.kind) == (part, kind)
        )
        for part in PARTS
        for kind in KINDS
    }


def counts(rows: Sequence[Behaviour]) -> str:
    """Return the table of counts, a line per kind."""
    by = Counter((row.kind, row.part, row.lang != "en") for row in rows)
    lines = [f"{'kind':<15}{'train en':>9}{'train zh':>9}{'heldout en':>12}{'heldout zh':>12}{'all':>6}"]
    for kind in KINDS:
        cells = [by[kind, part, chinese] for part in PARTS for chinese in (False, True)]
        lines.append(f"{kind:<15}{cells[0]:>9}{cells[1]:>9}{cells[2]:>12}{cells[3]:>12}{sum(cells):>6}")
    whole = [sum(by[k, part, chinese] for k in KINDS) for part in PARTS for chinese in (False, True)]
    lines.append(f"{'all':<15}{whole[0]:>9}{whole[1]:>9}{whole[2]:>12}{whole[3]:>12}{sum(whole):>6}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where files are not up to date")
    args = parser.parse_args()
    rows, problems = built_rows()
    problems += problems_of(rows)
    files = built_files(rows)
    if args.check:
        problems += [
            f"{name} is not what the scenarios give: build it"
            for name, text in files.items()
            if not (ROWS_DIR / name).is_file() or (ROWS_DIR / name).read_text(encoding="utf-8") != text
        ]
    for problem in problems:
        sys.stderr.write(problem + "\n")
    if not problems and not args.check:
        ROWS_DIR.mkdir(exist_ok=True)
        for name, text in files.items():
            (ROWS_DIR / name).write_text(text, encoding="utf-8")
    sys.stdout.write(counts(rows) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
