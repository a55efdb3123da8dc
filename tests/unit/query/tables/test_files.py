"""Files of tables: what is a name, what a row, what is left out and said."""

import datetime as dt

import duckdb
import openpyxl
import pytest

from app.errors import UnreadableDocument, UnsupportedMedia
from app.query.tables.delimited import delimiter_of
from app.query.tables.files import kind_of, read_tables
from app.query.tables.raw import looks_like_names, table_of


def csv_file(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "header", "rows"),
    [
        ("a,b\n1,2\n", ("a", "b"), [("1", "2")]),
        ('\ufeffa;b\r\n1;"x;y\nz"\r\n', ("a", "b"), [("1", "x;y\nz")]),
        ("a\tb\n1\t2\n", ("a", "b"), [("1", "2")]),
        ("Report of 2024\n\nname|count\nx|2\n", ("name", "count"), [("x", "2")]),
        ("名称,数量\n苹果,3\n".encode("utf-16"), ("名称", "数量"), [("苹果", "3")]),
        ("1,2\n3,4\n", ("column 1", "column 2"), [("1", "2"), ("3", "4")]),
        (",b,c,B\n1,2,3,4\n", ("column 1", "b", "c", "B 2"), [("1", "2", "3", "4")]),
        ("city,2023,2024\nOslo,1,2\n", ("city", "2023", "2024"), [("Oslo", "1", "2")]),
    ],
)
def test_delimited_files(tmp_path, content, header, rows):
    (table,) = read_tables(csv_file(tmp_path, content), "t")
    assert (table.header, table.rows) == (header, rows)


def test_chinese_in_an_old_encoding(tmp_path):
    text = "姓名,部门,城市\n" + "".join(f"张三{n},销售部门,北京市\n" for n in range(20))
    (table,) = read_tables(csv_file(tmp_path, text.encode("gb18030")), "t")
    assert table.header == ("姓名", "部门", "城市")
    assert table.rows[0] == ("张三0", "销售部门", "北京市")


def test_rows_that_do_not_fit_are_counted(tmp_path):
    (table,) = read_tables(csv_file(tmp_path, "a,b\n1\n1,2,3\n4,5\n"), "t")
    assert table.rows == [("1", None), ("1", "2"), ("4", "5")]
    assert table.notes == ("table 't': 1 of 3 rows have more cells than the 2 columns; cut",)
    (cut,) = read_tables(csv_file(tmp_path, "a,b\n" + "1,2\n" * 9), "t", max_rows=4)
    assert len(cut.rows) == 4
    assert cut.notes == ("table 't': only its first 4 rows are used",)


@pytest.mark.parametrize("content", ["", "\n\n", "a,b\n", "just a sentence\nand another\n"])
def test_files_without_a_table(tmp_path, content):
    assert read_tables(csv_file(tmp_path, content), "t") == []


def test_bytes_that_are_no_text_are_refused(tmp_path):
    with pytest.raises(UnreadableDocument, match="is no text"):
        read_tables(csv_file(tmp_path, b"a,b\n\x00\x01\x02"), "t")


def test_the_kind_comes_from_the_type_before_the_name(tmp_path):
    assert kind_of(tmp_path / "x.bin", "text/csv; charset=utf-8") == "csv"
    assert kind_of(tmp_path / "x.PARQUET", None) == "parquet"
    assert kind_of(tmp_path / "x.pdf", "application/pdf") is None
    with pytest.raises(UnsupportedMedia, match=r"\.csv"):
        read_tables(tmp_path / "x.pdf", "x")


@pytest.mark.parametrize(
    ("text", "delimiter"), [("a;b\n1,5;2,5\n", ";"), ("a,b\n1;x,2\n", ","), ("x\ty\n", "\t"), ("x", ",")]
)
def test_the_delimiter(text, delimiter):
    assert delimiter_of(text) == delimiter


def test_names_are_no_values():
    assert looks_like_names(["name", None, "2024"])
    assert not looks_like_names(["name", "12.5"])
    assert not looks_like_names(["2023", "2024"])
    assert not looks_like_names(["name", "2024-01-01"])
    assert table_of("t", [["only one"], ["cell"]], max_rows=9) is None


def workbook(tmp_path, fill):
    book = openpyxl.Workbook()
    fill(book)
    path = tmp_path / "book.xlsx"
    book.save(path)
    return path


def test_a_workbook_has_a_table_for_each_block_of_each_sheet(tmp_path):
    def fill(book):
        first = book.active
        first.title = "Sales"
        for row in (
            ["Sales of the year"],
            ["city", "share", "day"],
            ["Oslo", 0.125, dt.date(2024, 3, 5)],
            [],
            ["x", "y"],
            [1, 2],
        ):
            first.append(row)
        first["B3"].number_format = "0.0%"
        second = book.create_sheet("Staff")
        second.append(["name", "since"])
        second.append(["Ann", dt.datetime(2020, 1, 2)])
        book.create_sheet("Empty")

    tables = read_tables(workbook(tmp_path, fill), "book")
    assert [(table.name, table.header) for table in tables] == [
        ("Sales", ("city", "share", "day")),
        ("Sales 2", ("x", "y")),
        ("Staff", ("name", "since")),
    ]
    assert tables[0].rows == [("Oslo", "12.5%", dt.datetime(2024, 3, 5))]


def test_a_broken_workbook_is_said(tmp_path):
    path = tmp_path / "b.xlsx"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(UnreadableDocument, match="save it again"):
        read_tables(path, "b")


def test_parquet(tmp_path):
    path = tmp_path / "odd [name] *.parquet"
    with duckdb.connect() as connection:
        columns = "range AS n, 'x' || range AS s, [range] AS l, 1.50::DECIMAL(9,2) AS m"
        connection.execute(f"CREATE TABLE t AS SELECT {columns} FROM range(5)")
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    (table,) = read_tables(path, "p")
    assert table.header == ("n", "s", "l", "m")
    assert table.rows[1] == (1, "x1", "[1]", 1.5)
    assert len(table.rows) == 5
    (cut,) = read_tables(path, "p", max_rows=2)
    assert cut.notes == ("table 'p': only its first 2 rows are used",)


@pytest.mark.parametrize("content", [b"", b"PAR1 not really PAR1", b"a,b\n1,2\n"])
def test_what_is_no_parquet_is_said_without_its_path(tmp_path, content):
    path = tmp_path / "secret.parquet"
    path.write_bytes(content)
    with pytest.raises(UnreadableDocument) as caught:
        read_tables(path, "p")
    assert "secret" not in caught.value.message
