"""A small company in a SQLite file: two tables joined by a key, and one of dates."""

import sqlite3

from app.query.construction.sql_source import SqlSource


def write_company(path):
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE departments (id INTEGER PRIMARY KEY, title TEXT, city TEXT);
            CREATE TABLE employees (
              id INTEGER PRIMARY KEY, name TEXT, salary REAL, hired TEXT,
              department_id INTEGER REFERENCES departments(id));
            INSERT INTO departments VALUES (1, 'Sales', 'Berlin'), (2, 'Research', 'Paris');
            INSERT INTO employees VALUES
              (1, 'Ann Lee', 52000, '2019-03-01', 1), (2, 'Bob Stone', 48000, '2021-07-15', 1),
              (3, 'Cleo Park', 71000, '2023-01-09', 2), (4, 'Dan O''Hara', 39000, '2024-11-30', 2);
            """
        )
    connection.close()
    return path


def company(tmp_path, **limits):
    return SqlSource("company", write_company(tmp_path / "a company.db"), **limits)
