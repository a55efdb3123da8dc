import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from app.api.multipart import read_form
from app.errors import InvalidInput, TooLarge

BOUNDARY = "b0undary"


def part(name, value, filename=None, media_type=None):
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if media_type:
        head += f"\r\nContent-Type: {media_type}"
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + value + b"\r\n"


def body_of(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def request_with(pieces, content_type=f"multipart/form-data; boundary={BOUNDARY}"):
    queue = list(pieces)

    async def receive():
        piece = queue.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(queue)}

    return Request({"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}, receive)


async def read(pieces, tmp_path, **limits):
    options = {"file_bytes": 1_000, "form_bytes": 100_000, "field_bytes": 100, "max_files": 3} | limits
    return await read_form(request_with(pieces), tmp_path, **options)


async def test_fields_and_files_arrive_whole(tmp_path):
    body = body_of(
        part("title", "北京 😀".encode()),
        part("file", b"\r\n--not the boundary\r\n\x00\xff", "a.bin", "Application/PDF; q=1"),
        part("file", b"", "empty.txt"),
    )
    form = await read([body], tmp_path)
    assert form.fields == {"title": "北京 😀"}
    first, second = form.files
    assert (first.filename, first.media_type) == ("a.bin", "application/pdf")
    assert first.stream.read() == b"\r\n--not the boundary\r\n\x00\xff"
    assert (second.filename, second.size_bytes, second.stream.read()) == ("empty.txt", 0, b"")
    form.close()
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=300), cut=st.integers(1, 40))
async def test_how_the_body_is_cut_into_pieces_changes_nothing(tmp_path_factory, content, cut):
    body = body_of(part("file", content, "x"), part("title", b"t"))
    pieces = [body[start : start + cut] for start in range(0, len(body), cut)]
    form = await read(pieces, tmp_path_factory.getbasetemp())
    assert form.files[0].stream.read() == content
    assert form.fields == {"title": "t"}
    form.close()


@pytest.mark.parametrize(
    ("body", "limits", "error", "says"),
    [
        (
            body_of(part("file", b"x" * 11, "big.txt")),
            {"file_bytes": 10},
            TooLarge,
            "'big.txt' is larger",
        ),
        (body_of(*[part("file", b"x" * 90, "x")] * 3), {"form_bytes": 400}, TooLarge, "form is larger than 400 bytes"),
        (body_of(part("metadata", b"x" * 11)), {"field_bytes": 10}, TooLarge, "'metadata' is larger than 10 bytes"),
        (body_of(*[part("file", b"", "x")] * 4), {}, InvalidInput, "at most 3 files"),
        (body_of(part("a", b""), part("b", b"")), {"max_fields": 1}, InvalidInput, "more than 1 fields"),
        (body_of(part("a", b"1"), part("a", b"2")), {}, InvalidInput, "once"),
        (body_of(part("a", b"\xff\xfe")), {}, InvalidInput, "UTF-8"),
        (part("file", b"cut off", "x"), {}, InvalidInput, "closing boundary"),
        (b"no form at all", {}, InvalidInput, "not well-formed"),
        (b"", {}, InvalidInput, "closing boundary"),
        (f"--{BOUNDARY}\r\nX: y\r\n\r\nv\r\n--{BOUNDARY}--\r\n".encode(), {}, InvalidInput, "Content-Disposition"),
        (f"--{BOUNDARY}\r\nX: {'y' * 40_000}\r\n\r\n".encode(), {}, InvalidInput, "header"),
    ],
)
async def test_bad_forms_say_what_is_wrong_and_leave_nothing_behind(tmp_path, body, limits, error, says):
    with pytest.raises(error, match=says):
        await read([body], tmp_path, **limits)
    assert list(tmp_path.iterdir()) == []


async def test_a_missing_boundary_is_named(tmp_path):
    request = request_with([b""], "multipart/form-data")
    with pytest.raises(InvalidInput, match="boundary"):
        await read_form(request, tmp_path, file_bytes=1, form_bytes=1, field_bytes=1, max_files=1)
