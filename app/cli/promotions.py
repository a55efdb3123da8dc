"""What `attest calibrations` and `attest rerankers` share: a server or a home behind one face, and four commands."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from app.cli.home import prepare
from app.cli.serve import HomeOption
from app.errors import AttestError

if TYPE_CHECKING:
    from app.api import promotions
    from app.api.background import Background
    from app.api.wire import WireResponse
    from app.cli.client import Server
    from app.index.catalog import Catalog
    from app.index.jobs import JobQueue
    from app.settings import Settings

CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="Whose.")]
OnlyOption = Annotated[str | None, typer.Option("--collection", "-c", help="Only this collection's.")]
VersionArgument = Annotated[str, typer.Argument(metavar="ID", help="As `list` names it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The objects of the HTTP contract.")]


class Versions(Protocol):
    """Versions of one kind as JSON objects of the HTTP contract: a running server's, or a home's directly."""

    def all(self, collection: str | None) -> dict[str, Any]: ...
    def ratings(self, collection: str) -> dict[str, Any]: ...
    def train(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The job that trained, once it has ended; `body` is that of POST …/train."""

    def roll_back(self, collection: str) -> dict[str, Any]: ...
    def activate(self, version_id: str) -> dict[str, Any]: ...


class Served:
    """Through a running server, whose address for them is `path`."""

    def __init__(self, server: Server, path: str) -> None:
        self._server = server
        self._path = path

    def all(self, collection: str | None) -> dict[str, Any]:
        found: dict[str, Any] = self._server.get(self._path, collection=collection)
        return found

    def ratings(self, collection: str) -> dict[str, Any]:
        found: dict[str, Any] = self._server.get(f"{self._path}/ratings", collection=collection)
        return found

    def train(self, body: Mapping[str, Any]) -> dict[str, Any]:
        from app.cli.eval import watch

        started = self._server.post(f"{self._path}/train", body)
        path = f"/v1/jobs/{started['job']['id']}"

        def look() -> tuple[str, int, int]:
            job = self._server.get(path)
            return job["status"], int(job["progress"]["done"]), int(job["progress"]["total"])

        watch(look, "training")
        ended: dict[str, Any] = self._server.get(path)
        return ended

    def roll_back(self, collection: str) -> dict[str, Any]:
        done: dict[str, Any] = self._server.post(f"{self._path}/rollback", {"collection": collection})
        return done

    def activate(self, version_id: str) -> dict[str, Any]:
        from urllib.parse import quote

        done: dict[str, Any] = self._server.post(f"{self._path}/{quote(version_id, safe='')}/activate", {})
        return done


class AtHome(ABC):
    """On the home directly; each kind says how it lists, counts and trains."""

    versions: promotions.Versions[Any]

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings = settings
        self.catalog = catalog

    @abstractmethod
    def listing(self, collection: str | None) -> WireResponse: ...
    @abstractmethod
    def rated(self, collection: str) -> WireResponse: ...
    @abstractmethod
    def train(self, body: Mapping[str, Any]) -> dict[str, Any]: ...

    def all(self, collection: str | None) -> dict[str, Any]:
        return self.listing(collection).model_dump(mode="json")

    def ratings(self, collection: str) -> dict[str, Any]:
        return self.rated(collection).model_dump(mode="json")

    def roll_back(self, collection: str) -> dict[str, Any]:
        return self.versions.roll_back(collection).model_dump(mode="json")

    def activate(self, version_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.versions.activate(version_id).model_dump(mode="json")
        return found


def work_off(jobs: JobQueue, background: Background, job_id: str) -> dict[str, Any]:
    """The job, once the background thread, which runs only meanwhile, has brought it to its end."""
    from app.api.jobs import job_body
    from app.cli.eval import watch

    def look() -> tuple[str, int, int]:
        job = jobs.get(job_id)
        return job.status, job.done, job.total

    background.start()
    try:
        watch(look, "training")
    finally:
        background.stop()
    return job_body(jobs.get(job_id), []).model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of version: `noun` is what its commands call it, `told` says what ratings and a list come to."""

    noun: str
    at_home: Callable[[Settings, Catalog], Versions]
    listed: Callable[[Mapping[str, Any]], str]
    told: Callable[[Mapping[str, Any], Mapping[str, Any]], str]

    @contextmanager
    def opened(self, settings: Settings) -> Iterator[Versions]:
        """Those of the server that runs, or of the home where none does."""
        from app.cli.client import connect

        server = connect(settings)
        if server is not None:
            with server:
                yield Served(server, f"/v1/{self.noun}s")
            return
        from app.index.catalog import Catalog

        catalog = Catalog.open(settings.database_url)
        try:
            yield self.at_home(settings, catalog)
        finally:
            catalog.close()


def commands(kind: Kind, about: str) -> typer.Typer:
    """`list`, `show`, `rollback` and `activate`, to which the kind adds the command that trains."""
    noun = kind.noun
    cli = typer.Typer(no_args_is_help=True, help=about)

    @cli.command("list", help=f"Every {noun} with its figures, newest first, the shipped one last.")
    def list_(collection: OnlyOption = None, as_json: JsonOption = False, home: HomeOption = None) -> None:
        with kind.opened(prepare(home)) as versions:
            found = versions.all(collection)
        print(as_text(found) if as_json else kind.listed(found))

    @cli.command(help="Say what serves a collection, how many ratings there are and are needed, and what it is worth.")
    def show(collection: CollectionOption = "default", as_json: JsonOption = False, home: HomeOption = None) -> None:
        with kind.opened(prepare(home)) as versions:
            ratings, found = versions.ratings(collection), versions.all(collection)
        print(as_text({"ratings": ratings, **found}) if as_json else kind.told(ratings, found))

    @cli.command(help=f"Take a collection's {noun} out of service: the one before it serves again, or the shipped one.")
    def rollback(
        collection: CollectionOption = "default", as_json: JsonOption = False, home: HomeOption = None
    ) -> None:
        with kind.opened(prepare(home)) as versions:
            done = versions.roll_back(collection)
        active = done["active"]["id"]
        serving = f"the shipped {noun}" if active == "shipped" else active
        print(as_text(done) if as_json else f"{done['removed']['id']} no longer serves {collection}: {serving} does")

    @cli.command(help=f"Put a {noun} that served before back into service.")
    def activate(version_id: VersionArgument, as_json: JsonOption = False, home: HomeOption = None) -> None:
        with kind.opened(prepare(home)) as versions:
            done = versions.activate(version_id)
        print(as_text(done) if as_json else f"{done['id']} serves {done['collection']} again")

    return cli


def result_of(job: Mapping[str, Any], what: str) -> dict[str, Any]:
    """What the job found. Raises AttestError with its reason where it did not succeed."""
    if job["status"] != "succeeded":
        raise AttestError(f"the {what} {job['status']}: {job['error'] or 'see `attest status`'}")
    found: dict[str, Any] = job["result"]
    return found


def as_text(body: Mapping[str, Any]) -> str:
    """JSON for people and programs."""
    return json.dumps(body, ensure_ascii=False, indent=2)
