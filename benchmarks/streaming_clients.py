"""Streamed answers over HTTP: time to the first word for one client, then many clients at once.

    python -m benchmarks.streaming_clients --data DIR [--passages 600] [--questions 48] [--clients 32]

Starts `attest serve` with a home of its own, uploads passages of `ir/nq_oracle` and asks their questions:

- one client, one question after the other, on `/v1/ask` and on `/v1/chat/completions`: milliseconds to the first event,
  to the first word of the answer and to the end of the stream;
- `--clients` clients at once, each with a question of its own, half of them on either surface, three questions each:
  every answer must equal the one that the same question got alone (answer, citations), and `slowest/median` compares
  the clients' waits;
- a burst of twice what the server queues: the rest must be refused at once with 429 and Retry-After.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROUNDS = 3
SURFACES = ("ask", "chat")


@dataclass(slots=True)
class Told:
    """What one streamed request brought; times in milliseconds from sending it."""

    status: int
    first_event_ms: float = 0.0
    first_word_ms: float = 0.0
    total_ms: float = 0.0
    text: str = ""
    quotes: tuple[str, ...] = ()
    whole: bool = False
    retry_after: str | None = None
    words: list[str] = field(default_factory=list)


async def ask(client: httpx.AsyncClient, surface: str, question: str) -> Told:
    """The answer to a question as it arrives on one of the two surfaces."""
    if surface == "ask":
        url, body = "/v1/ask", {"question": question, "stream": True}
    else:
        url, body = "/v1/chat/completions", {"model": "default", "stream": True}
        body["messages"] = [{"role": "user", "content": question}]
    started = time.perf_counter()
    async with client.stream("POST", url, json=body) as response:
        told = Told(response.status_code, retry_after=response.headers.get("retry-after"))
        if told.status != 200:
            await response.aread()
            return told
        name = ""
        async for line in response.aiter_lines():
            now_ms = 1000 * (time.perf_counter() - started)
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                told.first_event_ms = told.first_event_ms or now_ms
                word = _heard(told, name, line[6:])
                if word and not told.words:
                    told.first_word_ms = now_ms
                if word:
                    told.words.append(word)
        told.total_ms = 1000 * (time.perf_counter() - started)
    told.whole = told.whole and "".join(told.words) == (told.text or "".join(told.words))
    told.text = "".join(told.words)
    return told


def _heard(told: Told, name: str, data: str) -> str:
    """The piece of the answer in one event; notes the end and what it cites."""
    if data == "[DONE]":
        told.whole = True
        return ""
    body: dict[str, Any] = json.loads(data)
    if name == "token":
        return str(body["text"])
    if name == "done":
        told.whole, told.text = True, body["answer"]
    if name == "done" or "citations" in body:
        told.quotes = tuple(citation["quote"] for citation in body["citations"])
    choices = body.get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The address of `attest serve` with its worker and the bundled models."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ATTEST_")}
    command = [sys.executable, "-m", "app", "serve", "--home", str(home / "attest"), "--port", "0"]
    with (
        (home / "server.log").open("wb") as log,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if line.startswith("Attest answers at "):
                    yield line.split()[3]
                    break
            else:
                raise SystemExit(f"the server did not start:\n{(home / 'server.log').read_text()[-4_000:]}")
        finally:
            server.terminate()
            server.wait(60)


async def ingest(client: httpx.AsyncClient, rows: list[dict[str, Any]]) -> None:
    documents = [{"id": row["id"], "title": row["title"], "text": row["text"]} for row in rows]
    job = (await client.post("/v1/documents", json={"documents": documents})).raise_for_status().json()["job"]
    while job["status"] in ("queued", "running"):
        await asyncio.sleep(0.5)
        job = (await client.get(f"/v1/jobs/{job['id']}")).raise_for_status().json()
    if job["status"] != "succeeded":
        raise SystemExit(f"the passages could not be stored: {job['error']}")


async def measure(url: str, rows: list[dict[str, Any]], questions: list[str], clients: int) -> None:
    connections = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=connections) as client:
        started = time.perf_counter()
        await ingest(client, rows)
        print(f"{len(rows)} passages stored in {time.perf_counter() - started:.1f} s", flush=True)
        alone = await one_client(client, questions)
        await many_clients(client, questions, clients, alone)
        await burst(client, questions)


async def one_client(client: httpx.AsyncClient, questions: list[str]) -> dict[str, Told]:
    """Every question alone, on both surfaces by turns; the answers by question."""
    for question in questions[:3]:
        await ask(client, "ask", question)
    alone: dict[str, Told] = {}
    told: dict[str, list[Told]] = {surface: [] for surface in SURFACES}
    for question in questions:
        for surface in SURFACES:
            alone[question] = await ask(client, surface, question)
            told[surface].append(alone[question])
    print(f"{'one client, ms':<18}{'first event p50':>16}{'first word p50':>16}{'p95':>8}{'end p50':>10}")
    for surface in SURFACES:
        words = [one.first_word_ms for one in told[surface]]
        event = statistics.median(one.first_event_ms for one in told[surface])
        end = statistics.median(one.total_ms for one in told[surface])
        print(f"{surface:<18}{event:>16.0f}{statistics.median(words):>16.0f}{_p95(words):>8.0f}{end:>10.0f}")
    return alone


async def many_clients(client: httpx.AsyncClient, questions: list[str], clients: int, alone: dict[str, Told]) -> None:
    """All clients at once, each with its own questions one after the other."""

    async def one(number: int) -> list[tuple[str, Told]]:
        mine = [questions[(number + clients * turn) % len(questions)] for turn in range(ROUNDS)]
        return [(question, await ask(client, SURFACES[number % 2], question)) for question in mine]

    answers = await asyncio.gather(*(one(number) for number in range(clients)))
    told = [pair for each in answers for pair in each]
    waits = [sum(answer.first_word_ms for _, answer in each) / ROUNDS for each in answers]
    refused = sum(answer.status != 200 for _, answer in told)
    incomplete = sum(not answer.whole for _, answer in told) - refused
    other = sum(
        answer.whole and (answer.text, answer.quotes) != (alone[question].text, alone[question].quotes)
        for question, answer in told
    )
    print(
        f"{clients} clients at once, {ROUNDS} questions each: {len(told)} streams, {refused} refused, {incomplete} "
        f"incomplete, {other} unlike the answer alone"
    )
    first = [answer.first_word_ms for _, answer in told]
    print(
        f"first word {statistics.median(first):.0f} ms at the median, {_p95(first):.0f} p95, {max(first):.0f} longest; "
        f"a client's mean wait, slowest/median {max(waits) / statistics.median(waits):.2f}"
    )


async def burst(client: httpx.AsyncClient, questions: list[str]) -> None:
    """More at once than wait in the queue: what is over is refused at once, the others are answered."""
    from app.settings import Settings

    room = Settings(home=Path("unused")).server.model_queue
    told = await asyncio.gather(*(ask(client, "ask", questions[n % len(questions)]) for n in range(2 * room)))
    refused = [answer for answer in told if answer.status == 429]
    print(
        f"{len(told)} at once: {sum(answer.whole for answer in told)} answered, {len(refused)} refused with 429, "
        f"Retry-After {sorted({str(answer.retry_after) for answer in refused})}"
    )


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ATTEST_DATA_DIR"))
    parser.add_argument("--passages", type=int, default=600)
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--clients", type=int, default=32)
    args = parser.parse_args()
    if args.data is None or not (args.data / "ir" / "nq_oracle").is_dir():
        parser.error("--data DIR must hold ir/nq_oracle; set it or ATTEST_DATA_DIR")
    corpus = _rows(args.data / "ir" / "nq_oracle" / "corpus.jsonl.gz")[: args.passages]
    kept = {row["id"] for row in corpus}
    asked = [
        row["question"]
        for row in _rows(args.data / "ir" / "nq_oracle" / "queries.jsonl.gz")
        if set(row["relevant_ids"]) & kept
    ]
    questions = list(dict.fromkeys(asked))[: max(args.questions, args.clients)]
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as url:
        asyncio.run(measure(url, corpus, questions, args.clients))


if __name__ == "__main__":
    main()
