"""Where requests go once a route is chosen."""

from datetime import date
from types import SimpleNamespace

import pytest

from app.errors import Cancelled, Unavailable
from app.query.construction.sql_source import SqlSource
from app.query.routing.desk import Desk
from app.query.routing.router import Router
from app.query.routing.targets import TablesTarget
from app.query.routing.told import told_answer
from app.routing_types import Route
from app.telemetry import Trace
from app.types import AskRequest
from tests.fakes import FakeEncoder
from tests.unit.query.routing.declared import ROUTES, Scripted, shop

UNKNOWN = "Mount Everest height?"
BY_NAME = {route.name: route for route in ROUTES}


def desk(**targets):
    return Desk(Router(FakeEncoder()), targets, today=lambda: date(2026, 3, 1))


def named(name, question="What?"):
    return AskRequest(question, route=name, routes=(BY_NAME[name],))


def test_without_routes_nothing_happens():
    trace = Trace()
    request = AskRequest("What?", ("a", "b"))
    directed = desk().direct("What?", request, trace)
    assert (directed.request, directed.taken, trace.stages()) == (request, None, ())


def test_a_named_route_asks_its_collections_and_tells_the_model_its_words():
    route = Route("law", collections=("contracts",), template="Name the clause.")
    directed = desk().direct("What?", AskRequest("What?", route="law", routes=(route,)), Trace())
    assert (directed.request.collections, directed.request.guidance) == (("contracts",), "Name the clause.")
    assert (directed.taken.route, directed.taken.kind, directed.taken.score) == ("law", "named", 1.0)


def test_a_route_without_collections_leaves_them():
    route = Route("brief", template="One sentence.")
    directed = desk().direct("What?", AskRequest("What?", ("a",), route="brief", routes=(route,)), Trace())
    assert (directed.request.collections, directed.request.guidance) == (("a",), "One sentence.")


def test_an_unsure_question_is_asked_everywhere_and_the_trace_says_what_was_likely():
    trace = Trace()
    directed = desk().direct(UNKNOWN, AskRequest(UNKNOWN, ("a", "b"), routes=ROUTES), trace)
    assert directed.request.collections == ("a", "b")
    assert (directed.taken.route, directed.taken.target) == (None, None)
    assert {name for name, _ in directed.taken.alternatives} == set(BY_NAME)
    (stage,) = trace.stages()
    assert (stage.stage, stage.detail["route"]) == ("route", None)
    assert stage.detail["alternatives"][0]["score"] == directed.taken.score


@pytest.mark.parametrize(("question", "says"), [("Hello", "I answer questions"), ("你好", "根据这里的文档")])
def test_chit_chat_is_answered_without_asking_anybody(question, says):
    directed = desk().direct(question, AskRequest(question, routes=ROUTES), Trace())
    answer = told_answer(directed, 0.5, Trace())
    assert says in answer.answer
    assert (answer.abstained, answer.citations, answer.passages, answer.model) == (False, (), (), "fixed-reply")
    assert answer.confidence >= answer.threshold
    assert answer.confidence_kind == "routing"


def test_a_refusing_route_abstains_in_its_own_words_or_ours():
    answer = told_answer(desk().direct("What?", named("advice"), Trace()), 0.5, Trace())
    assert answer.abstained
    assert answer.confidence < answer.threshold
    assert "not answered here" in answer.answer
    own = Route("no", "refuse", reply="Ask a doctor.")
    directed = desk().direct("What?", AskRequest("What?", route="no", routes=(own,)), Trace())
    assert directed.reply == "Ask a doctor."


def test_a_sql_route_answers_with_its_statement(tmp_path):
    source = SqlSource("shop", shop(tmp_path / "shop.db"))
    trace = Trace()
    directed = desk(sql=lambda route: TablesTarget([source], FakeEncoder(), None)).direct(
        "How many orders did Ada place?", named("orders"), trace
    )
    answer = told_answer(directed, 0.5, trace)
    assert directed.result.rows == ((2,),)
    assert "2" in answer.answer
    assert (answer.abstained, answer.model, answer.short_answer) == (False, "rules", "2")
    assert answer.result.statement.startswith("SELECT COUNT(")
    assert [stage.stage for stage in trace.stages()] == ["route", "look_up"]


@pytest.mark.parametrize("question", ["Why is the sky blue?", "What is the amount of the customer Zoe?", "?"])
def test_what_no_statement_answers_is_searched_as_text_and_says_why(tmp_path, question):
    source = SqlSource("shop", shop(tmp_path / "shop.db"))
    trace = Trace()
    directed = desk(sql=lambda route: TablesTarget([source], FakeEncoder(), None)).direct(
        question, named("orders"), trace
    )
    assert (directed.result, directed.reply) == (None, None)
    assert directed.taken.explanation
    assert "documents were searched instead" in trace.warnings[0]
    assert trace.stages()[-1].error


def test_a_target_that_is_not_set_up_falls_back_too():
    directed = desk().direct("What?", named("orders"), Trace())
    assert "not set up" in directed.taken.explanation


def test_the_first_source_with_an_answer_is_heard(tmp_path):
    gone = SqlSource("gone", tmp_path / "gone.db")
    source = SqlSource("shop", shop(tmp_path / "shop.db"))
    target = TablesTarget([gone, source], FakeEncoder(), None)
    found = target.ask("How many orders?", today=date(2026, 3, 1), model=None, cancelled=lambda: False)
    assert found.short_answer == "3"
    with pytest.raises(Unavailable, match="gone"):
        TablesTarget([gone], FakeEncoder(), None).ask(
            "How many orders?", today=date(2026, 3, 1), model=None, cancelled=lambda: False
        )


def test_a_cancelled_look_up_ends_the_request():
    def gone(*_, **__):
        raise Cancelled("the caller went away")

    with pytest.raises(Cancelled):
        desk(sql=lambda route: SimpleNamespace(ask=gone)).direct("What?", named("orders"), Trace())


def test_the_graph_is_opened_for_the_collections_of_the_request():
    opened = []

    def open_graph(route):
        opened.append(route.collections)
        raise Unavailable("the graph is empty")

    route = Route("net", "graph")
    request = AskRequest("Who?", ("a",), route="net", routes=(route,))
    directed = desk(graph=open_graph).direct("Who?", request, Trace())
    assert (opened, directed.taken.explanation) == ([("a",)], "the graph is empty")


def test_a_model_that_fails_is_told():
    trace = Trace()
    built = Desk(Router(FakeEncoder(), Scripted(Unavailable("it is down"))))
    built.direct(UNKNOWN, AskRequest(UNKNOWN, routes=ROUTES), trace)
    assert trace.warnings == ["routing: it is down; embeddings chose instead"]
    assert trace.stages()[0].error == "it is down"
