"""What may run as Cypher: a grammar that only reads, names that the schema has, values bound, limits."""

from __future__ import annotations

import random
import string

import pytest

from app.errors import InvalidInput
from app.query.construction.cypher_check import check_cypher
from app.query.construction.cypher_given import cypher_schema, read_schema_text
from app.query.construction.cypher_parse import parse_statement
from app.query.construction.cypher_schema import CypherSchema, Edge, Label, Property
from app.query.construction.cypher_tokens import MAX_CHARS
from app.query.construction.cypher_tree import parameterized, statement_text

SCHEMA = CypherSchema(
    (
        Label("Person", (Property("name"), Property("born", "number"))),
        Label("Movie", (Property("title"), Property("released", "number"), Property("odd name"))),
    ),
    (
        Edge("ACTED_IN", "Person", "Movie", (Property("role"),)),
        Edge("FOLLOWS", "Person", "Person"),
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (p:Person) RETURN p.name",
        "MATCH (p:Person {name: 'Ann'})-[r:ACTED_IN]->(m:Movie) WHERE r.role = 'x' RETURN m.title AS t ORDER BY t DESC",
        "MATCH (m:Movie)<-[:ACTED_IN]-(p:Person) RETURN m, count(p) AS n ORDER BY n DESC SKIP 2 LIMIT 5",
        "MATCH (p:Person) OPTIONAL MATCH (p)-[:FOLLOWS]->(q:Person) RETURN p.name, count(DISTINCT q)",
        "MATCH (p:Person)--(m:Movie) RETURN p",
        "MATCH (p:Person)-[:FOLLOWS*1..3]->(q) RETURN q",
        "MATCH (p:Person)-[:ACTED_IN|FOLLOWS]->(x) RETURN x",
        "UNWIND ['a', 'b'] AS n MATCH (p:Person {name: n}) RETURN p",
        "MATCH (p:Person) WITH p.name AS n, count(*) AS c WHERE c > 1 AND NOT n STARTS WITH 'A' RETURN n, c",
        "MATCH (p:Person) WHERE (p)-[:FOLLOWS]->(:Person) AND NOT (p)-[:ACTED_IN]->(:Movie) RETURN p",
        "MATCH (p:Person) WHERE 1900 < p.born <= 2000 OR p.born IS NULL RETURN avg(p.born) AS a",
        "MATCH (m:Movie) WHERE m.`odd name` IN ['a', 'b'] XOR m.released * 2 - 1 > 3 RETURN m.`odd name` AS `order`",
        "match (p:Person) where p.born = -5 return distinct p.name limit 3",
        "MATCH (a:Person), (b:Person) WHERE a.name <> b.name RETURN a, b;",
    ],
)  # fmt: skip
def test_what_reads_is_taken_and_written_anew_as_the_same_tree(text: str) -> None:
    checked = check_cypher(text, SCHEMA)
    written = statement_text(checked)
    assert parse_statement(written) == checked
    assert check_cypher(written, SCHEMA) == checked
    assert checked.returned.limit is not None
    assert checked.returned.limit <= 100


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CREATE (p:Person)", "only reading is allowed"),
        ("MERGE (p:Person {name: 'x'}) RETURN p", "only reading is allowed"),
        ("MATCH (p:Person) DELETE p", "only reading is allowed"),
        ("MATCH (p:Person) DETACH DELETE p", "only reading is allowed"),
        ("MATCH (p:Person) SET p.name = 'x' RETURN p", "only reading is allowed"),
        ("MATCH (p:Person) REMOVE p.name RETURN p", "only reading is allowed"),
        ("MATCH (p:Person) CALL { CREATE (:Person) } RETURN p", "only reading is allowed"),
        ("CALL db.labels()", "only reading is allowed"),
        ("CALL show_tables() RETURN *", "only reading is allowed"),
        ("LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line", "only reading is allowed"),
        ("LOAD FROM '/etc/passwd' RETURN *", "only reading is allowed"),
        ("COPY (MATCH (p:Person) RETURN p) TO '/tmp/x.csv'", "only reading is allowed"),
        ("EXPORT DATABASE '/tmp/x'", "only reading is allowed"),
        ("INSTALL httpfs", "only reading is allowed"),
        ("ATTACH 'x' AS y", "only reading is allowed"),
        ("DROP TABLE Person", "only reading is allowed"),
        ("CREATE NODE TABLE T(id STRING PRIMARY KEY)", "only reading is allowed"),
        ("FOREACH (x IN [1] | CREATE (:Person))", "only reading is allowed"),
        ("EXPLAIN MATCH (p:Person) RETURN p", "only reading is allowed"),
        ("BEGIN TRANSACTION", "only reading is allowed"),
        ("MATCH (p:Person) RETURN p; MATCH (m:Movie) RETURN m", "one statement"),
        ("MATCH (p:Person) RETURN p UNION MATCH (m:Movie) RETURN m", "one statement"),
        ("MATCH (p:Person) RETURN p // DELETE p", "comment"),
        ("MATCH (p:Person) /* x */ RETURN p", "comment"),
        ("MATCH (p:Person) RETURN p -- x", "comment"),
        ("MATCH (p:Person)", "MATCH, OPTIONAL MATCH"),
        ("RETURN 1", "reads nothing"),
        ("", "MATCH, OPTIONAL MATCH"),
        ("MATCH (p:Persom) RETURN p", "label 'Persom' is not in the schema: use one of Person, Movie"),
        ("MATCH (p:Person)-[:KNOWS]->(q) RETURN p", "relationship 'KNOWS'"),
        ("MATCH (p:Person) RETURN p.age", "property 'age' is not in Person"),
        ("MATCH (p:Person {title: 'x'}) RETURN p", "property 'title' is not in Person"),
        ("MATCH (m:Movie)-[:ACTED_IN]->(p:Person) RETURN p", "turn its arrow round"),
        ("MATCH (m:Movie)-[:FOLLOWS]->(p:Person) RETURN p", "use one that the schema has"),
        ("MATCH (p:Person)-[r:ACTED_IN]->(m) RETURN r.name", "property 'name' is not in ACTED_IN"),
        ("MATCH (p:Person) RETURN q.name", "variable 'q' is not defined"),
        ("MATCH (p:Person) WITH p.name AS n RETURN p", "variable 'p' is not defined"),
        ("MATCH (p:Person) WHERE p.name = $x RETURN p", "parameter \\$x has no value"),
        ("MATCH (p:Person) RETURN apoc.load.json('http://x')", "where"),
        ("MATCH (p:Person) RETURN nextval('x')", r"function nextval\(\) is not allowed"),
        ("MATCH (p:Person)-[:FOLLOWS*]->(q) RETURN q", r"at most \*1..4"),
        ("MATCH (p:Person)-[:FOLLOWS*1..9]->(q) RETURN q", r"at most \*1..4"),
        ("MATCH p = shortestPath((a:Person)-[:FOLLOWS*1..3]-(b:Person)) RETURN p", "functions over paths"),
        ("MATCH (p:Person) RETURN p LIMIT -1", "a whole number"),
        ("MATCH (p:Person) RETURN p LIMIT $n", "a whole number"),
        ("MATCH (p:Person) RETURN p SKIP 200000", "SKIP is 200000"),
        ("MATCH (p:Person) WHERE EXISTS { MATCH (p)-[:FOLLOWS]->() } RETURN p", "should stand"),
        ("MATCH (p:Person) RETURN [x IN [1, 2] | x]", "should stand"),
        ("MATCH (p:Person) RETURN p.name = 'unclosed", "can't be read"),
        ("MATCH (p:Person) RETURN \x00", "can't be read"),
        ("MATCH (p:Person) WHERE p.born = 99999999999999999999 RETURN p", "at most 18 digits"),
        ("MATCH (p:Person)-[p:FOLLOWS]->(q) RETURN p", "is a node and a edge"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_its_reason(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        check_cypher(text, SCHEMA)


def test_strings_stay_strings_whatever_they_hold() -> None:
    text = r"""MATCH (p:Person) WHERE p.name = "x'}) DETACH DELETE p // \" \\ \u0041\n" RETURN p"""
    bound, parameters = parameterized(check_cypher(text, SCHEMA))
    assert parameters == {"p1": "x'}) DETACH DELETE p // \" \\ A\n"}
    assert statement_text(bound) == "MATCH (p:Person) WHERE p.name = $p1 RETURN p LIMIT 100"
    assert parse_statement(statement_text(check_cypher(text, SCHEMA))) == check_cypher(text, SCHEMA)


def test_values_are_bound_in_order_beside_names_that_are_taken() -> None:
    text = "MATCH (p:Person {name: 'a'}) WHERE p.born > 5 AND p.name <> $p2 AND true RETURN p LIMIT 7"
    bound, parameters = parameterized(check_cypher(text, SCHEMA, parameters=["p2"]), taken=["p2"])
    assert parameters == {"p1": "a", "p3": 5}
    written = "MATCH (p:Person {name: $p1}) WHERE p.born > $p3 AND p.name <> $p2 AND true RETURN p LIMIT 7"
    assert statement_text(bound) == written


def test_brackets_are_written_where_they_change_the_meaning() -> None:
    text = "MATCH (p:Person) WHERE NOT (p.born = 1 OR p.born = 2) AND (p.born - (1 - 2)) * 3 > 0 RETURN p LIMIT 100"
    assert statement_text(parse_statement(text)) == text


def test_the_limit_is_the_smaller_one() -> None:
    assert check_cypher("MATCH (p:Person) RETURN p LIMIT 5", SCHEMA, limit=10).returned.limit == 5
    assert check_cypher("MATCH (p:Person) RETURN p LIMIT 50", SCHEMA, limit=10).returned.limit == 10


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (p:Person) WHERE " + "(" * 200 + "p.born = 1" + ")" * 200 + " RETURN p",
        "MATCH (p:Person) WHERE " + "NOT " * 900 + "p.born = 1 RETURN p",
        "MATCH (p:Person) WHERE p.born = " + "1 + " * 2_000 + "1 RETURN p",
        "MATCH " + "(p:Person)-[:FOLLOWS]->" * 300 + "(q) RETURN q",
        "MATCH (p:Person {name: " + "(a {name: " * 60 + "1" + "})" * 60 + "}) RETURN p",
        "x" * (MAX_CHARS + 1),
    ],
)
def test_monsters_are_refused_and_not_run_into(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_cypher(text, SCHEMA)


def test_long_chains_below_the_limit_are_read_and_written() -> None:
    text = "MATCH (p:Person) WHERE p.born = " + " + ".join(["1"] * 350) + " RETURN p"
    bound, parameters = parameterized(check_cypher(text, SCHEMA))
    assert len(parameters) == 350
    assert statement_text(bound).count("$") == 350


def test_no_text_makes_anything_but_a_refusal_or_a_reading_statement() -> None:
    rng = random.Random(0)
    words = (
        "MATCH ( p : Person ) -[ : FOLLOWS ]-> WHERE p.name = 'x' RETURN p CREATE DELETE SET { } , ; $a 1 * .. ` \" --"
    )
    parts = [*words.split(), *string.printable]
    for _ in range(3_000):
        text = "".join(rng.choice(parts) + rng.choice(["", " "]) for _ in range(rng.randint(1, 30)))
        try:
            checked = check_cypher(text, SCHEMA)
        except InvalidInput:
            continue
        assert statement_text(checked).startswith(("MATCH", "OPTIONAL MATCH", "UNWIND", "WITH"))


def test_schemas_are_read_from_json_and_from_what_databases_print() -> None:
    given = {
        "nodes": [{"label": "Person", "properties": {"name": "string", "born": "integer"}}, "Movie"],
        "relationships": [{"type": "ACTED_IN", "start": "Person", "end": "Movie", "properties": {"role": "text"}}],
    }
    read = cypher_schema(given)
    assert [label.name for label in read.labels] == ["Person", "Movie"]
    assert read.edges == (Edge("ACTED_IN", "Person", "Movie", (Property("role"),)),)
    text = (
        'Node properties:\n- **Person**\n  - `name`: STRING Example: "Ann"\n  - `born`: INTEGER Min: 1\n'
        "- **Movie**\nRelationship properties:\n- **ACTED_IN**\n  - `role: STRING` \nThe relationships:\n"
        "(:Person)-[:ACTED_IN]->(:Movie)"
    )
    printed = read_schema_text(text)
    assert printed.labels[0] == Label("Person", (Property("name", "text", ("Ann",)), Property("born", "number")))
    assert printed.edges == read.edges
    assert cypher_schema({"text": text}) == printed


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "schema has no nodes"),
        ({"nodes": []}, "schema.nodes"),
        ({"nodes": [{"label": 5}]}, "is no name"),
        ({"nodes": ["A", "A"]}, "twice"),
        ({"nodes": ["A"], "relationships": [{"type": "R", "start": "A", "end": "B"}]}, "does not have"),
        ({"nodes": ["A"], "relationships": "R"}, "schema.relationships"),
        ({"nodes": ["A"], "relationships": [{"type": "R"}]}, "schema.relationships holds"),
        ({"nodes": [{"label": "A", "properties": {"x": "blob"}}]}, "has the type 'blob'"),
        ({"text": "nothing"}, "names no label"),
    ],
)
def test_schemas_that_do_not_hold_are_refused(given: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        cypher_schema(given)
