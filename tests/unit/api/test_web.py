"""The page's files and a document's own bytes: what goes out, under which headers, and what never does."""

from __future__ import annotations

import gzip
import re

import httpx
import pytest

from app.api.content import CONTENT_POLICY, download_name
from app.api.web import DIST, names
from tests.unit.api.harness import assert_problem, running


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home") as made:
        yield made


def policy_of(response: httpx.Response) -> dict[str, str]:
    parts = [part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";")]
    return {part[0]: part[1] if len(part) > 1 else "" for part in parts}


async def test_the_page_runs_nothing_but_its_own_files(api):
    page = await api.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    policy = policy_of(page)
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["object-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert not re.search("unsafe|http|data:|blob:|\\*", page.headers["content-security-policy"])


async def test_every_asset_of_the_page_is_served_with_its_type(api):
    types = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    html = (await api.client.get("/")).text
    assert len(re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)) >= 3
    for name in sorted(names()):
        if not name.startswith("assets/"):
            continue
        response = await api.client.get(f"/{name}")
        assert response.status_code == 200, name
        assert response.content == (DIST / name).read_bytes()
        ending = name[name.rindex(".") :]
        assert response.headers["content-type"].startswith(types.get(ending, "")), name
        if "/pdfjs/" not in name and ending != ".txt":
            assert "immutable" in response.headers["cache-control"]


async def test_assets_travel_packed_where_the_browser_can_unpack(api):
    name = next(name for name in names() if name.endswith(".css"))
    plain = await api.client.get(f"/{name}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with api.client.stream("GET", f"/{name}", headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join([piece async for piece in packed.aiter_raw()])
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 2


async def test_only_the_worker_may_compile_and_it_may_not_reach_out(api):
    worker = next(name for name in names() if name.startswith("assets/pdf.worker"))
    policy = policy_of(await api.client.get(f"/{worker}"))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",
        "connect-src": "'self'",
    }


@pytest.mark.parametrize(
    "path",
    ["/assets/../index.html", "/assets/%2e%2e/%2e%2e/main.py", "/assets//etc/passwd", "/assets/", "/assets/nope.js"],
)
async def test_nothing_beside_the_assets_is_served(api, path):
    assert_problem(await api.client.get(path), 404)
    assert (await api.client.get("/assets/checksums.txt")).status_code == 404


async def test_with_keys_the_page_is_the_body_of_a_401_and_its_data_are_not(tmp_path):
    async with running(tmp_path / "home", api_keys="k") as api:
        opening = {"Accept": "text/html,*/*;q=0.8"}
        page = await api.client.get("/", headers=opening)
        assert page.status_code == 401
        assert page.headers["www-authenticate"] == 'Bearer realm="attest"'
        assert policy_of(page)["default-src"] == "'self'"
        entered = await api.client.get("/", headers=opening | {"Authorization": "Bearer k"})
        assert entered.status_code == 200
        assert "www-authenticate" not in entered.headers
        assert entered.content == page.content == (DIST / "index.html").read_bytes()
        assert_problem(await api.client.get("/"), 401)
        assert_problem(await api.client.get("/", headers=opening | {"Authorization": "Bearer wrong"}), 401)
        assert (await api.client.head("/", headers=opening)).status_code == 401
        asset = next(name for name in names() if name.endswith(".css"))
        assert (await api.client.get(f"/{asset}")).status_code == 200
        assert_problem(await api.client.get("/v1/documents"), 401)
        assert_problem(await api.client.get("/assets"), 401)
        assert_problem(await api.client.get("/docs"), 401)


async def test_content_is_the_upload_byte_for_byte_and_opens_nowhere(api):
    html = b"<script>alert(1)</script><p>The fee is 30 euros.</p>\r\n\xff"
    response = await api.client.post("/v1/documents", files=[("file", ('../a"b\r\n.html', html, "text/html"))])
    assert response.status_code == 202, response.text
    await api.work()
    document_id = response.json()["documents"][0]["id"]
    content = await api.client.get(f"/v1/documents/{document_id}/content")
    assert content.status_code == 200
    assert content.content == html
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["content-disposition"].startswith("attachment; filename")
    assert content.headers["x-content-type-options"] == "nosniff"
    assert content.headers["content-security-policy"] == CONTENT_POLICY
    assert CONTENT_POLICY.startswith("sandbox; ")
    assert content.headers["cache-control"] == "no-store"


async def test_parts_of_the_content_can_be_asked_for(api):
    document_id = await api.add("0123456789" * 10)
    url = f"/v1/documents/{document_id}/content"
    whole = await api.client.get(url)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    part = await api.client.get(url, headers={"Range": "bytes=5-14"})
    assert part.status_code == 206
    assert part.content == b"5678901234"
    assert part.headers["content-range"] == "bytes 5-14/100"
    assert part.headers["content-security-policy"] == CONTENT_POLICY
    beyond = await api.client.get(url, headers={"Range": "bytes=500-"})
    assert beyond.status_code == 416


async def test_content_belongs_to_its_version_and_goes_with_its_document(api):
    document_id = await api.add("First words.")
    await api.client.put(f"/v1/documents/{document_id}", json={"text": "Second words."})
    await api.work()
    url = f"/v1/documents/{document_id}/content"
    assert (await api.client.get(url)).text == "Second words."
    assert (await api.client.get(url, params={"version": 1})).text == "First words."
    assert_problem(await api.client.get(url, params={"version": 7}), 404)
    assert_problem(await api.client.get("/v1/documents/nobody/content"), 404)
    (api.services.blobs.path((await api.client.get(f"/v1/documents/{document_id}")).json()["sha256"])).unlink()
    assert "upload it again" in assert_problem(await api.client.get(url), 404)["detail"]
    await api.client.delete(f"/v1/documents/{document_id}")
    assert_problem(await api.client.get(url), 404)


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\plan.docx", "plan.docx"),
        ('a"b<c>|d?.txt', "a_b_c__d_.txt"),
        ("line\r\nbreak.txt", "line__break.txt"),
        ("right\u202egnp.exe", "right_gnp.exe"),
        ("合同.pdf", "合同.pdf"),
        ("...", "document"),
        ("", "document"),
        ("x" * 300 + ".pdf", "x" * 146 + ".pdf"),
    ],
)
def test_a_download_has_a_name_that_every_system_takes(given, safe):
    assert download_name(given) == safe
