"""Questions to a collection's own graph: the statement, the rows, the answer with its citations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from app.errors import IntegrityError, InvalidInput, MissingPackage, Unavailable
from app.index import graph_engine
from app.index.publishing import delete_document
from app.query.construction.cypher_answer import answer_of
from app.query.construction.cypher_questions import build_graph_question
from app.query.construction.cypher_source import GraphSource
from app.query.graph_target import GraphTarget
from app.routing_types import StructuredResult
from app.types import Message
from tests.unit.ingestion.graph_house import House

pytest.importorskip("ladybug", reason="the graph engine is an optional package")

FIRST = (
    "Paris is the capital of France. Acme Corporation was founded by Ada Byron and Karl Weiss. "
    "The World Health Organization (WHO) praised Acme Corporation. Acme Corporation is a steel maker.\n"
)
SECOND = "Karl Weiss met Ada Byron in Paris. WHO is based in Geneva. 法国的首都是巴黎。小米科技有限公司由雷军创办。"
TODAY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("graph"))
    made.add(FIRST, title="Founders of industry")
    made.add(SECOND, title="Meetings")
    assert made.builder.build(made.record)
    yield made
    made.catalog.close()


def source(house: House, **limits: Any) -> GraphSource:
    return GraphSource("default", house.index.collection(house.record.id), **{"time_limit_ms": 60_000.0, **limits})


def ask(house: House, question: str, model: Any = None) -> StructuredResult:
    target = GraphTarget([source(house)], house.catalog)
    return target.ask(question, today=TODAY, model=model, cancelled=lambda: False)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the capital of France?", "Paris"),
        ("Who founded Acme Corporation?", "Ada Byron, Karl Weiss"),
        ("Acme Corporation was founded by whom?", "Ada Byron, Karl Weiss"),
        ("What did Karl Weiss found?", "Acme Corporation"),
        ("Which companies were founded by Ada Byron?", "Acme Corporation"),
        ("What is Acme Corporation?", "steel maker"),
        ("Where is the WHO based?", "Geneva"),
        ("Which documents mention Acme Corporation?", "Founders of industry"),
        ("Which documents mention Karl Weiss?", "Founders of industry, Meetings"),
        ("Which documents mention both Karl Weiss and Geneva?", "Meetings"),
        ("How many documents mention Paris?", "2"),
        ("How many documents are there?", "2"),
        ("How many times is Acme Corporation mentioned?", "3"),
        ("What do Acme Corporation and Paris have in common?", "Ada Byron, Karl Weiss"),
        ("How are Acme Corporation and Ada Byron related?", "Acme Corporation – founded by – Ada Byron"),
        ("What is related to the World Health Organization?", "Acme Corporation"),
        ('Which sections does the document "Founders" have?', "Facts"),
        ("法国的首都是什么？", "巴黎"),
        ("哪些文档提到了小米科技有限公司？", "Meetings"),
        ("小米科技有限公司是由谁创办的？", "雷军"),
    ],
)
def test_questions_by_pattern(house: House, question: str, answer: str) -> None:
    assert ask(house, question).short_answer == answer


def test_every_citation_is_the_stored_text_at_its_place(house: House) -> None:
    result = ask(house, "Who founded Acme Corporation?")
    assert result.text == "Ada Byron [1], Karl Weiss [1]"
    (citation,) = result.citations
    text = house.catalog.get_text(citation.document_id, citation.version)
    assert citation.quote == text[citation.char_start : citation.char_end]
    assert citation.quote == "Acme Corporation was founded by Ada Byron and Karl Weiss."
    assert result.text[citation.answer_start : citation.answer_end] == "Ada Byron"
    listed = ask(house, "Which documents mention Karl Weiss?")
    assert listed.text == "Founders of industry [1], Meetings [2]"
    assert [citation.title for citation in listed.citations] == ["Founders of industry", "Meetings"]
    assert all("Karl Weiss" in citation.quote for citation in listed.citations)


def test_values_are_bound_and_the_statement_is_one_that_the_check_lets_pass(house: House) -> None:
    result = ask(house, "What is the capital of France?")
    assert result.parameters == {"p1": "france", "p2": "capital of"}
    assert "france" not in result.statement
    assert "LIMIT 100" in result.statement


@pytest.mark.parametrize(
    "question",
    [
        "What is the population of France?",
        "Which documents mention Atlantis?",
        "How many documents mention Atlantis?",
        "Why?",
        "",
        "'}) DETACH DELETE (n) //",
        "MATCH (n) DETACH DELETE n",
        "x" * 5_000,
    ],
)
def test_what_the_graph_does_not_hold_is_said(house: House, question: str) -> None:
    with pytest.raises(Unavailable, match="no statement for the graph of 'default'"):
        ask(house, question)
    assert house.ask("MATCH (d:Document) RETURN count(*)") == [(2,)]


def test_a_condition_that_was_not_read_is_told_and_makes_unsure(house: House) -> None:
    plain = build_graph_question("Which documents mention Paris?", source(house))
    more = build_graph_question("Which recent documents mention Paris?", source(house))
    assert plain.confidence == 0.9
    assert more.confidence == 0.45
    assert "Not read: 'recent'" in more.explanation


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE (:Entity {id: 'x'})",
        "MATCH (e:Entity) SET e.name = 'x' RETURN e",
        "MATCH (e:Entity) DETACH DELETE e",
        "COPY (MATCH (e:Entity) RETURN e.id) TO '/tmp/out.csv'",
        "EXPORT DATABASE '/tmp/out'",
        "LOAD FROM '/etc/passwd' RETURN *",
        "CALL show_tables() RETURN *",
        "MATCH (e:Entity) RETURN e.id; MATCH (d:Document) RETURN d.id",
        "INSTALL httpfs",
        "ATTACH '/tmp/x' AS y (dbtype lbug)",
    ],
)
def test_nothing_but_reading_runs(house: House, statement: str) -> None:
    with pytest.raises(InvalidInput):
        source(house).execute(statement, {})


def test_rows_and_time_are_limited(house: House) -> None:
    few = source(house, row_limit=2).execute("MATCH (e:Entity) RETURN e.id LIMIT 50", {})
    assert len(few.rows) == 2
    assert few.truncated
    slow = "MATCH (a:Entity), (b:Entity), (c:Entity), (d:Entity), (e:Entity), (f:Entity), (g:Entity), (h:Entity) "
    with pytest.raises(Unavailable, match="took longer than 20 ms"):
        source(house, time_limit_ms=20.0).execute(
            slow + "WHERE a.id + b.id + c.id + d.id + e.id + f.id + g.id + h.id = 'none' RETURN count(*)", {}
        )


def test_nodes_come_as_their_properties(house: House) -> None:
    found = source(house).execute("MATCH (e:Entity {id: 'paris'}) RETURN e", {})
    assert found.rows == (({"id": "paris", "name": "Paris", "kind": "name", "acronym": ""},),)


def test_a_graph_of_another_generation_is_not_asked(tmp_path: Path) -> None:
    house = House(tmp_path)
    document = house.add("Rome is the capital of Italy.")
    with pytest.raises(Unavailable, match=r'"graph\.enabled": true'):
        ask(house, "What is the capital of Italy?")
    assert house.builder.build(house.record)
    statement = build_graph_question("What is the capital of Italy?", source(house))
    found = source(house).execute(statement.text, statement.parameters)
    house.add("Oslo is the capital of Norway.")
    with pytest.raises(Unavailable, match="no graph of its present documents"):
        ask(house, "What is the capital of Italy?")
    assert house.builder.build(house.record)
    assert ask(house, "What is the capital of Norway?").short_answer == "Oslo"
    delete_document(house.catalog, house.index, house.blobs, document)
    assert answer_of("?", statement, found, house.catalog).citations == ()  # read before, deleted since
    house.catalog.close()


def test_a_span_that_the_text_does_not_have_stops_the_answer(house: House) -> None:
    statement = build_graph_question("What is the capital of France?", source(house))
    found = source(house).execute(statement.text, statement.parameters)
    wrong = tuple((*row[:3], row[3], 10_000) for row in found.rows)
    with pytest.raises(IntegrityError, match="whose text has"):
        answer_of("?", statement, graph_engine.GraphRows(found.columns, wrong, False), house.catalog)


class Model:
    """A `TextModel` that says what it was given to say."""

    name = "remote:test"

    def __init__(self, *says: str) -> None:
        self._says = list(says)
        self.asked: list[str] = []

    def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        self.asked.append("\n".join(message.content for message in messages))
        assert schema is not None
        return self._says.pop(0)


def test_a_models_statement_is_checked_bound_and_run(house: House) -> None:
    model = Model(
        '{"cypher": "MATCH (a:Entity)-[r:RELATION]->(b:Entity) WHERE b.id = \'france\' RETURN a.name AS x, '
        'r.document_id AS document_id, r.version AS version, r.char_start AS char_start, r.char_end AS char_end"}'
    )
    result = ask(house, "Which city governs France?", model)
    assert result.short_answer == "Paris"
    assert result.how == "remote:test"
    assert result.parameters == {"p1": "france"}
    assert result.citations[0].quote == "Paris is the capital of France."
    assert "(:Entity)-[:RELATION]->(:Entity)" in model.asked[0]


@pytest.mark.parametrize(
    "written",
    [
        '{"cypher": "MATCH (n) DETACH DELETE n"}',
        '{"cypher": "MATCH (a:Person) RETURN a"}',
        '{"cypher": ""}',
        "no json",
        '{"cypher": "MATCH (e:Entity) RETURN round(e.name) AS x"}',
    ],
)
def test_a_models_failure_falls_back_to_the_rules(house: House, written: str) -> None:
    result = ask(house, "What is the capital of France?", Model(written))
    assert result.short_answer == "Paris"
    assert result.how == "rules"


def test_without_the_engine_the_error_names_the_remedy(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise MissingPackage(f"a knowledge graph needs the package ladybug: {graph_engine.REMEDY}")

    monkeypatch.setattr(graph_engine, "_engine", missing)
    with pytest.raises(Unavailable, match=r"pip install 'attest-rag\[graph\]'"):
        ask(house, "What is the capital of France?")
