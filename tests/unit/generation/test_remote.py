import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import structlog

from app.errors import Cancelled, Overloaded, Unavailable
from app.generation.breaker import CircuitBreaker
from app.generation.chat import Delta
from app.generation.remote import RemoteChat, RemoteLimits, retry_after_s
from app.types import GenerationOptions, Message
from tests.unit.generation.chat_fakes import GOOD, Server, Stream, chunk, events, failing, sending, streamed, well

KEY = "sk-very-secret-0123456789"
QUICK = RemoteLimits(attempts=3, backoff_s=0.001, max_backoff_s=0.002)
HELLO = [Message("user", "Hello")]


@pytest.fixture(autouse=True)
def _own_logging() -> None:
    structlog.reset_defaults()  # a command that another test ran may have pointed it at a stream that is closed now


@contextmanager
def remote(
    server: Server, *, limits: RemoteLimits = QUICK, breaker: CircuitBreaker | None = None
) -> Iterator[RemoteChat]:
    chat = RemoteChat(
        "tiny", "http://models.example/v1/", api_key=KEY, limits=limits, breaker=breaker, transport=server.transport()
    )
    try:
        yield chat
    finally:
        chat.close()


def said(chat: RemoteChat, options: GenerationOptions | None = None) -> str:
    return "".join(delta.text for delta in chat.chat(HELLO, options or GenerationOptions(), lambda: False))


def test_an_answer_comes_in_pieces_with_its_end_and_its_counts() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 4}
    server = Server([lambda: streamed(*GOOD[:-1], *events({"choices": [], "usage": usage}))])
    with remote(server) as chat:
        deltas = list(chat.chat(HELLO, GenerationOptions(), lambda: False))
    assert [delta.text for delta in deltas if delta.text] == ["It opened ", "in 1932 [1]."]
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert deltas[-1] == Delta(prompt_tokens=11, completion_tokens=4)


def test_what_is_sent_is_the_model_the_messages_and_the_options_that_matter() -> None:
    server = Server([well])
    with remote(server) as chat:
        said(chat, GenerationOptions(max_tokens=9, temperature=0.5, top_p=0.9, top_k=40, seed=7))
    (sent,) = server.requests
    assert sent == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 7,
    }
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    server = Server([failing(status), failing(status), well])
    with remote(server) as chat:
        assert said(chat) == "It opened in 1932 [1]."
    assert len(server.requests) == 3


@pytest.mark.parametrize("error", [httpx.ConnectError("no"), httpx.ConnectTimeout("late"), httpx.ReadError("cut")])
def test_a_lost_connection_is_tried_again_before_any_text(error: Exception) -> None:
    server = Server([error, well])
    with remote(server) as chat:
        assert said(chat) == "It opened in 1932 [1]."


def test_a_stream_that_breaks_before_its_first_text_is_tried_again() -> None:
    server = Server([lambda: streamed(*events(chunk(""), done=False), httpx.ReadError("cut")), well])
    with remote(server) as chat:
        assert said(chat) == "It opened in 1932 [1]."


def test_a_stream_that_breaks_after_text_is_not_tried_again() -> None:
    server = Server([lambda: streamed(*events(chunk("It "), done=False), httpx.ReadError("cut")), well])
    with remote(server) as chat:
        pieces = chat.chat(HELLO, GenerationOptions(), lambda: False)
        assert next(pieces).text == "It "
        with pytest.raises(Unavailable, match="broke off"):
            next(pieces)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_final_and_says_what_to_check(status: int) -> None:
    server = Server([failing(status, {"error": {"message": f"bad key {KEY}", "code": "invalid_api_key"}})])
    breaker = CircuitBreaker(1, 60.0)
    with remote(server, breaker=breaker) as chat, pytest.raises(Unavailable, match=f"HTTP {status}, invalid_api_key"):
        said(chat)
    assert len(server.requests) == 1
    assert breaker.state == "closed", "a wrong key says nothing of the server's health"


def test_attempts_are_limited_and_429_becomes_overloaded() -> None:
    server = Server([failing(503)])
    with remote(server) as chat, pytest.raises(Unavailable, match="HTTP 503"):
        said(chat)
    assert len(server.requests) == 3
    busy = Server([failing(429, **{"retry-after": "0"})])
    with remote(busy) as chat, pytest.raises(Overloaded, match="HTTP 429"):
        said(chat)


def test_retry_after_is_respected_and_one_past_the_total_is_not_waited_for() -> None:
    server = Server([failing(429, **{"retry-after": "3600"}), well])
    limits = RemoteLimits(attempts=3, total_s=5.0)
    with remote(server, limits=limits) as chat, pytest.raises(Overloaded) as caught:
        said(chat)
    assert caught.value.retry_after_s == 3600
    assert len(server.requests) == 1


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after_s({"retry-after": "7"}) == 7.0
    assert retry_after_s({"retry-after": "-7"}) == 0.0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < (retry_after_s({"retry-after": later}) or 0) <= 100
    for useless in ("", "soon", "nan", "inf"):
        assert retry_after_s({"retry-after": useless}) is None


def test_waits_grow_with_chance_and_stay_below_their_cap() -> None:
    with remote(Server([well]), limits=RemoteLimits(backoff_s=1.0, max_backoff_s=3.0)) as chat:
        waits = [[chat._wait_s(attempt, None) for _ in range(200)] for attempt in (1, 2, 5)]
        assert all(0 <= wait <= cap for row, cap in zip(waits, (2.0, 3.0, 3.0), strict=True) for wait in row)
        assert len(set(waits[0])) > 100
        assert 2.0 <= chat._wait_s(1, 2.0) <= 2.2


