"""Alembic runs this file; the connection, its transaction already begun, comes from `app.index.schema`."""

from alembic import context

from app.index.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite's DDL is transactional once the driver leaves BEGIN to us
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
