"""Questions about cells: what a table says of a row in a column, made from real tables and made-up statements.

Readers trained on running text copy a neighbour of the cell that is asked for. A question names a row by its label and,
where there are several, a column by its header or its period; without one the first column is meant, which holds the
current period. Some ask for what the table does not hold.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from app.training.reading_sets import ReadingQuestion, Role, article_bucket
from app.training.table_layouts import Layout, Table, is_number, laid_out, parsed_pipes, tidy_label, window
from app.training.verifier.relations import capitalized

TABLES = "tables"
_LAYOUTS: tuple[Layout, ...] = ("lines", "lines", "pipes", "pairs")
_FIRMS = (
    *("Norwick", "Halden Foods", "Brightwater", "Corvane", "Ostra Energy", "Pellham", "Quillon", "Tarnfield Rail"),
    *("Ventara", "Wexholm", "Yarrow Labs", "the company", "the group", "the fund", "the university", "the city"),
)
_AMOUNTS = (
    "What was {of}{label}{when}?",
    "What were {of}{label}{when}?",
    "How much was {of}{label}{when}?",
    "What did {firm} report as its {label}{when}?",
    "What {label} did {firm} report{when}?",
    "What is {of}{label}{when}?",
    "How large was {of}{label}{when}?",
    "{label}{when}?",
    "Tell me {of}{label}{when}.",
    "What amount of {label} is shown{when}?",
    "How much {label} did {firm} have{when}?",
    "What do the documents give as {of}{label}{when}?",
)
_ASPECTS = (
    "What is the {header} of {label}?",
    "What was the {header} of {label}?",
    "Which {header} does {label} have?",
    "What is {label}'s {header}?",
    "{label}: which {header}?",
    "What {header} is given for {label}?",
    "What does the table say about the {header} of {label}?",
)
_ENDS = ("March 31", "June 30", "September 30", "December 31", "June 25", "July 1", "October 29", "April 30")
_SPANS = (("Three Months Ended", "Six Months Ended"), ("Three Months Ended", "Nine Months Ended"))
_UNITS = ("(in millions)", "(dollars in thousands)", "(unaudited)", "(in millions, except per share data)", "")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_LONGEST_VALUE, _LONGEST_LABEL = 40, 80


@dataclass(frozen=True, slots=True)
class TableSource:
    """Real tables to ask about, and row labels for made-up statements."""

    financial: Sequence[Table]
    general: Sequence[Table]
    labels: Sequence[str]
    role: Role = "train"


def load_tables(data_dir: Path, role: Role = "train") -> TableSource:
    """Return TAT-QA's and WikiTableQuestions' tables: a fifth is held out, the rest "train"; empty without files.

    Args:
        data_dir: holds `rc/tatqa.jsonl.gz` and `table/wikitq_tables.jsonl.gz`.
        role: "train" or "heldout".
    """
    financial = {}
    for row in _rows(data_dir / "rc" / "tatqa.jsonl.gz"):
        if (article_bucket(row.get("doc") or row["context"]) < 20) == (role == "heldout"):
            table = parsed_pipes(row["context"])
            if table is not None:
                financial[row["context"].split("\n\n", 1)[0]] = table
    general = []
    for row in _rows(data_dir / "table" / "wikitq_tables.jsonl.gz"):
        if (article_bucket(row["id"]) < 20) == (role == "heldout"):
            table = _keyed(row["rows"])
            if table is not None:
                general.append(table)
    labels = sorted({label for table in financial.values() for label in table.labels if _asks_well(label)})
    return TableSource(tuple(financial.values()), tuple(general), labels, role)


def table_questions(source: TableSource, rng: random.Random, number: int) -> list[ReadingQuestion]:
    """Return about `number` questions, drawn anew: half about made-up statements, the rest about real tables.

    Every sixth has no answer: its row or its period is not in the table.
    """
    questions: list[ReadingQuestion] = []
    for index in range(number):
        draw = rng.random()
        if draw < 0.5 and len(source.labels) > 20:
            made = _of_statement(_made_up(source.labels, rng), source.labels, rng)
        elif draw < 0.75 and source.financial:
            made = _of_statement(_some_rows(rng.choice(source.financial), rng), source.labels, rng)
        elif source.general:
            made = _of_table(_some_rows(rng.choice(source.general), rng), rng)
        else:
            continue
        if made is not None:
            title, question, text, answers = made
            questions.append(ReadingQuestion(f"table-{index}", TABLES, source.role, title, question, text, answers))
    return questions


_Made = tuple[str, str, str, tuple[str, ...]]


def _of_statement(table: Table, labels: Sequence[str], rng: random.Random) -> _Made | None:
    """A question for an amount by label and, most of the time, period."""
    columns = [c for c in range(len(table.headers)) if any(is_number(row[c]) for row in table.values)]
    rows = [r for r, label in enumerate(table.labels) if _asks_well(label) and table.labels.count(label) == 1]
    if not columns or not rows:
        return None
    row, column = rng.choice(rows), rng.choice(columns)
    value = table.values[row][column]
    if not is_number(value):
        return None
    firm = rng.choice(_FIRMS)
    plain = len(columns) > 1 and column == columns[0] and rng.random() < 0.5
    when = "" if plain or len(columns) == 1 else _period(table, column, rng)
    if when is None:
        return None
    label = table.labels[row]
    answered = rng.random() >= 1 / 6
    if not answered:
        if when and rng.random() < 0.4 and (years := _YEAR.findall(when)):
            other = str(int(years[0]) + rng.choice((-7, -5, -4, 4, 5, 7)))
            if other in " ".join((*table.headers, *table.above)):
                return None
            when = when.replace(years[0], other)
        else:
            label = rng.choice(labels)
            words = set(label.lower().split())
            if any(len(words & set(own.lower().split())) > len(words) / 3 for own in table.labels):
                return None
    of = rng.choice((f"{firm}'s ", "the ", "")) if not firm.startswith("the ") else rng.choice(("the ", ""))
    question = rng.choice(_AMOUNTS).format(of=of, firm=firm, label=_spoken(label, rng), when=when)
    laid = laid_out(table, rng.choice(_LAYOUTS), rng)
    text = _framed(laid.text, rng)
    title = rng.choice(("", firm, f"{firm} — {rng.choice(('annual report', 'Form 10-Q', 'accounts', 'statement'))}"))
    if not answered:
        return title, capitalized(question), text, ()
    start, end = laid.places[row][column]
    cell = laid.text[start:end]
    # Where its characters occur twice, another cell would count as right.
    if text.count(cell) > 1:
        return None
    return title, capitalized(question), text, (cell,)


def _of_table(table: Table, rng: random.Random) -> _Made | None:
    """A question for what stands under a header, of the thing that a row is about."""
    rows = [r for r, label in enumerate(table.labels) if table.labels.count(label) == 1]
    columns = [c for c, header in enumerate(table.headers) if 2 < len(header) < 30]
    if not rows or not columns:
        return None
    row, column = rng.choice(rows), rng.choice(columns)
    laid = laid_out(table, "pairs" if rng.random() < 0.6 else "pipes", rng)
    start, end = laid.places[row][column]
    cell = laid.text[start:end]
    if not cell or laid.text.count(cell) > 1 or len(cell) > _LONGEST_VALUE:
        return None
    label = table.labels[row]
    if rng.random() < 1 / 6:
        hidden = window(table, [r for r in range(len(table.labels)) if r != row])
        if len(hidden.labels) < 2 or label.lower() in laid_out(hidden, "pipes", rng).text.lower():
            return None
        question = rng.choice(_ASPECTS).format(header=_lowered(table.headers[column]), label=label)
        return "", capitalized(question), laid_out(hidden, "pairs", rng).text, ()
    question = rng.choice(_ASPECTS).format(header=_lowered(table.headers[column]), label=label)
    return "", capitalized(question), laid.text, (cell,)


def _made_up(labels: Sequence[str], rng: random.Random) -> Table:
    """A statement of some labels over one to four periods, the latest first, now and then with a change beside them."""
    year = rng.randint(2005, 2025)
    end = rng.choice(_ENDS)
    kind = rng.random()
    above: tuple[str, ...] = ()
    if kind < 0.35:
        headers = [str(year - n) for n in range(rng.choice((2, 2, 3)))]
        above = (rng.choice((f"Year Ended {end},", f"Years ended {end},", f"As of {end},", "")),)
    elif kind < 0.6:
        headers = [f"{end}, {year}", f"{end}, {year - 1}"]
        above = (rng.choice(("Three Months Ended", "Nine Months Ended", "Twelve Months Ended", "")),)
    else:
        spans = rng.choice(_SPANS)
        above = (" ".join(spans),)
        headers = [f"{end}, {year}", f"{end}, {year - 1}"] * 2
    change = len(headers) == 2 and rng.random() < 0.3
    common = rng.sample(sorted(_common_lines()), rng.randint(1, 8))
    chosen = list(dict.fromkeys([*common, *rng.sample(labels, rng.randint(2, 7))]))
    rng.shuffle(chosen)
    size = 10 ** rng.randint(2, 5)
    values = []
    for place, _ in enumerate(chosen):
        row = []
        for _ in headers:
            amount = rng.randint(size // 20, size * 2)
            written = f"{amount:,}" if rng.random() < 0.9 else f"{amount / 100:,.2f}"
            written = f"({written})" if rng.random() < 0.12 else written
            row.append(f"${written}" if place == 0 or rng.random() < 0.1 else written)
        if change:
            row.append(f"{rng.randint(1, 60)}%" if rng.random() < 0.6 else f"({rng.randint(1, 40)})%")
        values.append(tuple(row))
    shown = (*headers, *(["Change"] if change else []))
    unit = rng.choice(_UNITS)
    lines = tuple(line for line in (unit, *above) if line)
    return Table(shown, tuple(chosen), tuple(values), "", lines)


def _period(table: Table, column: int, rng: random.Random) -> str | None:
    """How a question names a column; None where its header tells it from no other."""
    header = table.headers[column]
    same = [c for c, other in enumerate(table.headers) if other == header]
    years = _YEAR.findall(header)
    if len(same) > 1:
        spans = re.findall(r"(Three|Six|Nine|Twelve) Months", " ".join(table.above))
        if len(spans) != 2 or len(table.headers) != 4:
            return None
        span = spans[0] if column < 2 else spans[1]
        short = span == "Three" and rng.random() < 0.5
        return f" for the quarter ended {header}" if short else f" for the {span.lower()} months ended {header}"
    if not years:
        return f" ({header})" if rng.random() < 0.3 else f" under {header}"
    alone = sum(years[0] in other for other in table.headers) == 1
    if header == years[0]:
        return rng.choice((f" in {header}", f" for {header}", f" in fiscal {header}", f" in the year {header}"))
    if alone and rng.random() < 0.7:
        quarter = f" in Q{rng.randint(1, 4)} {years[0]}"
        return rng.choice(
            (f" in {years[0]}", f" in {years[0]}", f" for {years[0]}", quarter, f" at the end of {years[0]}")
        )
    return rng.choice((f" on {header}", f" for the period ended {header}", f" as of {header}"))


def _some_rows(table: Table, rng: random.Random) -> Table:
    size = min(len(table.labels), rng.randint(3, 12))
    first = rng.randint(0, len(table.labels) - size)
    return window(table, range(first, first + size))


def _keyed(rows: Sequence[Sequence[str]]) -> Table | None:
    """A table whose first column of distinct words names its rows."""
    if len(rows) < 4 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return None
    headers, body = (
        [" ".join(cell.split()) for cell in rows[0]],
        [[" ".join(c.split()) for c in row] for row in rows[1:]],
    )
    for key in range(min(3, len(headers))):
        labels = [row[key] for row in body]
        named = len(set(labels)) == len(labels) and all(2 < len(label) < _LONGEST_LABEL for label in labels)
        if named and sum(not is_number(label) for label in labels) == len(labels):
            others = [c for c in range(len(headers)) if c != key]
            if all(headers) and len(set(headers)) == len(headers):
                values = tuple(tuple(row[c][:120] for c in others) for row in body)
                return Table(tuple(headers[c] for c in others), tuple(labels), values, headers[key])
    return None


@lru_cache(maxsize=1)
def _common_lines() -> dict[str, tuple[str, ...]]:
    """Lines of common statements, and how people ask for them: `statement_lines.txt`, parted by bars."""
    lines = Path(__file__).with_name("statement_lines.txt").read_text(encoding="utf-8").splitlines()
    parted = [[part.strip() for part in line.split("|")] for line in lines]
    return {line[0]: tuple(line[1:]) for line in parted}


def _framed(text: str, rng: random.Random) -> str:
    before = (
        "",
        "",
        "The following table shows the figures of the period:\n\n",
        "Consolidated statements\n\n",
        "Results\n\n",
    )
    return rng.choice(before) + text


def _asks_well(label: str) -> bool:
    return 2 < len(label) < _LONGEST_LABEL and not is_number(label) and bool(re.search(r"[A-Za-z]{3}", label))


def _spoken(label: str, rng: random.Random) -> str:
    """A label as a person says it: in lower case but for acronyms, without brackets, or in other words altogether."""
    others = _common_lines().get(label)
    if others and rng.random() < 0.5:
        return rng.choice(others)
    said = tidy_label(re.sub(r"\s*\([^)]*\)", "", label) or label) if rng.random() < 0.7 else label
    words = _lowered(said).split()
    if len(words) > 3 and rng.random() < 0.25:
        del words[rng.randrange(1, len(words))]
    said = " ".join(words)
    return said.replace("&", "and") if rng.random() < 0.5 else said


def _lowered(text: str) -> str:
    return " ".join(word if word[1:] != word[1:].lower() or len(word) == 1 else word.lower() for word in text.split())


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
