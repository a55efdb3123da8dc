"""Conditions read from questions: how many stated ones are found, and how often one is read that nobody stated.

    python -m benchmarks.auto_filters [--data DIR] [--per-collection 500]

The questions below are our own, over two metadata schemas of their own; "traps" hold a value or a field of the schema
and state no condition. DIR (or ATTEST_DATA_DIR) holds `ir/NAME/queries.jsonl.gz`, questions that people asked of text
without metadata: every filter there is a mistake, whatever the schema.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from app.index.filters import parse
from app.query.auto_filter import stated_filter
from app.query.construction.fields import Field, FieldSchema
from app.query.construction.metadata import BuiltFilter, build_filter

TODAY = date(2026, 6, 15)
SCHEMAS: dict[str, FieldSchema] = {
    "articles": FieldSchema(
        (
            Field("section", "text", ("Politics", "Economy", "Science", "Sports", "Culture")),
            Field("author", "text", ("Nora Klein", "Tom Becker", "Aisha Khan")),
            Field("country", "text", ("Germany", "France", "China", "United States")),
            Field("language", "text", ("English", "German", "French")),
            Field("year", "number", minimum=1990, maximum=2026),
            Field("tags", "text", ("climate", "health", "energy", "election"), many=True),
        )
    ),
    "contracts": FieldSchema(
        (
            Field("party", "text", ("Helios", "Norden", "Castor")),
            Field("status", "text", ("active", "expired", "draft")),
            Field("kind", "text", ("lease", "licence", "supply", "service")),
            Field("value", "number", minimum=1_000, maximum=5_000_000),
            Field("signed", "date", minimum="2010-01-01", maximum="2026-05-01"),
        )
    ),
}
STATED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("articles", "What do articles in the section Science say about sleep?", {"section": "Science"}),
    ("articles", "Which causes of inflation are named in the Economy section?", {"section": "Economy"}),
    ("articles", "What did the author Nora Klein write about the strike?", {"author": "Nora Klein"}),
    ("articles", "What is said of vaccines in texts by author Tom Becker?", {"author": "Tom Becker"}),
    ("articles", "How did the election go, according to articles with the tag election?", {"tags": "election"}),
    ("articles", "Why did prices rise? Only articles tagged energy.", {"tags": "energy"}),
    ("articles", "What is new about batteries in articles of the year 2024?", {"year": 2024}),
    ("articles", "Reports on floods, year 2021", {"year": 2021}),
    ("articles", "What do French-language articles, language French, say about the law?", {"language": "French"}),
    ("articles", "What do articles from the country China report about trade?", {"country": "China"}),
    ("articles", "How is the reform judged in the Politics section by the author Aisha Khan?",
     {"section": "Politics", "author": "Aisha Khan"}),
    ("articles", "What was written on solar power in the years 2019 to 2021?", {"year": {"gte": 2019, "lte": 2021}}),
    ("contracts", "What is the notice period in contracts with status active?", {"status": "active"}),
    ("contracts", "Which penalties are in contracts of the kind lease?", {"kind": "lease"}),
    ("contracts", "What do the contracts with the party Helios say about liability?", {"party": "Helios"}),
    ("contracts", "Which law applies in contracts with a value above 100000?", {"value": {"gt": 100_000}}),
    ("contracts", "Which contracts signed after 2022 have a renewal clause?", {"signed": {"gte": "2023-01-01"}}),
    ("contracts", "What is the warranty in contracts signed before 2015?", {"signed": {"lt": "2015-01-01"}}),
    ("contracts", "What are the payment terms where the status is draft?", {"status": "draft"}),
    ("contracts", "Is there an indemnity where the party is Castor and the kind is service?",
     {"party": "Castor", "kind": "service"}),
)  # fmt: skip
TRAPS: tuple[tuple[str, str], ...] = (
    ("articles", "How does science explain dreams?"),
    ("articles", "Who won the election in France?"),
    ("articles", "What is the capital of Germany?"),
    ("articles", "How many people speak English in the United States?"),
    ("articles", "Which country has the most solar energy?"),
    ("articles", "Did China sign the climate agreement in 2015?"),
    ("articles", "What year did the Berlin wall fall?"),
    ("articles", "What happened in 1998?"),
    ("articles", "Who is the author of Faust?"),
    ("articles", "Is German harder than French?"),
    ("articles", "How is the economy of France doing this year?"),
    ("articles", "Which language is spoken in Germany, German or English?"),
    ("contracts", "What does an active volcano look like?"),
    ("contracts", "When does the lease with Norden end?"),
    ("contracts", "Who signed for Helios?"),
    ("contracts", "What happens when a licence has expired?"),
    ("contracts", "Is the service free of charge?"),
    ("contracts", "What is the value of the building in Castor Street?"),
    ("contracts", "Which party bears the risk of supply problems?"),
    ("contracts", "Was the deposit more than 5000?"),
    ("contracts", "Can a draft be signed before 2027?"),
    ("contracts", "What kind of insurance must Helios have?"),
)
Reader = Callable[[str, FieldSchema], "BuiltFilter | None"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"), help="folder with ir/NAME/")
    parser.add_argument("--per-collection", type=int, default=500, help="first questions of each set")
    arguments = parser.parse_args()
    readers: dict[str, Reader] = {
        "stated": lambda question, schema: stated_filter(question, schema, today=TODAY),
        "any built": lambda question, schema: built(question, schema),
    }
    for name, read in readers.items():
        exact = wrong = missed = 0
        for schema, question, gold in STATED:
            found = read(question, SCHEMAS[schema])
            if found is None:
                missed += 1
            elif same(found.filter, gold):
                exact += 1
            else:
                wrong += 1
        caught = [question for schema, question in TRAPS if read(question, SCHEMAS[schema]) is not None]
        print(
            f"{name:10} stated conditions: {exact} of {len(STATED)} exact, {missed} not read, {wrong} otherwise; "
            f"traps: {len(caught)} of {len(TRAPS)} filtered {caught or ''}"
        )
    if arguments.data is None or not Path(arguments.data, "ir").is_dir():
        sys.stderr.write(f"--data {arguments.data}: no folder with ir/; ordinary questions are left out\n")
        return 0
    for schema, fields in SCHEMAS.items():
        for name, read in readers.items():
            counts = {
                path.parent.name: rate(questions(path, arguments.per_collection), read, fields)
                for path in sorted(Path(arguments.data, "ir").glob("*/queries.jsonl.gz"))
            }
            asked, filtered = (sum(pair[at] for pair in counts.values()) for at in (0, 1))
            worst = max(counts, key=lambda each: counts[each][1] / max(1, counts[each][0]))
            print(
                f"{schema:10} {name:10} ordinary questions: {filtered} of {asked} filtered "
                f"({100 * filtered / asked:.2f} %), most in {worst} ({counts[worst][1]} of {counts[worst][0]})"
            )
    return 0


def built(question: str, schema: FieldSchema) -> BuiltFilter | None:
    """Every filter that the rules build, sure or not: what is measured against."""
    found = build_filter(question, schema, today=TODAY)
    return found if found.filter else None


def same(found: Mapping[str, Any], gold: Mapping[str, Any]) -> bool:
    """Whether two filters are the same conditions, in any order."""
    return sorted(map(repr, _parts(found))) == sorted(map(repr, _parts(gold)))


def _parts(filters: Mapping[str, Any]) -> list[Any]:
    condition: Any = parse(filters)
    return list(getattr(condition, "parts", (condition,)))


def questions(path: Path, most: int) -> Iterator[str]:
    """The first questions of a set."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for _, line in zip(range(most), lines, strict=False):
            yield str(json.loads(line)["question"])


def rate(asked: Iterator[str], read: Reader, schema: FieldSchema) -> tuple[int, int]:
    """How many questions there are, and how many got a filter."""
    found = [read(question, schema) is not None for question in asked]
    return len(found), sum(found)


if __name__ == "__main__":
    sys.exit(main())
