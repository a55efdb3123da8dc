"""OpenAI's own client for Node, unmodified, against the server on loopback."""

import os
import shutil

import numpy as np
import pytest

from tests.contract.live import ROOT, listening, output_of, working
from tests.unit.api.harness import running

FOLDER = ROOT / "tests" / "contract" / "npm"
TEXT = "Prelude.\n\nThe zebra fee is 30 euros. Nothing else costs anything."
KEY = "npm-key"

pytestmark = pytest.mark.system_package("nodejs", "node")


async def told(api, part):
    """What the part of client.mjs printed."""
    if not (FOLDER / "node_modules" / "openai").is_dir():
        reason = "needs npm's openai: `make client-packages` installs it"
        if os.environ.get("ATTEST_FORBID_SKIPS") == "1":
            pytest.fail(f"{reason} (ATTEST_FORBID_SKIPS=1 forbids the skip)", pytrace=False)
        pytest.skip(reason)
    async with listening(api) as url:
        return await output_of([shutil.which("node"), "client.mjs", part], FOLDER, ATTEST_URL=url, ATTEST_KEY=KEY)


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home", api_keys=KEY) as running_api:
        running_api.client.headers["Authorization"] = f"Bearer {KEY}"
        yield running_api


async def test_chat_whole_streamed_and_gathered_by_the_client(api):
    document = await api.add(TEXT, title="Fees", source_url="https://x.example/fees")
    said = await told(api, "chat")
    answer = said["whole"]["choices"][0]["message"]
    assert "30 euros" in answer["content"]
    cited = answer["annotations"][0]["url_citation"]
    assert (cited["url"], cited["title"]) == ("https://x.example/fees", "Fees")
    assert "30 euros" in answer["content"][cited["start_index"] : cited["end_index"]]
    citation = said["whole"]["citations"][0]
    assert (await api.text(document))[citation["char_start"] : citation["char_end"]] == citation["quote"]
    pieces = [chunk["choices"][0] for chunk in said["chunks"] if chunk["choices"]]
    assert "".join(piece["delta"].get("content") or "" for piece in pieces) == answer["content"]
    assert pieces[-1]["finish_reason"] == "stop"
    assert said["chunks"][-1]["usage"] == said["whole"]["usage"]
    assert "".join(said["deltas"]) == answer["content"]
    assert said["final"]["choices"][0]["message"]["content"] == answer["content"]


async def test_responses_whole_streamed_continued_and_kept(api):
    await api.add(TEXT, title="fees.txt")
    said = await told(api, "responses")
    search, message = said["whole"]["output"]
    assert (search["type"], search["status"]) == ("file_search_call", "completed")
    assert "30 euros" in search["results"][0]["text"]
    assert message["content"][0]["annotations"][0]["type"] == "file_citation"
    assert "30 euros" in said["output_text"]
    kinds = [event["type"] for event in said["events"]]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert [event["sequence_number"] for event in said["events"]] == list(range(len(kinds)))
    deltas = [event["delta"] for event in said["events"] if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == said["output_text"]
    assert said["kept"] == said["output_text"]
    assert said["next"]
    assert [message.role for message in api.generator.prompts[-1].history] == ["user", "assistant"]


async def test_embeddings_are_the_same_in_both_encodings(api):
    said = await told(api, "embeddings")
    expected = api.encoder.encode_passages(["zebra fee", "中国的首都"])
    for kind in ("packed", "plain"):
        assert np.allclose([item["embedding"] for item in said[kind]["data"]], expected, atol=1e-6), kind
        assert said[kind]["usage"]["total_tokens"] > 0


async def test_models_are_the_collections(api):
    await api.client.post("/v1/collections", json={"name": "contracts"})
    said = await told(api, "models")
    assert said["ids"][:2] == ["contracts", "default"]
    assert (said["one"]["id"], said["one"]["object"]) == ("default", "model")


async def test_files_and_vector_stores_from_upload_to_deletion(api):
    async with working(api):
        said = await told(api, "stores")
    assert (said["store"]["id"], said["store"]["metadata"]) == ("Zebra-files", {"team": "zoo"})
    assert (said["file"]["filename"], said["file"]["status"]) == ("fees.txt", "processed")
    assert (said["attached"]["status"], said["attached"]["attributes"]["year"]) == ("completed", 2024)
    assert said["batch"]["status"] == "completed"
    assert said["batch"]["file_counts"]["completed"] == 2
    (hit,) = said["found"]
    assert (hit["file_id"], hit["filename"]) == (said["file"]["id"], "fees.txt")
    assert hit["content"][0]["text"] == said["content"] == "The zebra fee is 30 euros."
    assert len(set(said["listed"])) == 3
    assert sorted(said["uploaded"]) == ["fees.txt", "one.txt", "two.txt"]
    assert [one["deleted"] for one in said["gone"]] == [True, True, True]


async def test_errors_become_the_clients_own(api):
    wrong, missing, empty, file = (await told(api, "errors"))["told"]
    assert (wrong["kind"], wrong["code"]) == ("AuthenticationError", "invalid_api_key")
    assert (missing["kind"], missing["code"], missing["param"]) == ("NotFoundError", "model_not_found", "model")
    assert (empty["kind"], empty["param"]) == ("BadRequestError", "messages")
    assert file["kind"] == "NotFoundError"
