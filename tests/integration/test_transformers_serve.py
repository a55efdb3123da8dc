"""Our client against a real OpenAI-compatible server: `transformers serve` with a tiny random model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import Cancelled, Unavailable
from app.generation.prompted import PromptedGenerator
from app.generation.remote import RemoteChat, RemoteLimits
from app.types import GenerationOptions, Message
from tests.tiny_llama import save_tiny_llama
from tests.unit.generation.passages import passage, prompt

pytestmark = pytest.mark.timeout(300)
START_S = 200
HELLO = [Message("user", "When did the bridge open?")]


@dataclass
class Served:
    """A running server, the name it gives its model, and the model as transformers has it."""

    base_url: str
    model: str
    reference: Any


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "tiny-llama"
    reference = save_tiny_llama(folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = folder.parent / "serve.log"
    command = [
        Path(sys.executable).with_name("transformers"),
        "serve",
        str(folder),
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield Served(f"http://127.0.0.1:{port}/v1", str(folder), reference)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    pause = threading.Event()
    with httpx.Client(trust_env=False, timeout=5.0) as http:
        for _ in range(START_S * 5):
            if process.poll() is not None:
                break
            try:
                if http.get(url).status_code == 200:
                    return
            except httpx.HTTPError:
                pause.wait(0.2)
    raise AssertionError(f"transformers serve did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def chat(served: Served) -> Iterator[RemoteChat]:
    remote = RemoteChat(served.model, served.base_url, limits=RemoteLimits(first_token_s=120.0))
    yield remote
    remote.close()


def test_its_stream_is_read_to_the_last_count(served: Served, chat: RemoteChat) -> None:
    from transformers import AutoTokenizer

    deltas = list(chat.chat(HELLO, GenerationOptions(max_tokens=8), lambda: False))
    tokenizer = AutoTokenizer.from_pretrained(served.model)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": HELLO[0].content}], add_generation_prompt=True, tokenize=False
    )
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    out = served.reference.generate(ids, max_new_tokens=8, do_sample=False)
    expected = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    assert "".join(delta.text for delta in deltas) == expected
    assert deltas[-1].finish_reason == "length"
    assert (deltas[-1].prompt_tokens, deltas[-1].completion_tokens) == (ids.shape[1], 8)


def test_a_question_goes_through_to_a_generated_answer(chat: RemoteChat) -> None:
    text = "The Kestrel Bridge opened in 1932."
    generated = PromptedGenerator(chat).generate(
        prompt("When did it open?", passage(1, text, text)), GenerationOptions(max_tokens=12)
    )
    assert generated.completion_tokens == 12
    assert generated.evidence.support == 0.0  # random weights prove nothing
    assert generated.detail["finish_reason"] == "length"


def test_an_answer_can_be_cut_off_and_the_next_one_comes(chat: RemoteChat) -> None:
    gone = threading.Event()
    pieces = chat.chat(HELLO, GenerationOptions(max_tokens=1500), gone.is_set)
    next(pieces)
    gone.set()
    with pytest.raises(Cancelled):
        list(pieces)
    assert list(chat.chat(HELLO, GenerationOptions(max_tokens=3), lambda: False))[-1].completion_tokens == 3


def test_another_model_is_refused_in_plain_words(served: Served) -> None:
    other = RemoteChat("no/such-model", served.base_url)
    with pytest.raises(Unavailable, match="refused the request"):
        list(other.chat(HELLO, GenerationOptions(max_tokens=3), lambda: False))
    other.close()
