"""LangChain's and LlamaIndex' OpenAI-like classes, unmodified, against the server on loopback."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.contract.live import ROOT, listening, output_of
from tests.unit.api.harness import running

FOLDER = ROOT / "tests" / "contract" / "frameworks"
PACKAGES = Path(sys.prefix) / "frameworks"
TEXT = "Prelude.\n\nThe zebra fee is 30 euros. Nothing else costs anything."
KEY = "framework-key"


async def told(api, client):
    """What the program printed."""
    if not PACKAGES.is_dir():
        reason = "needs LangChain and LlamaIndex: `make frameworks` installs them"
        if os.environ.get("ATTEST_FORBID_SKIPS") == "1":
            pytest.fail(f"{reason} (ATTEST_FORBID_SKIPS=1 forbids the skip)", pytrace=False)
        pytest.skip(reason)
    async with listening(api) as url:
        quiet = {"LANGSMITH_TRACING": "false", "PYTHONPATH": str(PACKAGES)}
        return await output_of([sys.executable, client], FOLDER, ATTEST_URL=url, ATTEST_KEY=KEY, **quiet)


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "home", api_keys=KEY) as running_api:
        running_api.client.headers["Authorization"] = f"Bearer {KEY}"
        yield running_api


async def test_langchain_chats_streams_batches_cites_and_embeds(api):
    document = await api.add(TEXT, title="fees.txt")
    said = await told(api, "langchain_client.py")
    assert "30 euros" in said["answer"]
    assert said["finish_reason"] == "stop"
    assert said["streamed"] == said["answer"]
    assert said["pieces"] > 1
    assert said["usage"]["total_tokens"] == said["streamed_usage"]["total_tokens"] > 0
    assert said["batch"][0] == said["answer"]
    assert said["batch"][1]
    asked = [prompt for prompt in api.generator.prompts if prompt.history]
    assert [message.role for message in asked[0].history] == ["user", "assistant"]
    assert all("pirate" not in prompt.text for prompt in api.generator.prompts)
    assert "30 euros" in said["cited"]
    assert said["cited_stream"] == said["cited"]
    (note,) = said["annotations"]
    assert (note["type"], note["file_id"], note["filename"]) == ("file_citation", document, "fees.txt")
    expected = api.encoder.encode_passages(["zebra fee", "stripes"])
    assert np.allclose(said["passages"], expected, atol=1e-6)
    assert np.allclose(said["query"], expected[0], atol=1e-6)


async def test_llama_index_chats_streams_completes_and_embeds(api):
    document = await api.add(TEXT, title="fees.txt")
    said = await told(api, "llama_index_client.py")
    assert "30 euros" in said["answer"]
    (quote,) = said["citations"]
    assert quote in await api.text(document)
    assert said["streamed"] == said["answer"]
    assert said["pieces"] > 1
    assert said["later"]
    assert [message.role for message in api.generator.prompts[2].history] == ["user", "assistant"]
    assert said["completed"] == said["completed_stream"] == said["answer"]
    expected = api.encoder.encode_passages(["zebra fee", "stripes"])
    assert np.allclose(said["passages"], expected, atol=1e-6)
    assert np.allclose(said["query"], expected[0], atol=1e-6)
