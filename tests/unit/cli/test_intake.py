"""Documents through a server and into a home: the same receipts, bad files named, good ones not kept out."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from app.cli.client import Server
from app.cli.intake import HomeIntake, ServerIntake, Source
from app.errors import NotFound
from app.settings import load_settings


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    folder = tmp_path / "documents"
    folder.mkdir()
    found = []
    for name in ("a.txt", "b.txt", "big.txt"):
        (folder / name).write_text(name * (100 if name == "big.txt" else 1))
        found.append(Source(folder / name, name))
    return found


class Api:
    """The two routes that intake speaks to; files over 50 bytes are refused."""

    def __init__(self) -> None:
        self.collections = {"default"}
        self.seen: dict[bytes, str] = {}
        self.fields: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.startswith("/v1/collections"):
            if request.method == "POST":
                self.collections.add(json.loads(request.content)["name"])
                return httpx.Response(201, json={})
            found = path.rsplit("/", 1)[1] in self.collections
            return httpx.Response(200 if found else 404, json={"detail": "no such collection"})
        parts = request.read().split(b'name="file"; filename="')[1:]
        bodies = [part.split(b"\r\n\r\n", 1)[1].split(b"\r\n--")[0] for part in parts]
        if any(len(body) > 50 for body in bodies):
            return httpx.Response(413, json={"detail": "over the limit"})
        documents = []
        for body in bodies:
            duplicate = body in self.seen
            document_id = self.seen.setdefault(body, f"d{len(self.seen)}")
            documents.append({"id": document_id, "duplicate": duplicate, "status": "queued"})
        return httpx.Response(202, json={"job": {"id": f"j{len(bodies)}"}, "documents": documents})


def test_one_file_over_the_limit_does_not_keep_the_others_out_of_a_server(sources: list[Source]) -> None:
    intake = ServerIntake(Server("http://127.0.0.1:9", transport=httpx.MockTransport(Api())))
    receipt = intake.submit(sources, "default", {})
    assert [(each.name, each.duplicate) for each in receipt.documents] == [("a.txt", False), ("b.txt", False)]
    assert len(receipt.problems) == 1
    assert "big.txt" in receipt.problems[0]
    assert "over the limit" in receipt.problems[0]
    again = intake.submit(sources[:2], "default", {})
    assert again.job_ids == ("j2",)
    assert all(each.duplicate for each in again.documents)
    intake.close()


def test_a_file_that_vanished_is_named(sources: list[Source]) -> None:
    intake = ServerIntake(Server("http://127.0.0.1:9", transport=httpx.MockTransport(Api())))
    sources[0].path.unlink()
    receipt = intake.submit(sources[:2], "default", {})
    assert [each.name for each in receipt.documents] == ["b.txt"]
    assert "No such file" in receipt.problems[0]
    assert intake.submit(sources[:1], "default", {}).job_ids == ()
    intake.close()


def test_a_missing_collection_is_made(home: Path) -> None:
    api = Api()
    through_server = ServerIntake(Server("http://127.0.0.1:9", transport=httpx.MockTransport(api)))
    directly = HomeIntake(load_settings(home=home))
    for intake in (through_server, directly):
        assert intake.ensure_collection("default") is False
        assert intake.ensure_collection("papers") is True
        assert intake.ensure_collection("papers") is False
        intake.close()


def test_a_home_takes_files_names_bad_ones_and_knows_duplicates(
    home: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTEST_LIMITS__UPLOAD_BYTES", "50")
    intake = HomeIntake(load_settings(home=home))
    try:
        receipt = intake.submit(sources, "default", {"year": 2024})
        assert [(each.name, each.duplicate) for each in receipt.documents] == [("a.txt", False), ("b.txt", False)]
        assert "big.txt" in receipt.problems[0]
        (job_id,) = receipt.job_ids
        progress = intake.progress(job_id)
        assert (progress.ended, progress.done, progress.total) == (False, 0, 2)
        document = intake.catalog.get_document(receipt.documents[0].document_id)
        assert (document.filename, dict(document.metadata)) == ("a.txt", {"year": 2024})
        again = intake.submit(sources[:2], "default", {"year": 2024})
        assert all(each.duplicate for each in again.documents)
        assert intake.progress(again.job_ids[0]).ended
        with pytest.raises(NotFound):
            intake.submit(sources[:1], "nowhere", {})
    finally:
        intake.close()
