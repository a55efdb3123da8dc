"""Tables as sources for questions: files → typed columns in a read-only SQLite file, and PostgreSQL beside it."""
