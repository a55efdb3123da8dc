"""Backups: one moment of a home that goes on changing, and a restore that shows all of it or nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from app.errors import Cancelled, Conflict, IntegrityError, Unavailable
from app.index import backup as backup_module
from app.index import restore as restore_module
from app.index.archive import MANIFEST, Archived, read_archive
from app.index.backup import back_up, frozen
from app.index.blobs import BlobStore
from app.index.calibrations import CalibrationStore
from app.index.catalog import Catalog
from app.index.durable import file_lock
from app.index.generations import IndexStore, PreparedVersion
from app.index.publishing import delete_document, publish
from app.index.records import NewDocument
from app.index.rerankers import RerankerStore, model_folder
from app.index.restore import restore
from app.index.schema import RESTORING
from app.types import Chunk, LoadedDocument

DIM = 8


class Home:
    """A home with an index, written to without a worker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.catalog = Catalog.open(f"sqlite:///{path / 'attest.db'}")
        self.index = IndexStore(path / "index", encoder_name="e@1", embed_dim=DIM)
        self.blobs = BlobStore(path / "blobs")

    def add(self, text: str, collection: str = "default") -> str:
        sha256, size = self.blobs.put(text.encode(), 1 << 20)
        new = NewDocument(sha256, size, "text/plain", "a.txt", None, None)
        _, (submitted,) = self.catalog.submit(collection, [new])
        loaded = LoadedDocument(text, "text/plain")
        self.catalog.store_text(submitted.version_id, loaded, "A", [Chunk(0, text, 0, len(text))])
        self.catalog.set_version_status(submitted.version_id, "indexing")
        prepared = PreparedVersion(submitted.version_id, submitted.id, [text], vector(text)[None, :])
        publish(self.catalog, self.index, self.catalog.get_collection(collection).id, [prepared])
        return submitted.id

    def found(self, query: str, collection: str = "default") -> list[str]:
        """Texts that both searches find, best first by vector."""
        snapshot = self.index.collection(self.catalog.get_collection(collection).id).snapshot()
        mask = snapshot.mask()
        (dense,) = snapshot.search_dense(vector(query)[None, :], 10, mask)
        (lexical,) = snapshot.search_lexical([query], 10, mask)
        assert {row.slot for row in lexical} <= {row.slot for row in dense}
        keys = snapshot.locate([row.slot for row in dense])
        chunks = self.catalog.get_chunks(keys)
        return [chunks[key].text for key in keys if key in chunks]

    def problems(self) -> list[str]:
        return [
            problem
            for collection in self.catalog.list_collections()
            for problem in self.index.collection(collection.id).verify()
        ]

    def close(self) -> None:
        self.catalog.close()