@pytest.mark.parametrize(
    ("body", "gone", "there"),
    [
        ({"error": {"param": "max_tokens", "message": "use another"}}, "max_tokens", "max_completion_tokens"),
        ({"error": {"message": "Unsupported value: 'temperature' must be 1"}}, "temperature", "max_tokens"),
        ({"detail": "stream_options is not a known field"}, "stream_options", "max_tokens"),
    ],
)
def test_a_parameter_that_the_server_does_not_know_is_left_out_from_then_on(body: Any, gone: str, there: str) -> None:
    server = Server([failing(400, body if "error" in body else {"message": body["detail"]}), well])
    with remote(server) as chat:
        assert said(chat) == "It opened in 1932 [1]."
        assert said(chat) == "It opened in 1932 [1]."
    assert len(server.requests) == 3
    for request in server.requests[1:]:
        assert gone not in request
        assert there in request


async def _never() -> None:
    await asyncio.sleep(3600)


def test_no_text_within_the_limit_is_an_error_and_the_connection_is_closed() -> None:
    stream = Stream([*events(chunk(""), done=False), _never])
    with (
        remote(Server([lambda: sending(stream)]), limits=RemoteLimits(first_token_s=0.3)) as chat,
        pytest.raises(Unavailable, match=r"wrote nothing within 0\.3 s"),
    ):
        said(chat)
    assert stream.closed


def test_an_endless_answer_ends_at_the_total_limit() -> None:
    stream = Stream([*events(chunk("It "), done=False), _never])
    with (
        remote(Server([lambda: sending(stream)]), limits=RemoteLimits(total_s=0.5)) as chat,
        pytest.raises(Unavailable, match=r"did not finish its answer within 0\.5 s"),
    ):
        said(chat)
    assert stream.closed


def test_cancelling_closes_the_connection_and_does_not_count_as_a_failure() -> None:
    stream = Stream([*events(chunk("It "), done=False), _never])
    breaker, seen = CircuitBreaker(1, 60.0), threading.Event()
    with remote(Server([lambda: sending(stream)]), breaker=breaker) as chat:
        pieces = chat.chat(HELLO, GenerationOptions(), seen.is_set)
        assert next(pieces).text == "It "
        seen.set()
        with pytest.raises(Cancelled):
            next(pieces)
    assert stream.closed
    assert breaker.state == "closed"


def test_closing_the_iterator_closes_the_connection() -> None:
    stream = Stream([*events(chunk("It "), done=False), _never])
    with remote(Server([lambda: sending(stream)])) as chat:
        pieces = chat.chat(HELLO, GenerationOptions(), lambda: False)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
    assert stream.closed


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (events("not json"), "no JSON"),
        (events("[1, 2]"), "no JSON object"),
        (events({"error": {"message": f"quota of {KEY}", "type": "insufficient_quota"}}), r"\(insufficient_quota\)"),
        (events(chunk("It "), done=False), "ended in the middle"),
        ([b"data: " + b"x" * 2**21], "over a mebibyte"),
        (events(*[chunk("x" * 2**18)] * 5), "does not end"),
    ],
)
def test_what_is_no_answer_is_an_error_in_plain_words(parts: list[bytes], message: str) -> None:
    with remote(Server([lambda: streamed(*parts)])) as chat, pytest.raises(Unavailable, match=message) as caught:
        said(chat)
    assert KEY not in str(caught.value)


def test_a_server_that_does_not_stream_is_understood() -> None:
    body = {
        "choices": [{"message": {"role": "assistant", "content": "It opened."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    with remote(Server([lambda: httpx.Response(200, json=body)])) as chat:
        assert said(chat) == "It opened."


def test_log_probabilities_are_summed_over_a_piece() -> None:
    scores = {"content": [{"token": "It", "logprob": -0.5}, {"token": " ", "logprob": -0.25}]}
    piece = {"choices": [{"delta": {"content": "It "}, "logprobs": scores}]}
    server = Server([lambda: streamed(*events(piece, chunk(finish="stop")))])
    with remote(server) as chat:
        first = next(chat.chat(HELLO, GenerationOptions(), lambda: False))
    assert (first.logprob, first.tokens) == (-0.75, 2)


def test_after_enough_failures_the_server_is_left_alone_until_a_probe_succeeds() -> None:
    clock = [0.0]
    breaker = CircuitBreaker(2, 30.0, clock=lambda: clock[0])
    server = Server([failing(500), failing(500), well])
    with remote(server, limits=RemoteLimits(attempts=1), breaker=breaker) as chat:
        for _ in range(2):
            with pytest.raises(Unavailable, match="HTTP 500"):
                said(chat)
        with pytest.raises(Unavailable, match="left alone for 30 s"):
            said(chat)
        assert len(server.requests) == 2
        clock[0] = 31.0
        assert said(chat) == "It opened in 1932 [1]."
        assert breaker.state == "closed"


def test_the_key_is_in_no_log_no_error_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": KEY}}
    caplog.set_level(1)
    with structlog.testing.capture_logs() as logs:
        for response in (failing(401, echo), failing(503, echo)):
            with remote(Server([response])) as chat:
                with pytest.raises(Unavailable) as caught:
                    said(chat)
                assert KEY not in repr(chat)
                assert KEY not in str(caught.value)
    assert logs
    assert KEY not in str(logs)
    assert KEY not in caplog.text


def test_many_threads_share_one_model() -> None:
    server = Server([well])
    with remote(server) as chat:
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(said(chat))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert answers == ["It opened in 1932 [1]."] * 8


def test_a_closed_model_says_so_and_closes_twice() -> None:
    chat = RemoteChat("tiny", "http://models.example/v1")
    chat.close()
    chat.close()
    with pytest.raises(Unavailable, match="closed"):
        said(chat)
