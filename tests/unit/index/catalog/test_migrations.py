from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from app.errors import Unavailable
from app.index import dialect, schema, tables
from app.index.catalog import Catalog
from tests.unit.index.catalog.house import add, start_python


def test_migrations_and_tables_agree(catalog: Catalog) -> None:
    with catalog.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_migrations_make_the_same_sql_as_the_tables(catalog: Catalog, tmp_path: Path) -> None:
    """What Alembic's comparison leaves out: autoincrement, cascades, names of constraints."""
    fresh = dialect.open_engine(f"sqlite:///{tmp_path / 'fresh.db'}")

    def definitions(connection: object) -> dict[str, list[str]]:
        rows = connection.execute(  # type: ignore[attr-defined]
            text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'")
        )
        return {
            name: sorted(part.strip(" \t\n,()") for part in sql.splitlines())
            for name, sql in rows
            if "sqlite_" not in name
        }

    with dialect.writing(fresh, dialect.WriteLock()) as connection:
        tables.metadata.create_all(connection)
        expected = definitions(connection)
    fresh.dispose()
    with catalog.reading() as connection:
        assert definitions(connection) == expected


def test_head_is_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(schema.alembic_config()).get_current_head() == schema.HEAD


def test_down_and_up_again(catalog: Catalog) -> None:
    with catalog.writing() as connection:
        command.downgrade(schema.alembic_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        schema.migrate(connection)
        assert set(tables.metadata.tables) < set(inspect(connection).get_table_names())


def test_a_migration_that_fails_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(connection: object) -> None:
        connection.execute(text("CREATE TABLE half (id INTEGER)"))  # type: ignore[attr-defined]
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrate", half)
        with pytest.raises(RuntimeError):
            Catalog.open(url)
    catalog = Catalog.open(url)
    with catalog.reading() as connection:
        assert "half" not in inspect(connection).get_table_names()
    catalog.close()


def test_a_newer_catalog_is_left_alone(url: str) -> None:
    catalog = Catalog.open(url)
    with catalog.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    catalog.close()
    with pytest.raises(Unavailable, match="9999"):
        Catalog.open(url)


def test_processes_that_start_together(url: str) -> None:
    script = """
import sys
from app.index.catalog import Catalog
catalog = Catalog.open(sys.argv[1])
print([record.id for record in catalog.list_collections()])
catalog.close()
"""
    processes = [start_python(script, url) for _ in range(3)]
    for process in processes:
        output, errors = process.communicate(timeout=100)
        assert (output.strip(), errors) == ("[1]", "")
    catalog = Catalog.open(url)
    add(catalog, "One.", "x")
    assert catalog.get_document("x").status == "ready"
    catalog.close()


def test_alembic_is_not_needed_once_migrated(url: str, catalog: Catalog) -> None:
    script = """
import sys
from app.index.catalog import Catalog
Catalog.open(sys.argv[1]).close()
print([name for name in ("alembic", "fastapi", "torch", "faiss") if name in sys.modules])
"""
    output, errors = start_python(script, url).communicate(timeout=60)
    assert (output.strip(), errors) == ("[]", "")
