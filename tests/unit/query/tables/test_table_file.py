"""The SQLite file of tables: types, keys, and where each row stands in its document."""

import sqlite3
from contextlib import closing

import pytest

from app.errors import Unavailable
from app.query.construction.sql_source import SqlSource
from app.query.tables.loaded import Contents, LoadedTables, files_in
from app.query.tables.raw import RawTable
from app.query.tables.registry import TableSources
from app.query.tables.spans import row_spans
from app.query.tables.table_file import Placed, build_file


def test_rows_are_found_in_their_lines_in_order():
    text = "# Title\nname: Ann; pay: 5\n\nname: Bob; pay: 5\nname: Ann; pay: 5\nnothing"
    spans = row_spans(text, [("Ann", 5), ("Bob", 5.0), ("Ann", 5), ("Zed", 9), (None, None)])
    assert [text[span[0] : span[1]] if span else None for span in spans] == [
        "name: Ann; pay: 5", "name: Bob; pay: 5", "name: Ann; pay: 5", None, None,
    ]  # fmt: skip


def test_a_cell_that_is_not_in_the_line_takes_no_line():
    assert row_spans("name: Ann; pay: 5", [("Ann", 6)]) == [None]
    assert row_spans("pay: 5; name: Ann", [("Ann", 5)]) == [None]  # not in this order
    assert row_spans("", [("a", "b")]) == [None]


def raw(name, header, *rows):
    return RawTable(name, tuple(header), list(rows))


def built(tmp_path, *tables):
    path = tmp_path / "t.db"
    found = build_file(path, [Placed(table) for table in tables])
    return SqlSource("t", path, guess_keys=False), found


def test_types_and_keys(tmp_path):
    source, _ = built(
        tmp_path,
        raw("shops", ["id", "city"], ("1", "Oslo"), ("2", "Rome")),
        raw(
            "sales",
            ["shop_id", "amount", "day"],
            ("1", "1,000", "2024-01-05"),
            ("2", "20", "2024-02-06"),
            ("2", None, None),
        ),
        raw("cities", ["city", "people"], ("Oslo", "5"), ("Rome", "9")),
    )
    schema = source.schema()
    sales = schema.get("sales")
    assert [(column.name, column.type) for column in sales.columns] == [
        ("shop_id", "number"), ("amount", "number"), ("day", "date"),
    ]  # fmt: skip
    assert [(key.column, key.to_table, key.to_column) for key in sales.foreign_keys] == [("shop_id", "shops", "id")]
    assert schema.get("cities").foreign_keys == ()  # the same name is no key
    rows = source.execute("SELECT SUM(amount) FROM sales", {})
    assert rows.rows == ((1020,),)


def test_a_key_needs_every_value_to_be_there(tmp_path):
    source, _ = built(
        tmp_path,
        raw("shops", ["shop_id", "city"], ("1", "Oslo")),
        raw("sales", ["shop_id", "n"], ("1", "2"), ("7", "3")),
    )
    assert source.schema().get("sales").foreign_keys == ()


def test_names_that_sqlite_or_two_files_would_not_take(tmp_path):
    source, _ = built(
        tmp_path,
        raw("sqlite_master", ["a", "b"], ("1", "2")),
        raw('od"d; DROP TABLE x', ['q"; --', "select"], ("1", "2")),
        raw("same", ["a", "b"], ("1", "2")),
        raw("SAME", ["a", "b"], ("3", "4")),
    )
    assert {table.name for table in source.schema().tables} == {
        "table sqlite_master",
        'od"d; DROP TABLE x',
        "same",
        "SAME 2",
    }


def test_too_many_tables_are_left_out_and_said(tmp_path):
    _, found = built(tmp_path, *(raw(f"t{n}", ["a", "b"], ("1", "2")) for n in range(102)))
    assert sum("was left out" in note for note in found.notes) == 2


def test_places_follow_row_ids(tmp_path):
    text = "name: Ann; pay: 5\nname: Bob; pay: 6"
    path = tmp_path / "t.db"
    found = build_file(path, [Placed(raw("pay", ["name", "pay"], ("Ann", "5"), ("Zoe", "7"), ("Bob", "6")), 9, text)])
    places = found.places["pay"]
    assert (places.version_id, places.get(1), places.get(2), places.get(3)) == (9, (0, 17), None, (18, 35))
    assert places.get(0) is places.get(4) is None
    assert "1 of 3 rows were not found" in found.notes[0]
    assert places.within([(0, 17)]) == [1]
    assert places.within([(30, 35), (10, 20)]) == [3, 1]
    assert places.within([(17, 18)]) == places.within([]) == []


def test_loaded_tables_follow_their_files(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("name,n\nx,1\n")
    (folder / "broken.xlsx").write_bytes(b"no")
    (folder / "ignored.txt").write_text("no table")
    source = LoadedTables("mine", tmp_path / "cache", lambda: files_in("mine", folder))
    assert [table.name for table in source.schema().tables] == ["a"]
    assert "broken" in source.notes()[0]
    (folder / "b.csv").write_text("name,m\nx,1\n")
    assert [table.name for table in source.schema().tables] == ["a", "b"]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(Unavailable, match="holds no tables"):
        source.schema()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_place_that_is_gone_is_said_without_its_path(tmp_path):
    with pytest.raises(Unavailable) as caught:
        files_in("mine", tmp_path / "hidden-place")
    assert "hidden-place" not in caught.value.message


def test_what_other_processes_left_is_swept_unless_they_run(tmp_path):
    dead, alive = tmp_path / "process-999999999", tmp_path / "process-1"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "x.db").write_bytes(b"x")
    TableSources(files={}, postgres={}, documents=None, folder=tmp_path)
    assert not dead.exists()
    assert alive.exists()


def test_a_source_that_is_swept_forgets_what_is_gone(tmp_path):
    tables = [Placed(raw("t", ["a", "b"], ("1", "2")))]
    key = [1]
    source = LoadedTables("t", tmp_path, lambda: Contents(key[0], lambda: (tables, ())))
    source.schema()
    source.sweep()
    assert len(list(tmp_path.iterdir())) == 1
    key[0] = 2
    source.sweep()
    assert list(tmp_path.iterdir()) == []
    assert source.schema().get("t") is not None
    with closing(sqlite3.connect(next(tmp_path.iterdir()))) as connection:
        assert connection.execute("SELECT a, b FROM t").fetchall() == [(1, 2)]
