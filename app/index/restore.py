"""An archive into a home: complete and checked before any of it can be seen.

Everything is unpacked into `.restoring/` inside the home and checked there; then the parts are moved into place, the
catalog last. While `.restoring/` is there no catalog of the home opens (`Catalog.open`), so a restore that was
interrupted, wherever that was, shows nothing of itself; it is simply run again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.errors import Conflict, IntegrityError, Unavailable
from app.index.archive import CATALOG, Archived, read_archive
from app.index.catalog import Catalog
from app.index.durable import file_lock, fsync_directory
from app.index.schema import RESTORING

BEFORE = "before-restore-"
_IGNORED = frozenset({RESTORING})


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored; `aside` holds what was in the home before, None where it was empty."""

    archived: Archived
    aside: Path | None


def restore(archive: Path, home: Path, *, force: bool = False) -> Restored:
    """Puts the archive into `home`, which must be empty; with `force`, what is there is moved aside first.

    Nobody may work on the home meanwhile: the caller makes sure of that.

    Raises:
        Conflict: the home is not empty and `force` was not said, or another restore is at work there.
        IntegrityError: the archive is damaged; the home is as it was.
        Unavailable: the archive can not be read, a newer Attest wrote it, or the disk is full.
    """
    there = occupied(home)
    if there and not force:
        shown = ", ".join(there[:4]) + (" …" if len(there) > 4 else "")
        raise Conflict(
            f"the home {home} is not empty (it holds {shown}): restore into an empty one with --home, or say --force "
            "to move what is there aside"
        )
    if not archive.is_file():
        raise Unavailable(f"there is no archive {archive}")
    made = not home.exists()
    try:
        home.mkdir(parents=True, mode=0o700, exist_ok=True)
        staging = home / RESTORING
        staging.mkdir(exist_ok=True)
        with file_lock(staging / "lock", wait_s=0):
            try:
                archived = _unpack(archive, staging / "new")
            except BaseException:
                shutil.rmtree(staging, ignore_errors=True)
                if made and not any(home.iterdir()):
                    home.rmdir()
                raise
            aside = _move(home, staging / "new", there)
            shutil.rmtree(staging)
            fsync_directory(home)
    except OSError as error:
        raise Unavailable(f"{error.filename or home} can not be written ({error.strerror or error})") from error
    return Restored(archived, aside)


def occupied(home: Path) -> list[str]:
    """Names of what is in the home, an interrupted restore's own folder not counted."""
    try:
        return sorted(path.name for path in home.iterdir() if path.name not in _IGNORED)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unavailable(f"the home {home} can not be read: {error.strerror}") from None


def _unpack(archive: Path, folder: Path) -> Archived:
    """The archive's files in `folder`, each one checked, the catalog opened and brought to this version's schema."""
    if folder.exists():
        shutil.rmtree(folder)  # of a restore that was interrupted
    folder.mkdir()

    def store(name: str, pieces: Iterator[bytes]) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for piece in pieces:
                file.write(piece)
        path.chmod(0o600)

    archived = read_archive(archive, store)
    with closing(sqlite3.connect(folder / CATALOG)) as connection:
        try:
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            problem = str(error)
    if problem != "ok":
        raise IntegrityError(f"the catalog in {archive.name} is damaged ({problem}); use another backup")
    Catalog.open(f"sqlite:///{folder / CATALOG}").close()
    for part in ("blobs", "index", "tmp"):
        (folder / part).mkdir(exist_ok=True)
    os.sync()  # one flush of the file system, instead of one for each of very many files
    return archived


def _move(home: Path, new: Path, there: list[str]) -> Path | None:
    """What was there goes aside, then the new parts take its place, the catalog last."""
    aside: Path | None = None
    kept = [name for name in there if not name.startswith(BEFORE)]
    if kept:
        aside = home / f"{BEFORE}{datetime.now(UTC).strftime('%Y%m%dT%H%M%S%fZ')}"
        aside.mkdir(mode=0o700)
        for name in sorted(kept, key=lambda name: name != CATALOG):  # the old catalog first: no part without it
            (home / name).rename(aside / name)
    for path in sorted(new.iterdir(), key=lambda path: path.name.startswith(CATALOG)):
        path.rename(home / path.name)
    fsync_directory(home)
    return aside
