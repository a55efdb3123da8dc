"""Questions over a given schema → Cypher by schema linking."""

from __future__ import annotations

import pytest

from app.query.construction.cypher_build import build_cypher
from app.query.construction.cypher_schema import CypherSchema, Edge, Label, Property

SCHEMA = CypherSchema(
    (
        Label("Author", (Property("name"), Property("born", "number"))),
        Label("Book", (
            Property("title"), Property("pageCount", "number"), Property("publishedAt", "date"),
            Property("inPrint", "boolean"), Property("language", "text", ("French", "German")),
        )),
        Label("Publisher", (Property("companyName"), Property("city"))),
    ),
    (
        Edge("WROTE", "Author", "Book", (Property("share", "number"),)),
        Edge("PUBLISHED_BY", "Book", "Publisher"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("question", "statement", "parameters"),
    [
        ("List all books.", "MATCH (b:Book) RETURN b LIMIT 100", {}),
        ("How many books are there?", "MATCH (b:Book) RETURN count(b) AS number LIMIT 100", {}),
        ("What are the titles of the books with more than 300 pages?",
         "MATCH (b:Book) WHERE b.pageCount > $p1 RETURN b.title LIMIT 100", {"p1": 300}),
        ("Which books have a page count between 100 and 200?",
         "MATCH (b:Book) WHERE b.pageCount >= $p1 AND b.pageCount <= $p2 RETURN b LIMIT 100", {"p1": 100, "p2": 200}),
        ("Which books have a title containing 'Sea'?",
         "MATCH (b:Book) WHERE b.title CONTAINS $p1 RETURN b LIMIT 100", {"p1": "Sea"}),
        ("Show books whose title starts with 'The'.",
         "MATCH (b:Book) WHERE b.title STARTS WITH $p1 RETURN b LIMIT 100", {"p1": "The"}),
        ("Which authors wrote the book 'Dune'?",
         "MATCH (a:Author)-[:WROTE]->(b:Book) WHERE b.title = $p1 RETURN a LIMIT 100", {"p1": "Dune"}),
        ("Who wrote 'Dune'?",
         "MATCH (a:Author)-[:WROTE]->(b:Book) WHERE b.title = $p1 RETURN a LIMIT 100", {"p1": "Dune"}),
        ("Which authors have written more than 3 books?",
         "MATCH (a:Author)-[:WROTE]->(b:Book) WITH a, count(b) AS number WHERE number > $p1 "
         "RETURN a.name, number LIMIT 100", {"p1": 3}),
        ("List the top 5 authors by number of books.",
         "MATCH (a:Author)-[:WROTE]->(b:Book) RETURN a.name, count(b) AS number ORDER BY number DESC LIMIT 5", {}),
        ("Which publisher has the most books?",
         "MATCH (b:Book)-[:PUBLISHED_BY]->(p:Publisher) "
         "RETURN p.companyName, count(b) AS number ORDER BY number DESC LIMIT 1", {}),
        ("What are the three oldest books?",
         "MATCH (b:Book) WHERE b.publishedAt IS NOT NULL RETURN b ORDER BY b.publishedAt LIMIT 3", {}),
        ("What is the average page count of the books?", "MATCH (b:Book) RETURN avg(b.pageCount) AS avg LIMIT 100", {}),
        ("Which books published by 'Acme' are in German?",
         "MATCH (b:Book)-[:PUBLISHED_BY]->(p:Publisher) WHERE p.companyName = $p1 RETURN b LIMIT 100", {"p1": "Acme"}),
        ("Which books were published after 1990?",
         "MATCH (b:Book)-[:PUBLISHED_BY]->(p:Publisher) WHERE b.publishedAt >= datetime($p1) RETURN b LIMIT 100",
         {"p1": "1991-01-01T00:00:00Z"}),
        ("Which authors of books from publishers in the city 'Oslo' are there?",
         "MATCH (a:Author)-[:WROTE]->(b:Book)-[:PUBLISHED_BY]->(p:Publisher) WHERE p.city = $p1 RETURN a LIMIT 100",
         {"p1": "Oslo"}),
    ],
)  # fmt: skip
def test_questions(question: str, statement: str, parameters: dict[str, object]) -> None:
    built = build_cypher(question, SCHEMA)
    assert (built.text, built.parameters) == (statement, parameters)
    assert built.how == "rules"
    assert built.confidence > 0


@pytest.mark.parametrize("question", ["", "Why?", "How is the weather?", "?" * 2_000, "'; DROP TABLE x", "\x00", "书"])
def test_a_question_about_nothing_here_says_so(question: str) -> None:
    built = build_cypher(question, SCHEMA)
    assert built.text == ""
    assert "labels: Author, Book, Publisher" in built.explanation
    assert built.confidence == 0


def test_a_value_that_was_not_understood_makes_unsure() -> None:
    sure = build_cypher("List books with more than 300 pages", SCHEMA)
    unsure = build_cypher("List books with more than 300 pages and 17 or so", SCHEMA)
    assert unsure.confidence < sure.confidence
    assert "1 stated values were not understood" in unsure.explanation


def test_what_a_question_says_is_only_ever_a_value() -> None:
    built = build_cypher('Which books have the title "x\'}) DETACH DELETE b //"?', SCHEMA)
    assert built.text == "MATCH (b:Book) WHERE b.title = $p1 RETURN b LIMIT 100"
    assert built.parameters == {"p1": "x'}) DETACH DELETE b //"}
