"""The pipeline over a real catalog and index, with a fake encoder and plain-text loading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.errors import MissingPackage, UnreadableDocument
from app.index.blobs import BlobStore
from app.index.catalog import Catalog
from app.index.generations import IndexStore
from app.index.jobs import JobQueue
from app.index.lease import LeaseLost
from app.index.records import JobRecord, NewDocument, WorkItem
from app.types import Chunk, LoadedDocument
from ingestion import pipeline as pipeline_module
from ingestion.pipeline import IngestionPipeline
from tests.fakes import FakeEncoder


def split_lines(document: LoadedDocument, title: str) -> list[Chunk]:
    """One chunk a line."""
    chunks: list[Chunk] = []
    start = 0
    for line in document.text.splitlines(keepends=True):
        text = line.rstrip("\n")
        if text.strip():
            chunks.append(Chunk(len(chunks), text, start, start + len(text)))
        start += len(line)
    return chunks


def nothing() -> None:
    """A check that never raises."""


@dataclass
class Bench:
    """A home with a pipeline; `load_faults` maps a filename to what loading it raises."""

    root: Path
    batch_chunks: int = 4
    load_faults: dict[str, Exception] = field(default_factory=dict)
    on_load: Callable[[WorkItem], None] = lambda _item: None

    def __post_init__(self) -> None:
        self.catalog = Catalog.open(f"sqlite:///{self.root / 'attest.db'}")
        self.jobs = JobQueue(self.catalog)
        self.blobs = BlobStore(self.root / "blobs")
        self.encoder = FakeEncoder()
        self.index = IndexStore(self.root / "index", encoder_name=self.encoder.name, embed_dim=self.encoder.embed_dim)
        self.pipeline = IngestionPipeline(
            catalog=self.catalog,
            jobs=self.jobs,
            index=self.index,
            encoder=self.encoder,
            load=self.load,
            split=split_lines,
            batch_chunks=self.batch_chunks,
        )

    def load(self, item: WorkItem) -> LoadedDocument:
        self.on_load(item)
        if item.filename in self.load_faults:
            raise self.load_faults[item.filename]
        return LoadedDocument(self.blobs.read(item.sha256).decode(), "text/plain")

    def submit(self, texts: dict[str, str]) -> JobRecord:
        documents = []
        for name, text in texts.items():
            sha256, size = self.blobs.put(text.encode(), 2**20)
            documents.append(NewDocument(sha256, size, None, name, None, None))
        job, _ = self.catalog.submit("default", documents)
        return job

    def claim(self, worker: str = "w") -> JobRecord:
        job = self.jobs.claim(worker, ["ingest"])
        assert job is not None
        return job

    def statuses(self) -> dict[str, str]:
        documents, _ = self.catalog.list_documents()
        return {document.filename or "": document.status for document in documents}

    def found(self, query: str) -> list[str]:
        """Titles of the chunks that BM25 finds for `query` in what is published now."""
        snapshot = self.index.collection(self.catalog.get_collection("default").id).snapshot()
        rows = snapshot.search_lexical([query], 100, snapshot.mask())[0]
        keys = snapshot.locate([row.slot for row in rows])
        return sorted(chunk.title for chunk in self.catalog.get_chunks(keys).values())

    @property
    def generation(self) -> int:
        return self.index.collection(self.catalog.get_collection("default").id).generation


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.catalog.close()


def test_small_documents_are_published_in_one_generation(bench: Bench) -> None:
    bench.submit({"a.txt": "alpha one\nalpha two", "b.txt": "beta one"})
    bench.pipeline.run(bench.claim(), nothing)
    assert bench.generation == 1
    assert bench.statuses() == {"a.txt": "ready", "b.txt": "ready"}
    assert bench.found("alpha") == ["a", "a"]
    assert bench.encoder.calls == [3], "chunks of both documents in one call"


def test_a_batch_is_closed_at_its_number_of_chunks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "WINDOW_DOCUMENTS", 1)
    bench.submit({f"{word}.txt": f"{word} one\n{word} two" for word in ("apple", "berry", "cherry", "date", "elder")})
    bench.pipeline.run(bench.claim(), nothing)
    assert bench.generation == 3, "2 + 2 + 1 documents"
    assert bench.found("date") == ["date", "date"]


def test_a_huge_document_is_embedded_in_slices_with_boundaries_between(bench: Bench) -> None:
    bench.submit({"big.txt": "\n".join(f"line {'x' * (n % 7)} {n}" for n in range(10))})
    boundaries: list[int] = []
    bench.pipeline.run(bench.claim(), lambda: boundaries.append(len(bench.encoder.calls)))
    assert bench.encoder.calls == [4, 4, 2]
    assert {0, 1, 2, 3} <= set(boundaries), "one before each slice and one before publishing"
    snapshot = bench.index.collection(1).snapshot()
    stored = bench.catalog.get_document_chunks(bench.catalog.list_documents()[0][0].id)
    expected = FakeEncoder().encode_passages([Chunk(0, c.text, 0, 1).embedding_text("big") for c in stored])
    slots = list(range(len(stored)))
    assert snapshot.locate(slots) == [(chunk.version_id, chunk.ordinal) for chunk in stored]
    assert (snapshot.vectors(slots) == expected).all(), "vectors are back in the order of their chunks"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnreadableDocument("the PDF is encrypted; remove the password", "encrypted"), "encrypted"),
        (MissingPackage("needs tesseract-ocr: apt-get install tesseract-ocr"), "missing_package"),
    ],
)
def test_a_bad_document_fails_alone_with_its_reason(bench: Bench, error: Exception, code: str) -> None:
    bench.load_faults["bad.pdf"] = error
    job = bench.submit({"a.txt": "alpha", "bad.pdf": "x", "c.txt": "gamma"})
    bench.pipeline.run(bench.claim(), nothing)
    assert bench.statuses() == {"a.txt": "ready", "bad.pdf": "failed", "c.txt": "ready"}
    bad = next(each for each in bench.catalog.list_documents()[0] if each.filename == "bad.pdf")
    assert bad.error == str(error)
    assert bad.error_code == code
    items = {item.document_id: item for item in bench.jobs.items(job.id)}
    assert items[bad.id].status == "failed"
    assert items[bad.id].error == str(error)
    assert bench.jobs.get(job.id).done == 3


def test_an_unexpected_error_keeps_its_document_for_another_try(bench: Bench) -> None:
    bench.load_faults["odd.txt"] = OSError("the disk is full")
    job = bench.submit({"a.txt": "alpha", "odd.txt": "omega", "c.txt": "gamma"})
    claimed = bench.claim()
    with pytest.raises(OSError, match="disk is full"):
        bench.pipeline.run(claimed, nothing)
    assert bench.statuses() == {"a.txt": "ready", "odd.txt": "loading", "c.txt": "ready"}
    bench.load_faults.clear()
    bench.pipeline.run(claimed, nothing)
    assert bench.statuses()["odd.txt"] == "ready"
    assert bench.found("omega") == ["odd"]
    assert {item.status for item in bench.jobs.items(job.id)} == {"ready"}


def test_running_a_finished_job_again_changes_nothing(bench: Bench) -> None:
    bench.submit({"a.txt": "alpha one\nalpha two", "b.txt": "beta"})
    claimed = bench.claim()
    bench.pipeline.run(claimed, nothing)
    bench.pipeline.run(claimed, nothing)
    assert bench.generation == 1
    assert bench.found("alpha") == ["a", "a"]
    assert bench.encoder.calls == [3]


@pytest.mark.parametrize("boundary", range(6))
def test_letting_go_at_any_boundary_publishes_nothing_half_and_can_be_taken_up(bench: Bench, boundary: int) -> None:
    bench.submit({"a.txt": "alpha one\nalpha two\nalpha three", "b.txt": "beta one\nbeta two\nbeta three"})
    claimed = bench.claim()
    passed = 0

    def let_go() -> None:
        nonlocal passed
        passed += 1
        if passed > boundary:
            raise LeaseLost("gone")

    with pytest.raises(LeaseLost):
        bench.pipeline.run(claimed, let_go)
    assert bench.generation == 0, "one batch: nothing is published before its end"
    bench.pipeline.run(claimed, nothing)
    assert bench.found("alpha") == ["a"] * 3
    assert bench.found("beta") == ["b"] * 3
    assert set(bench.statuses().values()) == {"ready"}


def test_a_document_left_in_the_middle_is_taken_alone(bench: Bench) -> None:
    job = bench.submit({"a.txt": "alpha", "b.txt": "beta", "c.txt": "gamma"})
    suspect = bench.jobs.items(job.id)[1]
    bench.catalog.set_version_status(suspect.version_id, "loading")
    loaded: list[tuple[str | None, int]] = []
    bench.on_load = lambda item: loaded.append((item.filename, bench.generation))
    bench.pipeline.run(bench.claim(), nothing)
    assert loaded == [("a.txt", 0), ("b.txt", 0), ("c.txt", 1)], "published before the next document is touched"


def test_a_document_deleted_while_its_batch_is_read_is_left_out(bench: Bench) -> None:
    job = bench.submit({"a.txt": "alpha", "b.txt": "beta"})
    doomed = bench.jobs.items(job.id)[0].document_id

    def delete_other(item: WorkItem) -> None:
        if item.filename == "b.txt":
            bench.catalog.remove_document_rows(doomed)

    bench.on_load = delete_other
    bench.pipeline.run(bench.claim(), nothing)
    assert bench.found("alpha") == []
    assert bench.found("beta") == ["b"]
    assert sorted(item.status for item in bench.jobs.items(job.id)) == ["cancelled", "ready"]
    assert bench.jobs.succeed(job.id, "w")


def test_a_document_without_text_to_find_fails_clearly(bench: Bench) -> None:
    bench.submit({"empty.txt": "   \n\t\n"})
    bench.pipeline.run(bench.claim(), nothing)
    document = bench.catalog.list_documents()[0][0]
    assert document.status == "failed"
    assert "no text" in (document.error or "")


def test_the_callers_title_wins_over_the_documents_own(bench: Bench) -> None:
    sha256, size = bench.blobs.put(b"alpha", 100)
    bench.catalog.submit("default", [NewDocument(sha256, size, None, "a.txt", "My title", None)])
    bench.pipeline.run(bench.claim(), nothing)
    assert bench.found("alpha") == ["My title"]


def test_a_new_version_replaces_the_old_one_in_searches(bench: Bench) -> None:
    bench.submit({"a.txt": "alpha"})
    bench.pipeline.run(bench.claim(), nothing)
    document_id = bench.catalog.list_documents()[0][0].id
    sha256, size = bench.blobs.put(b"omega", 100)
    bench.catalog.submit(
        "default", [NewDocument(sha256, size, None, "a.txt", None, None, document_id=document_id, replace=True)]
    )
    bench.pipeline.run(bench.claim("v"), nothing)
    assert bench.found("alpha") == []
    assert bench.found("omega") == ["a"]


def item(version_id: int, size: int) -> WorkItem:
    return WorkItem(version_id, f"d{version_id}", 1, 1, "default", "0" * 64, None, None, None, None, {}, bytes=size)


def test_windows_keep_large_documents_and_suspects_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "WINDOW_BYTES", 10)
    monkeypatch.setattr(pipeline_module, "WINDOW_DOCUMENTS", 3)
    sizes = [4, 4, 4, 11, 1, 1, 1, 1, 1, 1]
    pending = [item(version_id, size) for version_id, size in enumerate(sizes)]
    windows = pipeline_module.windows(pending, {8})
    assert [[each.version_id for each in window] for window in windows] == [[0, 1], [2], [3], [4, 5, 6], [7], [8], [9]]
    assert list(pipeline_module.windows([], set())) == []
