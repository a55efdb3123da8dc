"""`attest ask` and `attest search`: through the running server, or straight from the home where none runs."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.serve import HomeOption
from app.errors import InvalidInput

if TYPE_CHECKING:
    from app.settings import Settings
    from app.types import Style

CollectionsOption = Annotated[
    list[str] | None,
    typer.Option("--collection", "-c", help="Collection to look in; repeatable (default: default, or as routes say)."),
]

StyleOption = Annotated[
    Literal["auto", "short", "sentence", "paragraph", "list"] | None,
    typer.Option("--style", help="Form of the answer; auto is told by the question (default: as the settings say)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="The whole object of the HTTP contract.")]


def ask(
    question: Annotated[str, typer.Argument(help="The question, in quotes.")],
    as_json: JsonOption = False,
    collection: CollectionsOption = None,
    route: Annotated[
        str, typer.Option("--route", help="auto lets the declared routes choose; or the name of a route or collection.")
    ] = "auto",
    style: StyleOption = None,
    home: HomeOption = None,
) -> None:
    """Answer a question from the documents, with citations, or say that they do not hold it."""
    answer = _asked(question, collection, route, style, home)
    print(json.dumps(answer, ensure_ascii=False, indent=2) if as_json else _answer_text(answer))


def search(
    query: Annotated[str, typer.Argument(help="What to look for, in quotes.")],
    as_json: JsonOption = False,
    collection: CollectionsOption = None,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="How many chunks.")] = 10,
    route: Annotated[
        str | None, typer.Option("--route", help="auto, or the name of a route or collection (default: not routed).")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Find the chunks that match best, with every stage's score."""
    found = _searched(query, collection, route, top_k, home)
    print(json.dumps(found, ensure_ascii=False, indent=2) if as_json else _hits_text(found))


def _asked(question: str, collections: list[str] | None, route: str, style: Style | None, home: Any) -> dict[str, Any]:
    from app.cli.client import connect
    from app.cli.home import prepare

    settings = prepare(home)
    _check_length("question", question, settings)
    server = connect(settings)
    if server is not None:
        with server:
            body: dict[str, Any] = {"question": question, "route": route}
            body |= {"generation": {"style": style}} if style else {}
            answer: dict[str, Any] = server.post("/v1/ask", body | _given(collections))
            return answer

    from app.api.answers import answer_body
    from app.api.keys import ANYONE
    from app.api.routing import scope_of
    from app.bootstrap import build_services
    from app.telemetry import Trace
    from app.types import AskRequest, GenerationOptions

    services = build_services(settings)
    try:
        trace = Trace()
        scope = scope_of(services, ANYONE, route, collections or None)
        request = AskRequest(
            question,
            collections=scope.collections,
            route=scope.route,
            routes=scope.routes,
            context_chunks=settings.context.chunks,
            generation=GenerationOptions(style=style),
        )
        told = answer_body(services.pipeline.answer(request, trace), trace, with_trace=False)
        return told.model_dump(mode="json", exclude_unset=True)
    finally:
        services.close()


def _searched(query: str, collections: list[str] | None, route: str | None, top_k: int, home: Any) -> dict[str, Any]:
    from app.cli.client import connect
    from app.cli.home import prepare

    settings = prepare(home)
    _check_length("query", query, settings)
    if top_k > settings.limits.top_k:
        raise InvalidInput(f"--top-k {top_k} is over the limit {settings.limits.top_k} (ATTEST_LIMITS__TOP_K)")
    server = connect(settings)
    if server is not None:
        with server:
            body: dict[str, Any] = {"query": query, "top_k": top_k, **({"route": route} if route else {})}
            found: dict[str, Any] = server.post("/v1/search", body | _given(collections))
            return found

    from app.api.answers import RouteTakenBody
    from app.api.keys import ANYONE
    from app.api.routing import SEARCHED_KINDS, scope_of
    from app.api.search import HitBody, SearchResponse
    from app.bootstrap import build_services
    from app.pipeline import SearchRequest
    from app.telemetry import Trace

    services = build_services(settings)
    try:
        trace = Trace()
        scope = scope_of(services, ANYONE, route, collections or None, SEARCHED_KINDS)
        wanted = SearchRequest(
            query, collections=scope.collections, route=scope.route, routes=scope.routes, top_k=top_k
        )
        result = services.pipeline.search(wanted, trace)
        response = SearchResponse(
            hits=[HitBody.of(rank, hit) for rank, hit in enumerate(result.hits, start=1)],
            collection_generation=dict(result.generations),
            timings_ms=trace.timings_ms(),
            warnings=list(trace.warnings),
        )
        if result.route is not None:
            response = response.model_copy(update={"route": RouteTakenBody.of(result.route)})
        return response.model_dump(mode="json", exclude_unset=True)
    finally:
        services.close()


def _given(collections: list[str] | None) -> dict[str, Any]:
    """The collections of the command line; none leaves it to the routes, or to the default collection."""
    return {"collections": collections} if collections else {}


def _check_length(name: str, text: str, settings: Settings) -> None:
    if not text.strip():
        raise InvalidInput(f"the {name} is empty; write it in quotes")
    if len(text) > settings.limits.question_chars:
        raise InvalidInput(
            f"the {name} has {len(text)} characters; at most {settings.limits.question_chars} are allowed "
            "(ATTEST_LIMITS__QUESTION_CHARS)"
        )


def _answer_text(answer: dict[str, Any]) -> str:
    lines = [answer["answer"], ""]
    for citation in answer["citations"]:
        page = f", page {citation['page']}" if citation.get("page") else ""
        lines.append(f"[{citation['index']}] {citation['title']}{page} · {citation['document_id']}")
        lines.append(textwrap.indent(textwrap.fill(citation["quote"], 100), "    "))
    verdict = "abstained" if answer["abstained"] else f"confidence {answer['confidence']:.2f}"
    lines.append(f"({verdict}; {answer['model']}; {answer['timings_ms'].get('total', 0):.0f} ms)")
    lines += _route_text(answer)
    lines += [f"note: {warning}" for warning in answer.get("warnings", ())]
    return "\n".join(lines)


def _hits_text(found: dict[str, Any]) -> str:
    lines: list[str] = []
    for hit in found["hits"]:
        page = f", page {hit['page']}" if hit.get("page") else ""
        scores = "  ".join(f"{name} {score:.3f}" for name, score in hit["scores"].items() if score is not None)
        lines.append(f"{hit['rank']}. {hit['title']}{page} · {hit['chunk_id']}  ({scores})")
        lines.append(textwrap.indent(textwrap.shorten(hit["text"], 300, placeholder=" …"), "   "))
    lines = lines or ["nothing found"]
    lines += _route_text(found)
    lines += [f"note: {warning}" for warning in found.get("warnings", ())]
    return "\n".join(lines)


def _route_text(told: dict[str, Any]) -> list[str]:
    """Where it was routed, where routes took part, and the statement where a table or the graph answered."""
    lines = []
    if (taken := told.get("route")) is not None:
        where = taken["route"] if taken["route"] is not None else "no route was sure, so all were asked"
        lines.append(f"(route: {where}; {taken['how']}, {taken['score']:.2f})")
    if (result := told.get("result")) is not None:
        lines.append(f"(statement: {result['statement']})")
    return lines
