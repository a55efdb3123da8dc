"""The API as a live server on loopback: streaming, clients that hang up, bodies that lie about their size."""

import asyncio
import contextlib
import json
import socket
import threading

import httpx
import pytest
import uvicorn
from structlog.testing import capture_logs

from app.main import create_app
from app.settings import LimitSettings, ServerSettings, Settings
from ingestion.bootstrap import build_worker
from tests.fakes import FakeEncoder, FakeGenerator
from tests.unit.api.harness import parse_events, wired

TIMEOUT_S = 30
QUESTION = "What is the zebra fee?"
ASKED = {
    "/v1/ask": {"question": QUESTION},
    "/v1/chat/completions": {"model": "default", "messages": [{"role": "user", "content": QUESTION}]},
    "/v1/responses": {"model": "default", "input": QUESTION},
}


class Live:
    """A server on a thread, with its services at hand."""

    def __init__(self, home, **changed):
        self.generator = FakeGenerator()
        self.encoder = FakeEncoder()
        self.settings = Settings(home=home, **changed)
        self.services = wired(self.settings, self.encoder, self.generator)
        self.app = create_app(self.settings, self.services)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, timeout_graceful_shutdown=5))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def work(self):
        with build_worker(self.settings, encoder=self.encoder) as worker:
            while worker.run_once():
                pass

    def raw(self, request):
        """What the server answers to these bytes, up to its closing the connection or the timeout."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S) as connection:
            connection.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65_536):
                    answer += piece
        return answer


@contextlib.contextmanager
def serving(home, **changed):
    live = Live(home, **changed)
    live.thread.start()
    try:
        with capture_logs() as live.logs, httpx.Client(base_url=live.url, timeout=TIMEOUT_S) as client:
            wait_until(lambda: live.server.started)
            yield live, client
    finally:
        live.server.should_exit = True
        live.thread.join(TIMEOUT_S)
        assert not live.thread.is_alive()
        live.services.close()


def wait_until(condition):
    pause = threading.Event()
    for _ in range(TIMEOUT_S * 100):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition did not come true in time")


@pytest.fixture
def live(tmp_path):
    with serving(tmp_path / "home") as (running, client):
        client.post("/v1/documents", json={"text": "Vorwort 😀.\n\nThe zebra fee is 30 euros."}).raise_for_status()
        running.work()
        yield running, client


class Held:
    """A generator step that says when it began and holds until it is cancelled or let go."""

    def __init__(self):
        self.began = threading.Event()
        self.let_go = threading.Event()
        self.saw_cancellation = threading.Event()

    def __call__(self, cancelled):
        self.began.set()
        pause = threading.Event()
        for _ in range(TIMEOUT_S * 100):
            if cancelled():
                self.saw_cancellation.set()
                return
            if self.let_go.is_set():
                return
            pause.wait(0.01)


def test_the_stream_arrives_event_by_event_and_in_order(live):
    running, client = live
    held = running.generator.on_generate = Held()
    with client.stream("POST", "/v1/ask", json={"question": "What is the zebra fee?", "stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        raw = ""
        pieces = response.iter_text()
        while "event: sources" not in raw:  # they are here although no answer is yet
            raw += next(pieces)
        assert held.began.wait(TIMEOUT_S)
        assert "event: token" not in raw
        held.let_go.set()
        raw += "".join(pieces)
    events = parse_events(raw)
    names = [name for name, _ in events]
    order = ["status", "sources", "token", "citation", "done"]
    assert names == sorted(names, key=order.index)
    assert set(names) == set(order)
    done = events[-1][1]
    citation = done["citations"][0]
    text = client.get(f"/v1/documents/{citation['document_id']}/text").content.decode()
    assert text[citation["char_start"] : citation["char_end"]] == citation["quote"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ASKED)
def test_a_client_that_hangs_up_stops_its_work_and_frees_its_place(live, path, stream):
    running, client = live
    held = running.generator.on_generate = Held()
    body = json.dumps(ASKED[path] | {"stream": stream}).encode()
    request = (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    )
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=TIMEOUT_S)
    connection.sendall(request)
    assert held.began.wait(TIMEOUT_S)
    connection.close()
    assert held.saw_cancellation.wait(TIMEOUT_S)
    state = running.app.state.attest
    wait_until(lambda: state.models.depth == 0)
    running.generator.on_generate = None
    assert client.post("/v1/ask", json={"question": "What is the zebra fee?"}).json()["abstained"] is False


def test_an_mcp_client_that_hangs_up_stops_its_work_and_frees_its_place(live):
    running, _ = live
    held = running.generator.on_generate = Held()
    call = {"name": "ask", "arguments": {"question": QUESTION}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode()
    head = (
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\nContent-Length: %d\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=TIMEOUT_S)
    connection.sendall(head % len(body) + body)
    assert held.began.wait(TIMEOUT_S)
    connection.close()
    assert held.saw_cancellation.wait(TIMEOUT_S)
    wait_until(lambda: running.app.state.attest.models.depth == 0)


def test_a_client_that_hangs_up_while_it_waits_is_taken_out_of_the_queue(live):
    running, client = live
    held = running.generator.on_generate = Held()
    first = threading.Thread(target=lambda: client.post("/v1/ask", json={"question": "What is the zebra fee?"}))
    first.start()
    assert held.began.wait(TIMEOUT_S)
    body = b'{"question": "zebra?"}'
    head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=TIMEOUT_S)
    connection.sendall(head % len(body) + body)
    state = running.app.state.attest
    wait_until(lambda: state.models.depth == 2)
    connection.close()
    wait_until(lambda: state.models.depth == 1)
    held.let_go.set()
    first.join(TIMEOUT_S)
    assert len(running.generator.prompts) == 1  # the second never reached the model


def test_the_loop_stays_free_while_the_model_works(live):
    running, client = live
    held = running.generator.on_generate = Held()
    asking = threading.Thread(target=lambda: client.post("/v1/ask", json={"question": "zebra fee?"}))
    asking.start()
    assert held.began.wait(TIMEOUT_S)
    with httpx.Client(base_url=running.url, timeout=TIMEOUT_S) as other:
        assert other.get("/health/live").status_code == 200
        assert other.get("/v1/documents").status_code == 200
        assert "attest_model_queue 1.0" in other.get("/metrics").text
    held.let_go.set()
    asking.join(TIMEOUT_S)


def test_job_events_survive_a_client_that_leaves_and_serve_the_one_that_stays(tmp_path):
    with serving(tmp_path / "home") as (running, client):
        job_id = client.post("/v1/documents", json={"text": "Followed."}).json()["job"]["id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            next(response.iter_text())
        working = threading.Thread(target=running.work)
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            working.start()
            events = parse_events("".join(response.iter_text()))
        working.join(TIMEOUT_S)
    assert events[-1][0] == "done"
    assert events[-1][1]["status"] == "succeeded"


def test_shutting_down_ends_open_streams(tmp_path):
    with serving(tmp_path / "home") as (running, client):
        job_id = client.post("/v1/documents", json={"text": "Never worked on."}).json()["job"]["id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            pieces = response.iter_text()
            assert "event: progress" in next(pieces)
            running.server.should_exit = True
            with contextlib.suppress(httpx.RemoteProtocolError):
                assert "event: done" not in "".join(pieces)
            running.thread.join(TIMEOUT_S)
            assert not running.thread.is_alive()


def test_bodies_that_lie_about_their_size_or_stop_half_way(tmp_path):
    limits = LimitSettings(upload_bytes=100_000)
    with serving(tmp_path / "home", limits=limits) as (running, client):

        def chunked():
            yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
            for _ in range(20):
                yield b"x" * 10_000
            yield b"\r\n--b--\r\n"

        headers = {"content-type": "multipart/form-data; boundary=b"}
        with contextlib.suppress(httpx.WriteError):  # the server may answer and close before all is sent
            response = client.post("/v1/documents", content=chunked(), headers=headers)
            assert response.status_code == 413
            assert response.json()["code"] == "too_large"
        cut_off = (
            b"POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b'Content-Length: 5000\r\n\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf'
        )
        with socket.create_connection(("127.0.0.1", running.port), timeout=TIMEOUT_S) as connection:
            connection.sendall(cut_off)
        nonsense = running.raw(b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n")
        assert nonsense.startswith(b"HTTP/1.1 4")
        assert client.get("/health/live").status_code == 200
        assert client.get("/v1/documents").json()["data"] == []
        assert [line for line in running.logs if line["log_level"] == "error"] == []


def test_a_large_file_streams_through_to_the_blob_store(tmp_path):
    with serving(tmp_path / "home") as (running, client):
        content = b"A line of a large file, number %d.\n"
        large = b"".join(content % number for number in range(100_000))
        response = client.post("/v1/documents", files=[("file", ("large.txt", large))])
        assert response.status_code == 202
        document = client.get(f"/v1/documents/{response.json()['documents'][0]['id']}").json()
        assert document["bytes"] == len(large)
        assert running.services.blobs.read(document["sha256"]) == large


def test_many_clients_at_once_get_an_answer_or_a_429_and_nothing_else(tmp_path):
    server = ServerSettings(model_threads=1, model_queue=2)
    with serving(tmp_path / "home", server=server) as (running, client):
        client.post("/v1/documents", json={"text": "The zebra fee is 30 euros."}).raise_for_status()
        running.work()

        async def everybody():
            async with httpx.AsyncClient(base_url=running.url, timeout=TIMEOUT_S) as crowd:
                asking = [crowd.post("/v1/ask", json={"question": f"What is the zebra fee? {n}"}) for n in range(20)]
                return await asyncio.gather(*asking)

        held = running.generator.on_generate = Held()
        threading.Timer(0.3, held.let_go.set).start()
        responses = asyncio.run(everybody())
        assert {response.status_code for response in responses} == {200, 429}
        assert all("retry-after" in response.headers for response in responses if response.status_code == 429)
        assert running.app.state.attest.models.depth == 0
