"""Tables keep their cells' places in every layout, and what is asked about them has that cell for its answer."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import get_args

import pytest

from app.training.table_layouts import Layout, Table, is_number, laid_out, parsed_pipes, tidy_label, window
from app.training.table_questions import load_tables, table_questions

AMOUNTS = (("$1,200", "1,100"), ("(340)", "310"))
TABLE = Table(("2023", "2022"), ("Rent", "Salaries (1)"), AMOUNTS, "Line", ("Years ended",))
TWO_ALIKE = "| | 2023 | 2023 |\n|---|---|---|\n| A | 1 | 2 |\n| B | 3 | 4 |"
CITIES = ["Oslo", "Bergen", "Turku", "Lund", "Visby"]
PIPES = """| | Years ended May 31, | |
|---|---|---|
| | 2023 | 2022 |
| Operating costs: | | |
| Rent | $1,200 | $1,100 |
| Salaries (1) | 340 | — |
| Heating | 52 | 61 |

Text below. | not | a row |"""


@pytest.mark.parametrize("layout", get_args(Layout))
def test_cells_stand_where_the_layout_says(layout: Layout) -> None:
    for seed in range(8):
        laid = laid_out(TABLE, layout, random.Random(seed))
        cells = [[laid.text[start:end].replace("$ ", "$") for start, end in row] for row in laid.places]
        assert cells == [["$1,200", "1,100"], ["(340)", "310"]]
        assert all(label in laid.text for label in TABLE.labels)


def test_rows_of_ingestion_name_header_and_value() -> None:
    assert laid_out(TABLE, "pairs", random.Random(0)).text.splitlines() == [
        "Line: Rent; 2023: $1,200; 2022: 1,100",
        "Line: Salaries (1); 2023: (340); 2022: 310",
    ]


def test_markdown_tables_are_parsed_with_what_stands_above() -> None:
    table = parsed_pipes(PIPES)
    assert table is not None
    assert table.headers == ("2023", "2022")
    assert table.above == ("Years ended May 31,",)
    assert table.labels == ("Rent", "Salaries", "Heating")
    assert table.values[2] == ("52", "61")
    assert window(table, [2]).labels == ("Heating",)


@pytest.mark.parametrize("text", ["No table.", "| a | b |\n|---|---|\n| c | d |", TWO_ALIKE])
def test_ragged_tables_are_not_asked_about(text: str) -> None:
    assert parsed_pipes(text) is None


def test_numbers_and_labels() -> None:
    assert all(is_number(value) for value in ("$ 39,669", "(2)%", "1.5", "−3", "$(1,011)", "€12"))
    assert not any(is_number(value) for value in ("", "—", "3 of 4", "N/A", "Q3"))
    assert tidy_label("Total  costs (2)") == tidy_label("Total costs:") == "Total costs"


def data(folder: Path) -> Path:
    rng = random.Random(0)
    contexts = []
    for n in range(40):
        rows = [f"| Line {'ABCDE'[r]}{chr(97 + n % 26)} of kind{n} | {amount(rng)} | {amount(rng)} |" for r in range(5)]
        contexts.append({"doc": f"d{n}", "context": "\n".join(["| | 2023 | 2022 |", "|---|---|---|", *rows])})
    tables = []
    for n in range(40):
        cities = [[city, f"Mayor {city}{n}", str(1000 + 7 * n + i)] for i, city in enumerate(CITIES)]
        tables.append({"id": f"t{n}", "rows": [["City", "Mayor", "Founded"], *cities]})
    for name, written in (("rc/tatqa", contexts), ("table/wikitq_tables", tables)):
        path = folder / f"{name}.jsonl.gz"
        path.parent.mkdir()
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in written)
    return folder


def amount(rng: random.Random) -> str:
    return f"{rng.randint(100, 99999):,}"


def test_questions_have_one_place_or_none(tmp_path: Path) -> None:
    source = load_tables(data(tmp_path))
    questions = table_questions(source, random.Random(1), 300)
    assert len(questions) > 150
    assert questions == table_questions(source, random.Random(1), 300)
    unanswerable = [q for q in questions if not q.answers]
    assert 10 < len(unanswerable) < len(questions) / 3
    for q in questions:
        assert q.role == "train"
        assert all(q.context.count(answer) == 1 for answer in q.answers)
    mayors = [q for q in questions if q.answers and "mayor" in q.question.lower()]
    for q in mayors:
        assert q.answers[0].split()[1].rstrip("0123456789").lower() in q.question.lower()


def test_tables_are_held_out_whole(tmp_path: Path) -> None:
    folder = data(tmp_path)
    train, heldout = load_tables(folder), load_tables(folder, "heldout")
    assert train.financial
    assert heldout.general
    assert not set(train.financial) & set(heldout.financial)
    assert not set(train.general) & set(heldout.general)
    assert {q.role for q in table_questions(heldout, random.Random(0), 40)} == {"heldout"}


def test_without_files_there_are_no_questions(tmp_path: Path) -> None:
    assert table_questions(load_tables(tmp_path), random.Random(0), 20) == []
