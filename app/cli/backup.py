"""`attest backup` and `attest restore`: a home into one file, and a file into a home."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.serve import HomeOption
from app.errors import Conflict, InvalidInput, Unavailable

if TYPE_CHECKING:
    from app.index.archive import Archived
    from app.settings import Settings


def backup(
    file: Annotated[Path, typer.Argument(help="The archive to write, such as attest-2026-01-31.tar.gz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    home: HomeOption = None,
) -> None:
    """Write everything that must survive into one file, while the service goes on; it is read back and checked."""
    from app.cli.client import connect
    from app.cli.home import prepare
    from app.index.archive import read_archive

    if file.exists() and not force:
        raise InvalidInput(f"{file} exists already: name another file, or say --force to replace it")
    settings = prepare(home)
    server = connect(settings)
    try:
        descriptor, partial = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".partial", dir=file.parent)
    except OSError as error:
        raise Unavailable(f"{file} can not be written: {error.strerror}") from None
    try:
        with open(descriptor, "wb") as out:
            if server is not None:
                with server:
                    server.download("/v1/admin/backup", out)
            else:
                _directly(settings, out)
            out.flush()
            os.fsync(out.fileno())
        archived = read_archive(Path(partial))
        Path(partial).replace(file)
    except OSError as error:
        raise Unavailable(f"{file} can not be written: {error.strerror or error}") from error
    finally:
        Path(partial).unlink(missing_ok=True)
    print(f"{file}: {told(archived)}; {file.stat().st_size:,} bytes, read back and checked")
    _warn(archived)


def restore(
    file: Annotated[Path, typer.Argument(help="An archive that `attest backup` or POST /v1/admin/backup wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Move aside what the home holds.")] = False,
    home: HomeOption = None,
) -> None:
    """Put an archive into an empty home; every file is checked before any of it can be seen."""
    from app.cli.home import find_server, quiet_settings
    from app.index.restore import restore as put_back

    settings = quiet_settings(home)
    running = find_server(settings.home)
    if running is not None:
        raise Conflict(f"a server runs on {settings.home} ({running}): stop it first, or give another --home")
    _no_worker(settings)
    restored = put_back(file, settings.home, force=force)
    print(f"restored into {settings.home}: {told(restored.archived)}, as of {restored.archived.created_at}")
    if restored.aside is not None:
        print(f"what was there before is in {restored.aside}; remove it once you do not need it")
    _warn(restored.archived)


def told(archived: Archived) -> str:
    """What is in an archive, in a few words."""
    counts = archived.counts
    return (
        f"{counts.get('documents', 0):,} documents in {counts.get('collections', 0):,} collections, "
        f"{len(archived.files):,} files of {archived.total_bytes:,} bytes"
    )


def _warn(archived: Archived) -> None:
    for name in archived.damaged:
        print(f"warning: {name} was damaged already when the backup was made: upload that file again")
    for digest in archived.missing:
        print(f"warning: the bytes {digest} were gone already when the backup was made: upload that file again")


def _directly(settings: Settings, out: object) -> None:
    from typing import cast

    from app.index.archive import CATALOG, Writable
    from app.index.backup import back_up
    from app.index.catalog import Catalog

    if not (settings.home / CATALOG).is_file():
        raise Unavailable(f"there is nothing to back up: {settings.home} holds no {CATALOG}; give another --home")
    catalog = Catalog.open(settings.database_url)
    try:
        back_up(settings.home, catalog, cast(Writable, out))
    finally:
        catalog.close()


def _no_worker(settings: Settings) -> None:
    """Returns when no worker lives on the home. Raises Conflict."""
    from app.cli.home import living
    from app.index.archive import CATALOG
    from app.index.catalog import Catalog
    from app.index.jobs import JobQueue
    from app.index.schema import RESTORING

    if not (settings.home / CATALOG).is_file() or (settings.home / RESTORING).exists():
        return
    catalog = Catalog.open(settings.database_url)
    try:
        workers = living(JobQueue(catalog).live_workers())
    finally:
        catalog.close()
    if workers:
        raise Conflict(f"a worker runs on {settings.home} ({workers[0]}): stop it first, or give another --home")
