"""`attest calibrations`: how a collection's own confidence is doing, fitted, put into service and taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from app.cli.calibration_text import fitted_text, list_text, state_text
from app.cli.serve import HomeOption
from app.errors import AttestError

if TYPE_CHECKING:
    from pathlib import Path

    from app.cli.client import Server
    from app.index.catalog import Catalog
    from app.settings import Settings

cli = typer.Typer(
    no_args_is_help=True, help="A collection's own confidence: its state, a fit to ratings, and the way back."
)
CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="Whose calibration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The objects of the HTTP contract.")]


class Calibrations(Protocol):
    """Calibrations as JSON objects of the HTTP contract: a running server's, or a home's directly."""

    def all(self, collection: str | None) -> list[dict[str, Any]]: ...
    def ratings(self, collection: str) -> dict[str, Any]: ...
    def fit(self, collection: str) -> dict[str, Any]:
        """The job that fitted, once it has ended."""

    def roll_back(self, collection: str) -> dict[str, Any]: ...
    def activate(self, calibration_id: str) -> dict[str, Any]: ...


class Served:
    """Through a running server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def all(self, collection: str | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._server.get("/v1/calibrations", collection=collection)["data"]
        return found

    def ratings(self, collection: str) -> dict[str, Any]:
        found: dict[str, Any] = self._server.get("/v1/calibrations/ratings", collection=collection)
        return found

    def fit(self, collection: str) -> dict[str, Any]:
        from app.cli.eval import watch

        started = self._server.post("/v1/calibrations/train", {"collection": collection})
        path = f"/v1/jobs/{started['job']['id']}"

        def look() -> tuple[str, int, int]:
            job = self._server.get(path)
            return job["status"], int(job["progress"]["done"]), int(job["progress"]["total"])

        watch(look, "fitting")
        ended: dict[str, Any] = self._server.get(path)
        return ended

    def roll_back(self, collection: str) -> dict[str, Any]:
        done: dict[str, Any] = self._server.post("/v1/calibrations/rollback", {"collection": collection})
        return done

    def activate(self, calibration_id: str) -> dict[str, Any]:
        from urllib.parse import quote

        done: dict[str, Any] = self._server.post(f"/v1/calibrations/{quote(calibration_id, safe='')}/activate", {})
        return done


class AtHome:
    """On the home directly; a fit needs no model, so none is loaded."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        from app.api.calibrations import calibrations
        from app.bootstrap.generators import calibration_id

        self._settings = settings
        self._catalog = catalog
        self._serving = calibration_id(settings)
        self._versions = calibrations(catalog, self._serving)

    def all(self, collection: str | None) -> list[dict[str, Any]]:
        return [each.model_dump(mode="json") for each in self._versions.all(collection)]

    def ratings(self, collection: str) -> dict[str, Any]:
        from app.api.calibration_bodies import ratings_body

        return ratings_body(self._catalog, collection, self._serving).model_dump(mode="json")

    def fit(self, collection: str) -> dict[str, Any]:
        from app.api.background import Background
        from app.api.chores import calibrating
        from app.api.jobs import job_body
        from app.cli.eval import watch
        from app.index.calibrations import KIND
        from app.index.jobs import JobQueue

        self._catalog.get_collection(collection)
        jobs = JobQueue(self._catalog, max_attempts=self._settings.worker.max_attempts)
        work = {KIND: calibrating(self._catalog, jobs, self._serving)}
        job_id = jobs.enqueue(KIND, {}, collection, unit="answers").id
        background = Background(jobs, work, self._settings.worker)
        background.start()

        def look() -> tuple[str, int, int]:
            job = jobs.get(job_id)
            return job.status, job.done, job.total

        try:
            watch(look, "fitting")
        finally:
            background.stop()
        return job_body(jobs.get(job_id), []).model_dump(mode="json")

    def roll_back(self, collection: str) -> dict[str, Any]:
        return self._versions.roll_back(collection).model_dump(mode="json")

    def activate(self, calibration_id: str) -> dict[str, Any]:
        return self._versions.activate(calibration_id).model_dump(mode="json")


@contextmanager
def opened(home: Path | None) -> Iterator[Calibrations]:
    """The calibrations of the server that runs, or of the home where none does."""
    from app.cli.client import connect
    from app.cli.home import prepare

    settings = prepare(home)
    server = connect(settings)
    if server is not None:
        with server:
            yield Served(server)
        return
    from app.index.catalog import Catalog

    catalog = Catalog.open(settings.database_url)
    try:
        yield AtHome(settings, catalog)
    finally:
        catalog.close()


@cli.command("list")
def list_(
    collection: Annotated[str | None, typer.Option("--collection", "-c", help="Only this collection's.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Every calibration with its figures, newest first, the shipped one last."""
    with opened(home) as calibrations:
        found = calibrations.all(collection)
    print(_json({"data": found}) if as_json else list_text(found))


@cli.command()
def show(collection: CollectionOption = "default", as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Say what serves a collection, how many ratings there are and are needed, and what its confidence is worth."""
    with opened(home) as calibrations:
        ratings, found = calibrations.ratings(collection), calibrations.all(collection)
    print(_json({"ratings": ratings, "data": found}) if as_json else state_text(ratings, found))


@cli.command()
def fit(collection: CollectionOption = "default", as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Fit a calibration to the ratings of a collection's answers; it serves only if held-out log loss falls."""
    with opened(home) as calibrations:
        job = calibrations.fit(collection)
    if job["status"] != "succeeded":
        raise AttestError(f"the fit {job['status']}: {job['error'] or 'see `attest status`'}")
    print(_json(job["result"]) if as_json else fitted_text(job["result"], collection))


@cli.command()
def rollback(collection: CollectionOption = "default", as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Take a collection's calibration out of service: the one before it serves again, or the shipped one."""
    with opened(home) as calibrations:
        done = calibrations.roll_back(collection)
    active = done["active"]["id"]
    serving = "the shipped calibration" if active == "shipped" else active
    print(_json(done) if as_json else f"{done['removed']['id']} no longer serves {collection}: {serving} does")


@cli.command()
def activate(
    calibration_id: Annotated[str, typer.Argument(metavar="ID", help="As `attest calibrations list` names it.")],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Put a calibration that served before back into service."""
    with opened(home) as calibrations:
        done = calibrations.activate(calibration_id)
    print(_json(done) if as_json else f"{done['id']} serves {done['collection']} again")


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2)
