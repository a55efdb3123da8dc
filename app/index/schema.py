"""Brings a catalog to the newest schema, programmatically; no alembic.ini."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from app.errors import Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

RESTORING = ".restoring"
"""A folder that is in a home while a restore has not brought everything into place."""

HEAD = "0005"  # a test holds it equal to the newest revision in migrations/versions


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for our migrations, running inside `connection`'s transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(connection: Connection) -> None:
    """Run the missing revisions inside the caller's transaction: all of them or, after a crash, none.

    Raises Unavailable when the catalog's revision is not one of ours, that is, a newer Attest wrote it.
    """
    found = _revision(connection)
    if found == HEAD:
        return  # importing Alembic takes longer than everything else here
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    if found is not None and found not in known:
        raise Unavailable(
            f"the catalog has schema revision {found!r}, which this Attest does not know (newest: {HEAD!r}): "
            "run the newer Attest that wrote it, or restore a backup"
        )
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
