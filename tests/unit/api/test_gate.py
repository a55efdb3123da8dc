import pytest

from app.api.gate import Gate, host_name, is_loopback
from app.api.keys import KeyRing, RateLimiter
from app.errors import InvalidInput, NotAuthenticated, NotPermitted, Overloaded, TooLarge, UnsupportedMedia


async def through(
    path="/v1/ask",
    method="GET",
    headers=None,
    pieces=(b"",),
    *,
    keys=(),
    per_minute=0,
    bound_host="127.0.0.1",
    cors_origins=(),
    gate=None,
    client=("127.0.0.1", 5),
):
    """The scope as the application behind the gate saw it, its body read; raises what the gate raises."""
    seen = {}

    async def app(scope, receive, send):
        seen["scope"] = scope
        more = True
        while more:
            message = await receive()
            seen["body"] = seen.get("body", b"") + message["body"]
            more = message["more_body"]

    queue = list(pieces)

    async def receive():
        return {"type": "http.request", "body": queue.pop(0), "more_body": bool(queue)}

    async def send(message):
        raise AssertionError(message)

    given = {"host": "127.0.0.1:8000"} | (headers or {})
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "client": client,
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
    }
    gate = gate or made(keys, per_minute, bound_host, cors_origins)
    gate._app = app
    await gate(scope, receive, send)
    return seen


def made(keys=(), per_minute=0, bound_host="127.0.0.1", cors_origins=()):
    return Gate(
        None,
        keys=KeyRing(keys),
        limiter=RateLimiter(per_minute),
        bound_host=bound_host,
        cors_origins=cors_origins,
        document_bytes=3 * 2**20,
        form_bytes=30 * 2**20,
        evaluation_bytes=5 * 2**20,
    )


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("", False),
    ],
)
def test_loopback_names_this_machine_only(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("netloc", "name"),
    [("a.example:80", "a.example"), ("[::1]:80", "::1"), ("A", "a"), ("[::1", ""), ("", ""), ("a@b:1", "b")],
)
def test_the_name_in_a_host_header(netloc, name):
    assert host_name(netloc) == name


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "app.localhost:1"])
async def test_local_names_pass_without_keys(host):
    assert "scope" in await through(headers={"host": host})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "[::1"])
async def test_a_rebound_name_is_refused_without_keys(host):
    with pytest.raises(NotPermitted, match="Host"):
        await through(headers={"host": host})


async def test_any_name_passes_with_keys_or_when_bound_to_more_than_loopback():
    await through(headers={"host": "rag.example", "x-api-key": "k"}, keys=["k"])
    await through(headers={"host": "rag.example"}, bound_host="0.0.0.0")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},  # another program's page on this machine
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
async def test_a_page_of_another_site_is_refused_without_keys(headers):
    with pytest.raises(NotPermitted, match="page"):
        await through(headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "https://front.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
    ],
)
async def test_our_own_pages_listed_origins_and_links_pass(headers):
    await through(headers=headers, cors_origins=["https://front.example/"])


async def test_a_browser_that_opens_the_page_gets_it_marked_and_nothing_else():
    opening = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert (await through("/", keys=["k"], headers=opening))["scope"]["state"] == {"needs_key": True}
    assert (await through("/", headers=opening))["scope"]["state"] == {"needs_key": False}
    with_key = await through("/", keys=["k"], headers=opening | {"authorization": "Bearer k"})
    assert with_key["scope"]["state"]["principal"]
    for path, headers in (("/", {"x-api-key": "wrong"}), ("/docs", {}), ("/v1/documents", {})):
        with pytest.raises(NotAuthenticated):
            await through(path, keys=["k"], headers=opening | headers)


async def test_only_health_and_the_page_s_own_files_pass_without_a_key():
    for path in ("/health/live", "/health/ready", "/assets/index.js"):
        await through(path, keys=["k"])
    for path in (
        "/",
        "/assets",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/v1/ask",
        "/nope",
        "/health",
        "/health/live/",
        "/HEALTH/LIVE",
    ):
        with pytest.raises(NotAuthenticated):
            await through(path, keys=["k"])


