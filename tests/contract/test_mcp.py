"""The MCP tools, spoken by the SDK's own client over streamable HTTP on loopback."""

import contextlib

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.contract.live import listening
from tests.unit.api.harness import running

TEXT = "Prelude.\n\nThe zebra fee is 30 euros. Nothing else costs anything."
QUESTION = "What is the zebra fee?"


@contextlib.asynccontextmanager
async def connected(url, key=None):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def talking(home):
    """An API and a client connected to it. No fixture: anyio's scopes must be left by the task that entered them."""
    async with running(home) as api, listening(api) as url, connected(url) as client:
        yield api, client


async def test_the_four_tools_are_described(tmp_path):
    async with talking(tmp_path / "home") as (_, client):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "ask", "list_documents", "get_document"}
        for tool in tools.values():
            assert tool.description
            assert tool.output_schema["type"] == "object"
            assert tool.annotations.read_only_hint is True
        assert tools["ask"].input_schema["required"] == ["question"]


async def test_an_answer_is_structured_and_cited_to_the_character(tmp_path):
    async with talking(tmp_path / "home") as (api, client):
        document = await api.add(TEXT, title="Fees")
        result = await client.call_tool("ask", {"question": QUESTION})
        assert not result.is_error
        answer = result.structured_content
        assert "30 euros" in answer["answer"]
        assert answer["abstained"] is False
        (citation,) = answer["citations"]
        assert citation["document_id"] == document
        text = await api.text(document)
        assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]


async def test_search_list_and_read(tmp_path):
    async with talking(tmp_path / "home") as (api, client):
        document = await api.add(TEXT, title="Fees", metadata={"year": 2024})
        found = (
            await client.call_tool("search", {"query": "zebra", "top_k": 1, "filters": {"year": {"eq": 2024}}})
        ).structured_content
        assert [hit["document_id"] for hit in found["hits"]] == [document]
        listed = (await client.call_tool("list_documents", {})).structured_content
        assert [(item["id"], item["title"], item["status"]) for item in listed["data"]] == [(document, "Fees", "ready")]
        first = (await client.call_tool("get_document", {"document_id": document, "max_chars": 10})).structured_content
        rest = (
            await client.call_tool("get_document", {"document_id": document, "char_start": first["next_start"]})
        ).structured_content
        assert first["text"] + rest["text"] == await api.text(document)
        assert rest["next_start"] is None


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("ask", {"question": " "}, "white space"),
        ("ask", {"question": "x", "collections": ["nowhere"]}, "nowhere"),
        ("search", {"query": "x", "filters": {"year": {"like": 1}}}, "like"),
        ("get_document", {"document_id": "nothing"}, "nothing"),
    ],
)
async def test_an_error_is_the_tools_own_and_says_the_remedy(tmp_path, tool, arguments, says):
    async with talking(tmp_path / "home") as (_, client):
        result = await client.call_tool(tool, arguments)
        assert result.is_error
        assert says in result.content[0].text


async def test_keys_scopes_and_collections_hold_here_too(tmp_path):
    keys = "full,team:read:team,blind:write"
    async with running(tmp_path / "home", api_keys=keys) as api:
        api.client.headers["Authorization"] = "Bearer full"
        await api.client.post("/v1/collections", json={"name": "team"})
        await api.add(TEXT)
        async with listening(api) as url:
            refused = await api.client.post("/mcp", json={}, headers={"Authorization": "Bearer wrong"})
            assert refused.status_code == 401
            async with connected(url, "team") as client:
                result = await client.call_tool("ask", {"question": QUESTION})
                assert result.is_error
                assert "collections team" in result.content[0].text
            async with connected(url, "blind") as client:
                result = await client.call_tool("search", {"query": "zebra"})
                assert result.is_error
                assert "'read'" in result.content[0].text
            async with connected(url, "full") as client:
                assert not (await client.call_tool("ask", {"question": QUESTION})).is_error
