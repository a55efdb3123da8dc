"""The two ways documents get in from the command line: a running server, or the home directory itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from app.cli.home import living
from app.errors import InvalidInput, NotFound
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.jobs import JobQueue
from app.index.records import NewDocument

if TYPE_CHECKING:
    from app.cli.client import Server
    from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Source:
    """A file on disk and the name that it is stored under: its path below the folder that was given."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that was taken. A duplicate names the document that has its bytes, which may still be on its way."""

    name: str
    document_id: str
    duplicate: bool
    status: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one submission came to: its jobs, each document's id, whether it was there already, and files not taken."""

    job_ids: tuple[str, ...]
    documents: tuple[Taken, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a job. `problems` are `(document id, reason)` of its failed documents."""

    ended: bool
    done: int
    total: int
    problems: tuple[tuple[str, str], ...]
    error: str | None


class Intake(Protocol):
    """Where documents go."""

    def ensure_collection(self, name: str) -> bool:
        """Makes the collection where there is none; true when it did."""

    def submit(self, sources: Sequence[Source], collection: str, metadata: Mapping[str, Any]) -> Receipt: ...

    def progress(self, job_id: str) -> Progress: ...

    def document(self, document_id: str) -> tuple[str, str | None]:
        """(status, error) of a document as it is now."""

    def advance(self) -> None:
        """Sees to it that somebody does the work that is waited for."""

    def close(self) -> None: ...


class ServerIntake:
    """Through `POST /v1/documents` and `GET /v1/jobs/{id}`."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def ensure_collection(self, name: str) -> bool:
        try:
            self.server.get(f"/v1/collections/{quote(name, safe='')}")
        except NotFound:
            self.server.post("/v1/collections", {"name": name})
            return True
        return False

    def submit(self, sources: Sequence[Source], collection: str, metadata: Mapping[str, Any]) -> Receipt:
        problems: list[str] = []
        with ExitStack() as opened:
            files: list[tuple[str, Any]] = []
            taken: list[Source] = []
            for source in sources:
                try:
                    stream = opened.enter_context(source.path.open("rb"))
                except OSError as error:
                    problems.append(f"{source.path}: {error.strerror}")
                    continue
                files.append(("file", (source.name, stream)))
                taken.append(source)
            if not files:
                return Receipt((), (), tuple(problems))
            fields = {"collection": collection, "metadata": json.dumps(dict(metadata))}
            try:
                body = self.server.upload("/v1/documents", files, fields)
            except InvalidInput as error:  # one file over a limit must not keep the others out
                if len(taken) == 1:
                    return Receipt((), (), (*problems, f"{taken[0].path}: {error.message}"))
                each = [self.submit([source], collection, metadata) for source in taken]
                return Receipt(
                    tuple(job for receipt in each for job in receipt.job_ids),
                    tuple(document for receipt in each for document in receipt.documents),
                    (*problems, *(problem for receipt in each for problem in receipt.problems)),
                )
        documents = tuple(
            Taken(source.name, str(document["id"]), bool(document["duplicate"]), str(document["status"]))
            for source, document in zip(taken, body["documents"], strict=True)
        )
        return Receipt((str(body["job"]["id"]),), documents, tuple(problems))

    def progress(self, job_id: str) -> Progress:
        job = self.server.get(f"/v1/jobs/{job_id}")
        failed = tuple(
            (str(document["id"]), str(document.get("error") or "failed"))
            for document in job.get("documents", ())
            if isinstance(document, dict) and document.get("status") == "failed"
        )
        ended = job["status"] in ("succeeded", "failed", "cancelled")
        return Progress(ended, int(job["progress"]["done"]), int(job["progress"]["total"]), failed, job.get("error"))

    def document(self, document_id: str) -> tuple[str, str | None]:
        seen = self.server.get(f"/v1/documents/{quote(document_id, safe='')}")
        return str(seen["status"]), seen.get("error")

    def advance(self) -> None:
        """Nothing to do: the server has its worker."""

    def close(self) -> None:
        self.server.close()


class HomeIntake:
    """Straight into the catalog of a home that no server runs on; `advance` runs a worker here when no other lives."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalog = Catalog.open(settings.database_url)
        self.jobs = JobQueue(self.catalog)
        self.blobs = BlobStore(settings.home / "blobs")
        self._stop = threading.Event()
        self._worker: threading.Thread | None = None
        self._failure: Exception | None = None

    def submit(self, sources: Sequence[Source], collection: str, metadata: Mapping[str, Any]) -> Receipt:
        problems: list[str] = []
        taken: list[tuple[Source, NewDocument]] = []
        for source in sources:
            try:
                with source.path.open("rb") as stream:
                    sha256, size = self.blobs.put(stream, self.settings.limits.upload_bytes)
            except OSError as error:
                problems.append(f"{source.path}: {error.strerror}")
                continue
            except InvalidInput as error:
                problems.append(f"{source.path}: {error.message}")
                continue
            document = NewDocument(
                sha256=sha256,
                bytes=size,
                media_type=None,
                filename=source.name,
                title=None,
                source_url=None,
                metadata=dict(metadata),
            )
            taken.append((source, document))
        if not taken:
            return Receipt((), (), tuple(problems))
        job, submitted = self.catalog.submit(collection, [document for _, document in taken])
        documents = tuple(
            Taken(source.name, each.id, each.duplicate, each.status)
            for (source, _), each in zip(taken, submitted, strict=True)
        )
        return Receipt((job.id,), documents, tuple(problems))

    def ensure_collection(self, name: str) -> bool:
        try:
            self.catalog.get_collection(name)
        except NotFound:
            self.catalog.create_collection(name)
            return True
        return False

    def progress(self, job_id: str) -> Progress:
        job = self.jobs.get(job_id)
        failed = tuple(
            (item.document_id, item.error or "failed") for item in self.jobs.items(job_id) if item.status == "failed"
        )
        return Progress(job.status in ("succeeded", "failed", "cancelled"), job.done, job.total, failed, job.error)

    def document(self, document_id: str) -> tuple[str, str | None]:
        seen = self.catalog.get_document(document_id)
        return seen.status, seen.error

    def advance(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._worker is None and not living(self.jobs.live_workers()):
            self._worker = threading.Thread(target=self._work, name="ingest-worker")
            self._worker.start()

    def close(self) -> None:
        self._stop.set()
        if self._worker is not None:
            self._worker.join()
        self.catalog.close()

    def _work(self) -> None:
        from ingestion.bootstrap import build_worker

        try:
            with build_worker(self.settings) as worker:
                worker.run_forever(self._stop)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits, by `advance`
            self._failure = error


def open_intake(settings: Settings) -> Intake:
    """The server at ATTEST_URL or on this home, else the home itself."""
    from app.cli.client import connect

    server = connect(settings)
    return HomeIntake(settings) if server is None else ServerIntake(server)
