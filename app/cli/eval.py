"""`attest eval`: a golden set asked of a collection, through the running server or straight from the home."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.serve import HomeOption
from app.errors import AttestError, InvalidInput

if TYPE_CHECKING:
    from app.api.evaluation_bodies import EvaluateBody
    from app.cli.client import Server
    from app.settings import Settings

POLL_S = 0.25
ENDED = ("succeeded", "failed", "cancelled")


def evaluate(
    golden: Annotated[Path, typer.Argument(help="JSON Lines: question, and answers, relevant ids or answerable.")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Collection to ask.")] = "default",
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", help="JSON list of partial ask bodies to compare, each with an optional name."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole object of the HTTP contract.")] = False,
    home: HomeOption = None,
) -> None:
    """Measure recall, answers, citations, abstention and latency; settings are compared question by question."""
    from app.cli.client import connect
    from app.cli.home import prepare
    from app.evaluation.table import report_table

    settings = prepare(home)
    body = read_request(golden, settings_file, collection, settings)
    server = connect(settings)
    if server is not None:
        with server:
            done = _through(server, body)
    else:
        done = _directly(settings, body)
    if done["status"] != "succeeded":
        raise AttestError(f"the evaluation {done['status']}: {done['error'] or 'see `attest status`'}")
    print(json.dumps(done, ensure_ascii=False, indent=2) if as_json else report_table(done))


def read_request(golden: Path, settings_file: Path | None, collection: str, settings: Settings) -> EvaluateBody:
    """The request that the files make, checked as the server checks it.

    Raises:
        InvalidInput: a file can not be read, or a line is wrong; the message names file, line and field.
    """
    from pydantic import ValidationError

    from app.api.errors import FieldProblem, InvalidFields, field_problems
    from app.api.evaluation_bodies import EvaluateBody

    rows, lines = _json_lines(golden)
    asked: dict[str, Any] = {"collection": collection, "golden": rows}
    if settings_file is not None:
        asked["settings"] = _json_list(settings_file)

    def told(problem: FieldProblem, skipped: int) -> str:
        place = list(problem.loc[skipped:])
        if place[:1] == ["golden"] and len(place) > 1:
            field = ".".join(str(part) for part in place[2:])
            return f"{golden} line {lines[int(place[1])]}: {field + ': ' if field else ''}{problem.msg}"
        source = settings_file if place[:1] == ["settings"] else golden
        return f"{source}: {'.'.join(str(part) for part in place)}: {problem.msg}"

    try:
        body = EvaluateBody.model_validate(asked)
        body.checked(settings)
    except ValidationError as error:
        problems = [told(problem, 0) for problem in field_problems(error.errors())]
    except InvalidFields as error:
        problems = [told(problem, 1) for problem in error.errors]
    else:
        return body
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    raise InvalidInput("; ".join(problems[:3]) + more)


def _json_lines(path: Path) -> tuple[list[Any], list[int]]:
    """The objects of the file and the line that each stands on."""
    rows: list[Any] = []
    lines: list[int] = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"{path} line {number} is no JSON ({error}): each line must hold one object") from None
        lines.append(number)
    if not rows:
        raise InvalidInput(f'{path} holds no question: write one JSON object a line, like {{"question": "…"}}')
    return rows, lines


def _json_list(path: Path) -> list[Any]:
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is no JSON ({error}): write a list of settings, like [{{}}]") from None
    if not isinstance(found, list):
        raise InvalidInput(f'{path} must hold a JSON list of settings, like [{{}}, {{"rerank": false}}]')
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path} can not be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from None


def _through(server: Server, body: EvaluateBody) -> dict[str, Any]:
    started = server.post("/v1/evaluations", body.model_dump(mode="json", exclude_unset=True))
    job_id = str(started["job"]["id"])

    def look() -> tuple[str, int, int]:
        job = server.get(f"/v1/jobs/{job_id}")
        return job["status"], int(job["progress"]["done"]), int(job["progress"]["total"])

    watch(look, "asking")
    done: dict[str, Any] = server.get(f"/v1/evaluations/{job_id}")
    return done


def _directly(settings: Settings, body: EvaluateBody) -> dict[str, Any]:
    from app.api.background import directly
    from app.api.chores import build_background
    from app.api.evaluation_bodies import evaluation_body
    from app.api.evaluations import check_relevant
    from app.bootstrap import build_services
    from app.index.evaluations import EvaluationStore

    services = build_services(settings)
    try:
        golden, wanted = body.checked(settings)
        store = EvaluationStore(services.catalog)
        check_relevant(store, body.collection, golden)
        record = store.start(body.collection, golden, wanted)
        background = build_background(services, directly)
        background.start()
        try:
            watch(lambda: _progress(store, record.id), "asking")
        finally:
            background.stop()
        return evaluation_body(store.get(record.id)).model_dump(mode="json")
    finally:
        services.close()


def _progress(store: Any, evaluation_id: str) -> tuple[str, int, int]:
    job = store.get(evaluation_id).job
    return job.status, job.done, job.total


def watch(look: Callable[[], tuple[str, int, int]], what: str) -> str:
    """Draws a bar until `look()`, which gives (status, done, total), says that the job has ended; returns how."""
    from tqdm import tqdm

    pause = threading.Event()
    with tqdm(desc=what, unit="question", disable=None, leave=False) as bar:
        while True:
            status, bar.n, bar.total = look()
            bar.refresh()
            if status in ENDED:
                return status
            pause.wait(POLL_S)
