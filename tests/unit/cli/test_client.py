"""The command line's client: problem documents become our errors, 429 is waited out, uploads start over."""

from __future__ import annotations

import io
from collections.abc import Callable

import httpx
import pytest

from app.cli import client
from app.cli.client import Server, is_loopback
from app.errors import Conflict, InvalidInput, NotAuthenticated, NotFound, NotPermitted, Overloaded, Unavailable


def server(answer: Callable[[httpx.Request], httpx.Response], key: str | None = None) -> Server:
    return Server("http://127.0.0.1:9", key, transport=httpx.MockTransport(answer))


def test_a_body_comes_back_and_the_key_goes_out() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"ok": True})

    with server(answer, "k") as connected:
        assert connected.get("/v1/jobs", status="failed", cursor=None) == {"ok": True}
    assert seen[0].url.query == b"status=failed"
    assert seen[0].headers["authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, NotAuthenticated),
        (403, NotPermitted),
        (404, NotFound),
        (409, Conflict),
        (413, InvalidInput),
        (422, InvalidInput),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_problems_become_our_errors(status: int, kind: type[Exception]) -> None:
    # As the API writes them: `detail` says what the first of `errors` are.
    errors = [{"loc": ["body", "top_k"], "msg": "too big", "type": "less_than_equal"}]
    problem = {"title": "t", "detail": "body.top_k: too big", "errors": errors}
    connected = server(lambda _: httpx.Response(status, json=problem))
    with connected, pytest.raises(kind, match=rf"^the server answered {status}: body\.top_k: too big(;|$)"):
        connected.get("/x")


def test_an_answer_that_is_no_problem_document_is_still_told() -> None:
    connected = server(lambda _: httpx.Response(502, text="<html>bad gateway"))
    with connected, pytest.raises(Unavailable, match="502: <html>bad gateway"):
        connected.get("/x")


def test_overload_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(client.time, "sleep", waited.append)
    answers = iter([httpx.Response(429, headers={"Retry-After": "3"}), httpx.Response(200, json=1)])
    with server(lambda _: next(answers)) as connected:
        assert connected.post("/x", {}) == 1
    assert waited == [3.0]


def test_overload_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(client.time, "sleep", waited.append)
    connected = server(lambda _: httpx.Response(429, headers={"Retry-After": "7"}))
    with connected, pytest.raises(Overloaded) as caught:
        connected.post("/x", {})
    assert caught.value.retry_after_s == 7
    assert len(waited) == client.RETRIES


def test_a_repeated_upload_sends_the_whole_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda _: None)
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(429 if len(bodies) == 1 else 200, json={})

    with server(answer) as connected:
        connected.upload("/v1/documents", [("file", ("a.txt", io.BytesIO(b"alpha beta")))], {"collection": "c"})
    assert len(bodies) == 2
    assert all(b"alpha beta" in body for body in bodies)


def test_no_server_is_a_plain_error_with_the_remedy() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with server(refuse) as connected, pytest.raises(Unavailable, match="attest serve"):
        connected.get("/x")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "example.org", "", "0.0.0.0"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_loading_server_is_waited_for_and_a_broken_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "sleep", lambda _: None)
    loading = {"detail": "the server is not ready: loading models"}
    broken = {"detail": "the server is not ready: loading failed: no weights"}
    for last in (httpx.Response(200, json={}), httpx.Response(503, json=broken)):
        asked: list[str] = []

        def answer(request: httpx.Request, last: httpx.Response = last, asked: list[str] = asked) -> httpx.Response:
            asked.append(request.url.path)
            return httpx.Response(503, json=loading) if len(asked) < 3 else last

        with server(answer) as connected:
            connected.wait_until_ready()
        assert asked == ["/health/ready"] * 3


def test_a_download_is_written_as_it_comes_and_its_errors_are_ours() -> None:
    out = io.BytesIO()
    with server(lambda _: httpx.Response(200, content=b"archive")) as connected:
        connected.download("/v1/admin/backup", out)
    assert out.getvalue() == b"archive"
    refused = server(lambda _: httpx.Response(409, json={"detail": "another backup"}))
    with refused as connected, pytest.raises(Conflict, match="another backup"):
        connected.download("/v1/admin/backup", out)

    def cut(_: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("peer closed connection")

    with server(cut) as connected, pytest.raises(Unavailable, match="ended the download"):
        connected.download("/v1/admin/backup", out)
