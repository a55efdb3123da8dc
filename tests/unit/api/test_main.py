import asyncio
import threading

import httpx
import pytest

from app.errors import InvalidInput, Unavailable
from app.main import check_bind, create_app
from app.settings import ServerSettings, Settings


def settings(tmp_path, **changed):
    return Settings(home=tmp_path, **changed)


def client_of(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8000")


async def reason_after_loading(client):
    for _ in range(1_000):
        problem = (await client.get("/health/ready")).json()
        if "loading failed" in problem["detail"]:
            return problem
        await asyncio.sleep(0.01)
    raise AssertionError(problem)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_loopback_may_be_bound_without_keys(tmp_path, host):
    check_bind(settings(tmp_path, server=ServerSettings(host=host)))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "rag.example"])
def test_anything_else_needs_keys_or_so_many_words(tmp_path, host):
    with pytest.raises(InvalidInput, match="ATTEST_API_KEYS"):
        check_bind(settings(tmp_path, server=ServerSettings(host=host)))
    check_bind(settings(tmp_path, server=ServerSettings(host=host, allow_open=True)))
    check_bind(settings(tmp_path, server=ServerSettings(host=host), api_keys="secret"))


def test_keys_that_cannot_be_read_stop_the_start(tmp_path):
    with pytest.raises(InvalidInput, match="entry 1"):
        create_app(settings(tmp_path, api_keys="secret:fly"))


async def test_while_models_load_it_lives_but_is_not_ready(tmp_path, monkeypatch):
    loading, release = threading.Event(), threading.Event()

    def build(_):
        loading.set()
        release.wait(10)
        raise Unavailable("the model folder /x is missing: set ATTEST_EMBEDDING__MODEL")

    monkeypatch.setattr("app.main._build", build)
    app = create_app(settings(tmp_path))
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert await asyncio.to_thread(loading.wait, 10)
        assert (await client.get("/health/live")).status_code == 200
        waiting = await client.get("/health/ready")
        assert waiting.status_code == 503
        assert waiting.headers["retry-after"] == "1"
        assert waiting.json()["detail"] == "the server is not ready: loading models"
        assert (await client.post("/v1/ask", json={"question": "x"})).status_code == 503
        release.set()
        failed = await reason_after_loading(client)
        assert "ATTEST_EMBEDDING__MODEL" in failed["detail"]
        assert (await client.get("/health/live")).status_code == 200


async def test_a_failure_that_is_not_ours_says_nothing_of_the_inside(tmp_path, monkeypatch):
    def build(_):
        raise RuntimeError("/srv/secret")

    monkeypatch.setattr("app.main._build", build)
    app = create_app(settings(tmp_path))
    async with app.router.lifespan_context(app), client_of(app) as client:
        failed = await reason_after_loading(client)
    assert failed["status"] == 503
    assert "/srv" not in failed["detail"]


async def test_an_unknown_exception_is_a_bare_500_with_its_request_id(tmp_path):
    app = create_app(settings(tmp_path))

    @app.get("/boom")
    async def boom():
        raise RuntimeError("SELECT secret FROM /srv/db")

    async with client_of(app) as client:
        response = await client.get("/boom", headers={"X-Request-ID": "mine-1"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == "mine-1"
    assert response.json()["request_id"] == "mine-1"
    assert "secret" not in response.text


@pytest.mark.parametrize("presented", ["a b", "x" * 129, "id\u00e9", "<script>", ""])
async def test_a_request_id_that_is_not_sane_is_replaced(tmp_path, presented):
    async with client_of(create_app(settings(tmp_path))) as client:
        response = await client.get("/health/live", headers={b"X-Request-ID": presented.encode("latin-1")})
    made = response.headers["x-request-id"]
    assert made != presented
    assert len(made) == 32


async def test_every_response_has_the_security_headers(tmp_path):
    async with client_of(create_app(settings(tmp_path))) as client:
        for path in ("/health/live", "/docs", "/nope", "/v1/documents"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "access-control-allow-origin" not in headers


async def test_listed_origins_get_cors_and_their_preflight_needs_no_key(tmp_path):
    server = ServerSettings(cors_origins=("https://front.example",))
    async with client_of(create_app(settings(tmp_path, server=server, api_keys="k"))) as client:
        preflight = {"Origin": "https://front.example", "Access-Control-Request-Method": "POST"}
        allowed = await client.options("/v1/ask", headers=preflight)
        other = await client.options("/v1/ask", headers=preflight | {"Origin": "https://evil.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://front.example"
    assert "access-control-allow-origin" not in other.headers