def vector(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    values = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return values / np.linalg.norm(values)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    opened = Home(tmp_path / "old")
    yield opened
    opened.close()


@pytest.fixture
def archive(home: Home, tmp_path: Path) -> Path:
    home.add("the zebra fee is thirty euros")
    home.add("penguins eat herrings")
    path = tmp_path / "backup.tar.gz"
    with path.open("wb") as out:
        back_up(home.path, home.catalog, out)
    return path


def test_what_is_restored_is_what_was_backed_up(home: Home, tmp_path: Path) -> None:
    home.catalog.create_collection("team")
    kept = home.add("the zebra fee is thirty euros")
    home.add("penguins eat herrings", "team")
    home.catalog.save_answer("ans_1", "fee?", {"citations": [{"document_id": kept}]})
    home.catalog.add_feedback("ans_1", 1, None, "good")
    out = io.BytesIO()
    archived = back_up(home.path, home.catalog, out)
    home.add("what comes after the backup")
    path = tmp_path / "b.tar.gz"
    path.write_bytes(out.getvalue())
    assert archived.counts == {"collections": 2, "documents": 2, "answers": 1}
    assert read_archive(path) == archived
    assert restore(path, tmp_path / "new").aside is None

    restored = Home(tmp_path / "new")
    try:
        assert restored.problems() == []
        assert restored.found("the zebra fee is thirty euros") == ["the zebra fee is thirty euros"]
        assert restored.found("penguins eat herrings", "team") == ["penguins eat herrings"]
        assert restored.catalog.get_text(kept) == "the zebra fee is thirty euros"
        assert restored.blobs.read(restored.catalog.get_document(kept).sha256) == b"the zebra fee is thirty euros"
        assert restored.catalog.list_feedback()[0][0].comment == "good"
        restored.add("and it can be written to")
        assert restored.found("and it can be written to")[0] == "and it can be written to"
        assert restored.problems() == []
    finally:
        restored.close()
    assert not (tmp_path / "new" / RESTORING).exists()
    assert (tmp_path / "new" / "attest.db").stat().st_mode & 0o077 == 0


def test_a_backup_is_of_one_moment_whatever_happens_while_it_is_sent(home: Home, tmp_path: Path) -> None:
    """Between the moment and the sending a document is deleted, which zeroes its vectors in place, and one is added."""
    doomed = home.add("the zebra fee is thirty euros")
    home.add("penguins eat herrings")
    with frozen(home.path, home.catalog) as state:
        delete_document(home.catalog, home.index, home.blobs, doomed)
        home.add("what comes after the backup")
        shutil.copytree(state.folder, tmp_path / "copy")
    restored = Home(tmp_path / "copy")
    try:
        assert restored.problems() == []
        assert restored.found("the zebra fee is thirty euros")[0] == "the zebra fee is thirty euros"
        assert len(restored.found("x")) == 2
        assert restored.blobs.read(restored.catalog.get_document(doomed).sha256)
    finally:
        restored.close()
    assert list((home.path / "tmp").glob("backup-*")) == []


def test_writers_wait_for_the_moment_only(home: Home) -> None:
    home.add("one")
    with frozen(home.path, home.catalog):  # past the moment: another writer is not kept waiting
        thread = threading.Thread(target=home.add, args=("two",))
        thread.start()
        thread.join(60)
        assert not thread.is_alive()


def test_two_backups_at_once_are_refused(home: Home) -> None:
    with frozen(home.path, home.catalog), pytest.raises(Conflict, match="another backup"):
        back_up(home.path, home.catalog, io.BytesIO())


def test_a_cancelled_backup_leaves_nothing_behind(home: Home) -> None:
    home.add("one")
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise Cancelled("gone")

    with pytest.raises(Cancelled):
        back_up(home.path, home.catalog, io.BytesIO(), check)
    assert [path.name for path in (home.path / "tmp").iterdir()] == ["backup.lock"]
    back_up(home.path, home.catalog, io.BytesIO())


def test_what_a_killed_backup_left_is_removed_by_the_next(home: Home) -> None:
    left = home.path / "tmp" / "backup-dead"
    left.mkdir(parents=True)
    (left / "attest.db").write_bytes(b"half")
    back_up(home.path, home.catalog, io.BytesIO())
    assert not left.exists()


def test_damaged_and_missing_blobs_are_told(home: Home) -> None:
    damaged = home.catalog.get_document(home.add("one")).sha256
    missing = home.catalog.get_document(home.add("two")).sha256
    home.blobs.path(damaged).write_bytes(b"rot")
    home.blobs.path(missing).unlink()
    archived = back_up(home.path, home.catalog, io.BytesIO())
    assert archived.damaged == (f"blobs/{damaged[:2]}/{damaged}",)
    assert archived.missing == (missing,)


def test_without_hard_links_files_are_copied(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.add("one")

    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(backup_module.os, "link", refuse)
    path = tmp_path / "b.tar.gz"
    with path.open("wb") as out:
        back_up(home.path, home.catalog, out)
    restore(path, tmp_path / "new")
    restored = Home(tmp_path / "new")
    assert restored.found("one") == ["one"]
    restored.close()


def test_a_home_that_is_not_empty_is_left_alone_unless_forced(archive: Path, tmp_path: Path) -> None:
    home = tmp_path / "busy"
    home.mkdir()
    (home / "precious.txt").write_text("mine")
    with pytest.raises(Conflict, match=r"not empty \(it holds precious.txt\).*--force"):
        restore(archive, home)
    assert [path.name for path in home.iterdir()] == ["precious.txt"]
    restored = restore(archive, home, force=True)
    assert restored.aside is not None
    assert (restored.aside / "precious.txt").read_text() == "mine"
    again = restore(archive, home, force=True)
    assert again.aside is not None
    assert (again.aside / "attest.db").is_file()
    assert (restored.aside / "precious.txt").read_text() == "mine", "what was set aside before stays where it is"


def rewritten(archive: Path, change: dict[str, bytes | None], extra: list[tarfile.TarInfo] | None = None) -> bytes:
    """The archive with members replaced (or left out) but for the manifest's word on them."""
    out = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=out, mode="w:gz") as new:
        for member in extra or []:
            new.addfile(member, io.BytesIO(b"x" * member.size))
        for member in old:
            content = change.get(member.name, old.extractfile(member).read())  # type: ignore[union-attr]
            if content is None:
                continue
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return out.getvalue()


def evil(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, 1 if kind == tarfile.REGTYPE else 0
    return member


@pytest.mark.parametrize(
    ("member", "told"),
    [
        (evil("../outside"), "no backup of Attest's does"),
        (evil("/etc/outside"), "no backup of Attest's does"),
        (evil("index/1/../../../outside"), "no backup of Attest's does"),
        (evil("blobs/aa/../../outside"), "no backup of Attest's does"),
        (evil("index/1/..", tarfile.DIRTYPE), "no plain file"),
        (evil("server.json"), "no backup of Attest's does"),
        (evil("blobs", tarfile.SYMTYPE, "/etc"), "no plain file"),
        (evil("attest.db", tarfile.LNKTYPE, "../../secret"), "no plain file|damaged"),
        (evil("index/1/fifo", tarfile.FIFOTYPE), "no plain file"),
        (evil("attest.db"), "twice"),
    ],
)
def test_an_archive_can_not_write_elsewhere(archive: Path, tmp_path: Path, member: tarfile.TarInfo, told: str) -> None:
    path = tmp_path / "evil.tar.gz"
    path.write_bytes(rewritten(archive, {}, [member]))
    before = sorted(each.name for each in tmp_path.iterdir())
    with pytest.raises(IntegrityError, match=told):
        restore(path, tmp_path / "new")
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    assert not Path("/etc/outside").exists()


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_every_kind_of_damage_is_told_and_shows_nothing(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        blob = next(name for name in names if name.startswith("blobs/"))
        content = tar.extractfile(blob).read()  # type: ignore[union-attr]
        catalog = tar.extractfile("attest.db").read()  # type: ignore[union-attr]
    assert names[-1] == MANIFEST
    damages = {
        "cut off": whole[: len(whole) // 2],
        "cut off at the end": whole[:-20],
        "a flipped bit": whole[:2000] + bytes([whole[2000] ^ 16]) + whole[2001:],
        "no gzip": b"hello" + whole,
        "nothing": b"",
        "another blob": rewritten(archive, {blob: flipped(content)}),
        "a blob left out": rewritten(archive, {blob: None}),
        "no manifest": rewritten(archive, {MANIFEST: None}),
        "a manifest that is none": rewritten(archive, {MANIFEST: b"[]"}),
        "an empty tar": gzip.compress(b"\0" * 1024),
    }
    for name, damaged in damages.items():
        path = tmp_path / "damaged.tar.gz"
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="archive"):
            restore(path, tmp_path / "new")
        assert not (tmp_path / "new").exists(), name
    broken = catalog[:4_096] + b"\xff" * (len(catalog) - 4_096)
    manifest = restated(archive, {"attest.db": broken})
    path.write_bytes(rewritten(archive, {"attest.db": broken, MANIFEST: manifest}))
    with pytest.raises(IntegrityError, match=r"catalog in damaged\.tar\.gz is damaged"):
        restore(path, tmp_path / "new")


def restated(archive: Path, change: dict[str, bytes], **fields: object) -> bytes:
    """The archive's manifest with these files' checksums put right."""
    with tarfile.open(archive) as tar:
        body = json.loads(tar.extractfile(MANIFEST).read())  # type: ignore[union-attr]
    for name, content in change.items():
        body["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps(body | fields).encode()


def test_an_archive_of_another_format_is_for_the_version_that_wrote_it(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "newer.tar.gz"
    path.write_bytes(rewritten(archive, {MANIFEST: restated(archive, {}, format=2)}))
    with pytest.raises(Unavailable, match="format 2"):
        restore(path, tmp_path / "new")


def test_a_missing_archive_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no archive"):
        restore(tmp_path / "none.tar.gz", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("moved", range(4))
def test_a_restore_that_is_killed_while_it_moves_shows_nothing(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    home = tmp_path / "new"
    rename, calls = Path.rename, []

    class Killed(BaseException):
        pass

    def dying(self: Path, target: Path) -> Path:
        if len(calls) == moved:
            raise Killed
        calls.append(self.name)
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying)
        with pytest.raises(Killed):
            restore(archive, home)
    assert (home / RESTORING).is_dir()
    with pytest.raises(Unavailable, match=r"restore into this home .* was interrupted"):
        Catalog.open(f"sqlite:///{home / 'attest.db'}")
    restore(archive, home, force=moved > 0)
    restored = Home(home)
    assert len(restored.found("x")) == 2
    assert restored.problems() == []
    restored.close()


def test_a_home_that_is_being_restored_is_not_restored_a_second_time(archive: Path, tmp_path: Path) -> None:
    home = tmp_path / "new"
    (home / RESTORING).mkdir(parents=True)
    with file_lock(home / RESTORING / "lock"), pytest.raises(Conflict):
        restore(archive, home)


def test_a_full_disk_is_said_to_be_full(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Archived:
        raise OSError(28, os.strerror(28), "blobs")

    monkeypatch.setattr(restore_module, "read_archive", full)
    with pytest.raises(Unavailable, match="No space left"):
        restore(archive, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_times_in_the_manifest_are_utc(archive: Path) -> None:
    written = read_archive(archive).created_at
    assert written.endswith("Z")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(written)).days) < 2


def test_graphs_rerankers_and_calibrations_come_along_and_strays_do_not(home: Home, tmp_path: Path) -> None:
    home.add("the zebra fee is thirty euros")
    collection = home.catalog.get_collection("default")
    graph = home.path / "index" / str(collection.id) / "graph"
    (graph / "facts").mkdir(parents=True)
    (graph / "staging-1").mkdir()
    for name in ("facts/1.json", "0123abcd.lbug", "staging-1/half"):
        (graph / name).write_text(name)
    store = RerankerStore(home.catalog)
    record = store.add("default", "rrk_a", job_id="job_a", promote=True, reason="r", figures={}, base=None)
    numbers = {"correction": {"shift": -0.5}}
    CalibrationStore(home.catalog).add(
        "default", "cal_a", job_id="job_b", promote=True, reason="r", figures=numbers, base=None
    )
    for folder in (record.id, "rrk_of_nobody"):
        model_folder(home.path, folder).mkdir(parents=True)
        (model_folder(home.path, folder) / "model.txt").write_text("trees")
    (home.path / "server.json").write_text("{}")
    path = tmp_path / "b.tar.gz"
    with path.open("wb") as out:
        archived = back_up(home.path, home.catalog, out)
    prefix = f"index/{collection.id}/graph"
    assert {f"{prefix}/facts/1.json", f"{prefix}/0123abcd.lbug", "models/rerankers/rrk_a/model.txt"} <= set(
        archived.files
    )
    assert not [name for name in archived.files if "staging" in name or "nobody" in name or "server.json" in name]
    restore(path, tmp_path / "new")
    assert (tmp_path / "new" / prefix / "facts" / "1.json").read_text() == "facts/1.json"
    restored = Home(tmp_path / "new")
    assert RerankerStore(restored.catalog).active("default") == "rrk_a"
    assert CalibrationStore(restored.catalog).correction("default") == {"shift": -0.5}
    restored.close()