async def test_the_caller_is_told_to_the_routes():
    seen = await through(headers={"authorization": "bearer k"}, keys=["k:read:a"])
    assert seen["scope"]["state"]["principal"].collections == {"a"}


async def test_the_rate_is_limited_by_key_and_guessing_by_address():
    gate = made(["a", "b"], per_minute=1)
    await through(headers={"x-api-key": "a"}, gate=gate)
    with pytest.raises(Overloaded):
        await through(headers={"x-api-key": "a"}, gate=gate)
    await through(headers={"x-api-key": "b"}, gate=gate)
    with pytest.raises(NotAuthenticated):
        await through(headers={"x-api-key": "guess-1"}, gate=gate)
    with pytest.raises(Overloaded):
        await through(headers={"x-api-key": "guess-2"}, gate=gate)
    await through("/health/live", gate=gate)


@pytest.mark.parametrize(
    ("headers", "pieces"),
    [
        ({"content-length": str(2 * 2**20 + 1)}, [b""]),
        ({"content-length": "9" * 30}, [b""]),
        ({"transfer-encoding": "chunked"}, [b"x" * 2**20] * 3),
        ({"content-length": "5"}, [b"x" * 2**20] * 3),  # a length that lies
    ],
)
async def test_a_body_over_the_limit_is_refused_whatever_its_length_says(headers, pieces):
    with pytest.raises(TooLarge):
        await through(method="POST", headers=headers | {"content-type": "application/json"}, pieces=pieces)


async def test_golden_questions_have_a_limit_of_their_own():
    for pieces, fits in ((5, True), (6, False)):
        headers = {"content-type": "application/json", "content-length": str(pieces * 2**20)}
        sent = through("/v1/evaluations", "POST", headers, [b"x" * 2**20] * pieces)
        if fits:
            await sent
        else:
            with pytest.raises(TooLarge):
                await sent
    for path in ("/v1/evaluations/eval_1", "/v1/ask"):
        with pytest.raises(TooLarge):
            await through(path, "POST", {"content-length": str(3 * 2**20)}, [b"x" * 2**20] * 3)


async def test_documents_may_be_larger_than_questions():
    body = [b"x" * 2**20] * 3
    json_headers = {"content-type": "application/json", "content-length": str(3 * 2**20)}
    seen = await through("/v1/documents", "POST", json_headers, body)
    assert len(seen["body"]) == 3 * 2**20
    form = {"content-type": "multipart/form-data; boundary=b", "content-length": str(20 * 2**20)}
    await through("/v1/documents/doc_1", "PUT", form)
    with pytest.raises(TooLarge):
        await through("/v1/documents", "POST", json_headers | {"content-length": str(5 * 2**20)})
    with pytest.raises(TooLarge):
        await through("/v1/documentsx", "POST", json_headers)


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "²"])
async def test_a_length_that_is_no_number_is_refused(length):
    with pytest.raises((InvalidInput, UnicodeError)):
        await through(method="POST", headers={"content-length": length, "content-type": "application/json"})


@pytest.mark.parametrize(
    ("path", "media_type", "taken"),
    [
        ("/v1/ask", "application/json; charset=utf-8", True),
        ("/v1/ask", "application/problem+json", True),
        ("/v1/ask", "text/plain", False),
        ("/v1/ask", "application/x-www-form-urlencoded", False),
        ("/v1/ask", "multipart/form-data; boundary=b", False),
        ("/v1/ask", "", False),
        ("/v1/documents", "multipart/form-data; boundary=b", True),
        ("/v1/documents", "application/pdf", False),
    ],
)
async def test_media_types(path, media_type, taken):
    headers = {"content-type": media_type, "content-length": "2"}
    if taken:
        await through(path, "POST", headers)
    else:
        with pytest.raises(UnsupportedMedia):
            await through(path, "POST", headers)


async def test_a_post_without_a_body_needs_no_media_type():
    await through(method="POST", headers={"content-length": "0"})
