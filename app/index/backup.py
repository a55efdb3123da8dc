"""A home as it was at one moment, while API and workers go on: the catalog, every index generation, the bytes.

For the moment itself nobody may publish, delete or write: all writer locks are held, then the catalog's. Meanwhile a
read transaction is pinned to the catalog, and files are linked (they are never changed), except vectors, which a
deletion overwrites in place and which are therefore copied, as is the knowledge graph. The catalog's own copy, through
SQLite's backup interface, and the archive are made afterwards, from what was pinned.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import Conflict
from app.index.archive import CATALOG, Archived, Writable, write_archive
from app.index.catalog import Catalog
from app.index.durable import file_lock
from app.index.graph_files import SUFFIX, GraphFiles
from app.index.manifest import CURRENT, current_name, read_manifest
from app.index.segments import VECTORS

LOCK_WAIT_S = 60.0
_TRIES = 5
_PAGES = 4_096
_DIGESTS = "SELECT sha256 FROM versions WHERE sha256 != '' UNION SELECT sha256 FROM files"


@dataclass(frozen=True, slots=True)
class Frozen:
    """`folder` holds the home as it was, the catalog included; `missing` are blobs that were gone already."""

    folder: Path
    schema: str
    created_at: str
    counts: dict[str, int]
    missing: tuple[str, ...]


def back_up(home: Path, catalog: Catalog, out: Writable, check: Callable[[], None] = lambda: None) -> Archived:
    """Writes an archive of the home to `out`; returns what its manifest says.

    Args:
        home: ATTEST_HOME.
        catalog: of that home.
        out: receives the archive; see `write_archive`.
        check: called now and then; what it raises ends the work and leaves nothing behind.

    Raises:
        Conflict: another backup of this home is at work, or an index is locked for too long.
    """
    with frozen(home, catalog, check) as state:
        return write_archive(
            state.folder,
            out,
            created_at=state.created_at,
            schema=state.schema,
            counts=state.counts,
            missing=state.missing,
            check=check,
        )


@contextmanager
def frozen(home: Path, catalog: Catalog, check: Callable[[], None] = lambda: None) -> Iterator[Frozen]:
    """The home as it is now, in a folder of its own that is removed afterwards. Raises Conflict: see `back_up`."""
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    try:
        lock = ExitStack()
        lock.enter_context(file_lock(temporary / "backup.lock", wait_s=0))
    except Conflict:
        raise Conflict("another backup of this home is being made: wait until it is done") from None
    with lock:
        for dead in temporary.glob("backup-*/"):  # of a process that was killed: we hold the lock
            shutil.rmtree(dead, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="backup-", dir=temporary))
        try:
            yield _freeze(home, catalog, folder, check)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _freeze(home: Path, catalog: Catalog, folder: Path, check: Callable[[], None]) -> Frozen:
    with closing(sqlite3.connect(home / CATALOG, isolation_level=None, check_same_thread=False)) as pinned:
        for _ in range(_TRIES):
            with ExitStack() as locks:
                locked = _lock_writers(home, catalog, locks)
                locks.enter_context(catalog.writing())
                pinned.execute("BEGIN")
                ids = {row[0] for row in pinned.execute("SELECT id FROM collections")}
                if {each for each in ids if (home / "index" / str(each)).is_dir()} <= locked:
                    for each in sorted(ids & locked):
                        _link_index(home / "index" / str(each), folder / "index" / str(each))
                        _copy_graph(home / "index" / str(each), folder / "index" / str(each))
                    missing = _link_blobs(home, folder, [row[0] for row in pinned.execute(_DIGESTS)])
                    _link_rerankers(home, folder, [row[0] for row in pinned.execute("SELECT id FROM rerankers")])
                    break
                pinned.execute("ROLLBACK")  # a collection was made between the two looks
        else:
            raise Conflict("collections are being made faster than they can be locked: try again in a moment")
        _copy_catalog(pinned, folder / CATALOG, check)
    with closing(sqlite3.connect(folder / CATALOG)) as copy:
        copy.execute("DELETE FROM workers")  # none of them lives where this is restored
        copy.commit()
        counts = {
            "collections": copy.execute("SELECT count(*) FROM collections").fetchone()[0],
            "documents": copy.execute("SELECT count(*) FROM documents WHERE status != 'deleted'").fetchone()[0],
            "answers": copy.execute("SELECT count(*) FROM answers").fetchone()[0],
        }
        schema = str(copy.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    for beside in ("-wal", "-shm"):
        (folder / f"{CATALOG}{beside}").unlink(missing_ok=True)
    moment = catalog.clock().isoformat().replace("+00:00", "Z")
    return Frozen(folder, schema, moment, counts, tuple(missing))


def _lock_writers(home: Path, catalog: Catalog, locks: ExitStack) -> set[int]:
    """Holds the writer lock of every index that there is, in the order of their numbers; returns these."""
    locked: set[int] = set()
    for collection in sorted(catalog.list_collections(), key=lambda each: each.id):
        root = home / "index" / str(collection.id)
        with contextlib.suppress(FileNotFoundError):  # the collection is being deleted
            if root.is_dir():
                locks.enter_context(file_lock(root / "writer.lock", wait_s=LOCK_WAIT_S))
                locked.add(collection.id)
    return locked


def _link_index(root: Path, target: Path) -> None:
    """What the published generation of one index names, and nothing else."""
    name = current_name(root)
    if name is None:
        return
    manifest = read_manifest(root, name)
    paths = [CURRENT, name, *(f"retired/{retired.name}.json" for retired in manifest.retired)]
    for segment in manifest.segments:
        paths += [f"segments/{segment.name}/{file}" for file in segment.files]
    if manifest.lexicon is not None:
        lexicon = root / manifest.lexicon.name
        paths += [
            path.relative_to(root).as_posix()
            for path in sorted(lexicon.rglob("*"))
            if path.is_file() and path.suffix not in (".lock", ".tmp")
        ]
    for path in paths:
        _take(root / path, target / path, copy=path.endswith(f"/{VECTORS}"))


def _copy_graph(root: Path, target: Path) -> None:
    """The knowledge graph, if there is one; it belongs to the generation whose versions it is named by, or to none."""
    graph = GraphFiles(root)
    if not graph.folder.is_dir():
        return
    with graph.lock():
        for path in [
            *graph.folder.glob("facts/*.json"),
            *graph.folder.glob(f"*{SUFFIX}*"),
            *graph.folder.glob(f"*{SUFFIX}/*"),
        ]:
            if path.is_file():
                _take(path, target / path.relative_to(root), copy=True)


def _link_blobs(home: Path, folder: Path, digests: list[str]) -> list[str]:
    missing: list[str] = []
    for digest in digests:
        path = Path("blobs", digest[:2], digest)
        try:
            _take(home / path, folder / path)
        except FileNotFoundError:
            missing.append(digest)
    return missing


def _link_rerankers(home: Path, folder: Path, ids: list[str]) -> None:
    for each in ids:
        root = Path("models", "rerankers", each)
        for file in (home / root).glob("*"):
            _take(file, folder / root / file.name)


def _take(source: Path, target: Path, *, copy: bool = False) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        try:
            os.link(source, target)
            return
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            pass
    shutil.copyfile(source, target)


def _copy_catalog(pinned: sqlite3.Connection, target: Path, check: Callable[[], None]) -> None:
    """SQLite's own backup, from the read transaction that the connection has open."""
    with closing(sqlite3.connect(target)) as copy:
        pinned.backup(copy, pages=_PAGES, progress=lambda *_: check())
    pinned.execute("ROLLBACK")
