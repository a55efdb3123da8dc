import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.errors import InvalidFields
from app.api.multipart import Form, UploadedFile
from app.api.submissions import Item, Rejected, from_form, from_json, parse_json, safe_filename
from app.errors import InvalidInput, TooLarge
from app.settings import LimitSettings

LIMITS = LimitSettings(upload_bytes=50, batch_documents=4, metadata_bytes=64)


def file(name="a.txt", field="file", media_type=None):
    return UploadedFile(field, name, media_type, io.BytesIO(b"x"), 1)


def test_one_document_with_its_defaults():
    submission = from_json({"text": "héllo 北京"}, LIMITS)
    (item,) = submission.items
    assert item == Item("héllo 北京".encode(), "text/plain", None, None, None, {})
    assert (submission.collection, submission.batch) == (None, False)


def test_one_document_with_everything():
    given = {
        "text": "# T",
        "title": "T",
        "media_type": "Text/Markdown; charset=utf-8",
        "collection": "c",
        "metadata": {"year": 2024, "tags": ["a", "b"], "ok": True},
        "source_url": "https://example.org/t",
        "id": "mine",
    }
    submission = from_json(given, LIMITS)
    (item,) = submission.items
    assert item.media_type == "text/markdown"
    assert item.metadata == {"year": 2024, "tags": ["a", "b"], "ok": True}
    assert (item.title, item.source_url, item.document_id) == ("T", "https://example.org/t", "mine")
    assert submission.collection == "c"


@pytest.mark.parametrize(
    ("value", "loc"),
    [
        ([], ["body"]),
        ({}, ["body", "text"]),
        ({"text": 5}, ["body", "text"]),
        ({"text": "a", "txet": "b"}, ["body", "txet"]),
        ({"text": "a\ud800"}, ["body", "text"]),
        ({"text": "a", "title": "nul\x00"}, ["body", "title"]),
        ({"text": "a", "media_type": "plain"}, ["body", "media_type"]),
        ({"text": "a", "metadata": "year"}, ["body", "metadata"]),
        ({"text": "a", "metadata": {"when": "x" * 80}}, ["body", "metadata"]),
        ({"documents": "x"}, ["body", "documents"]),
        ({"documents": []}, ["body", "documents"]),
        ({"documents": [{"text": "a"}] * 5}, ["body", "documents"]),
        ({"documents": [{"text": "a"}], "limit": 1}, ["body", "limit"]),
    ],
)
def test_what_is_wrong_is_named(value, loc):
    with pytest.raises(InvalidFields) as caught:
        from_json(value, LIMITS)
    assert loc in [error.loc for error in caught.value.errors]
    json.dumps([error.model_dump() for error in caught.value.errors], ensure_ascii=False).encode()


@pytest.mark.parametrize("metadata", [{"deep": {"er": 1}}, {"none": None}, {"nan": float("nan")}, {"big": 10**400}])
def test_metadata_values_are_scalars_or_lists_of_them(metadata):
    with pytest.raises(InvalidFields) as caught:
        from_json({"text": "a", "metadata": metadata}, LIMITS)
    assert all(error.loc[:2] == ["body", "metadata"] for error in caught.value.errors)


def test_a_text_over_the_limit_is_too_large():
    with pytest.raises(TooLarge, match="51 bytes"):
        from_json({"text": "é" * 25 + "x"}, LIMITS)


def test_items_of_a_batch_fail_one_by_one():
    entries = [{"text": "good"}, {"id": "mine", "text": 5}, "no object", {"text": "x" * 51}]
    submission = from_json({"documents": entries, "collection": "c"}, LIMITS)
    assert submission.batch
    kinds = [type(item) for item in submission.items]
    assert kinds == [Item, Rejected, Rejected, Rejected]
    rejected = submission.items[1]
    assert isinstance(rejected, Rejected)
    assert rejected.document_id == "mine"
    assert "documents.1.text" in rejected.error.message


def test_a_batch_without_one_good_item_is_refused_as_a_whole():
    with pytest.raises(InvalidFields) as caught:
        from_json({"documents": [{"text": 1}, {}]}, LIMITS)
    assert [error.loc for error in caught.value.errors] == [
        ["body", "documents", 0, "text"],
        ["body", "documents", 1, "text"],
    ]


def test_put_takes_one_document_only():
    with pytest.raises(InvalidFields) as caught:
        from_json({"documents": [{"text": "a"}]}, LIMITS, single=True)
    assert ["body", "documents"] in [error.loc for error in caught.value.errors]
    with pytest.raises(InvalidFields, match="one file"):
        from_form(Form(files=[file(), file()]), LIMITS, single=True)


def test_a_form_says_the_same_of_every_file():
    form = Form({"title": "T", "metadata": '{"year": 1}', "collection": "c"}, [file("a.txt"), file("b.md")])
    submission = from_form(form, LIMITS)
    assert [(item.filename, item.title, item.metadata) for item in submission.items if isinstance(item, Item)] == [
        ("a.txt", "T", {"year": 1}),
        ("b.md", "T", {"year": 1}),
    ]
    assert submission.collection == "c"


def test_a_media_type_that_says_nothing_is_left_to_sniffing():
    (item,) = from_form(Form(files=[file(media_type="application/octet-stream")]), LIMITS).items
    assert isinstance(item, Item)
    assert item.media_type is None


@pytest.mark.parametrize(
    ("form", "loc"),
    [
        (Form(), ["body", "file"]),
        (Form({"file": "text"}), ["body", "file"]),
        (Form({"colection": "c"}, [file()]), ["body", "colection"]),
        (Form({}, [file(field="upload")]), ["body", "upload"]),
        (Form({"metadata": "{"}, [file()]), ["body", "metadata"]),
        (Form({"metadata": "[1]"}, [file()]), ["body", "metadata"]),
        (Form({"metadata": '{"a": {"b": 1}}'}, [file()]), ["body", "metadata", "a"]),
        (Form({"title": "x" * 1_001}, [file()]), ["body", "title"]),
    ],
)
def test_what_is_wrong_with_a_form_is_named(form, loc):
    with pytest.raises(InvalidFields) as caught:
        from_form(form, LIMITS)
    assert any(error.loc[: len(loc)] == loc for error in caught.value.errors)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"NaN", b'{"a": Infinity}', b"[" * 200_000, b"1" * 5_000, b'{"a":1}{"b":2}']
)
def test_what_is_no_ordinary_json_is_refused(raw):
    with pytest.raises(InvalidInput):
        parse_json(raw)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/abs/olute.txt", "olute.txt"),
        ("a\x00b\n\x1b[31m.txt", "ab[31m.txt"),
        ("\u202egnp.exe", "gnp.exe"),  # a right-to-left override
        ("报告 😀.docx", "报告 😀.docx"),
        ("e\u0301.txt", "é.txt"),
        ("..", None),
        ("dir/", None),
        ("", None),
        (None, None),
        ("x" * 4_096 + ".pdf", "x" * 251 + ".pdf"),
        ("x" * 4_096, "x" * 255),
    ],
)
def test_hostile_file_names_become_harmless(given, kept):
    assert safe_filename(given) == kept


@given(st.text(max_size=400))
def test_a_file_name_is_always_one_encodable_component(name):
    kept = safe_filename(name)
    if kept is not None:
        assert 0 < len(kept) <= 255
        assert not set(kept) & set("/\\\x00\r\n")
        kept.encode("utf-8")
