"""A small database of several tables: writers, books, shops and what was sold, with declared keys or without."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_TABLES = {
    "writer": ("writer_id INTEGER", "name TEXT", "country TEXT", "birth_year INTEGER"),
    "publisher": ("publisher_id INTEGER", "name TEXT", "city TEXT"),
    "book": ("book_id INTEGER", "title TEXT", "year INTEGER", "pages INTEGER", "publisher_id INTEGER"),
    "wrote": ("writer_id INTEGER", "book_id INTEGER"),
    "shop": ("shop_id INTEGER", "shop_name TEXT", "city TEXT", "area INTEGER"),
    "sale": ("shop_id INTEGER", "book_id INTEGER", "price REAL"),
}
_KEYS = {
    "book": ("publisher_id",),
    "wrote": ("writer_id", "book_id"),
    "sale": ("shop_id", "book_id"),
}
_ROWS = {
    "writer": [(1, "Ada Moor", "Norway", 1950), (2, "Ben Hill", "Spain", 1971), (3, "Cleo Park", "Norway", 1982)],
    "publisher": [(1, "Northern Press", "Oslo"), (2, "Blue House", "Madrid")],
    "book": [
        (1, "The Long Way", 1999, 320, 1),
        (2, "Red Sand", 2005, 210, 2),
        (3, "Winter Light", 2010, 480, 1),
        (4, "Two Rivers", 2015, 150, 2),
    ],
    "wrote": [(1, 1), (1, 3), (2, 2), (2, 3), (3, 4), (1, 4)],
    "shop": [(1, "Corner Books", "Oslo", 80), (2, "Paper Moon", "Madrid", 200)],
    "sale": [(1, 1, 20.0), (1, 3, 30.0), (2, 2, 12.5), (2, 3, 25.0), (2, 4, 9.5), (2, 1, 21.0)],
}


def library(path: Path, *, keys: bool = True) -> Path:
    """The database as a SQLite file; without `keys` none is declared."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, columns in _TABLES.items():
            opened = [key for key in _KEYS.get(table, ()) if keys]
            declared = [f"FOREIGN KEY ({key}) REFERENCES {key.removesuffix('_id')} ({key})" for key in opened]
            connection.execute(f"CREATE TABLE {table} ({', '.join([*columns, *declared])})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", _ROWS[table])
    return path
