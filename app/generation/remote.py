"""A chat model behind any OpenAI-compatible server: streaming, with timeouts, retries and a circuit breaker."""

from __future__ import annotations

import asyncio
import queue
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from app.errors import AttestError, Cancelled, Overloaded, Unavailable
from app.generation.breaker import CircuitBreaker
from app.generation.chat import Delta
from app.generation.completions import DONE, adapted, delta_of, error_code, refused_parameter, request_body
from app.generation.event_stream import event_data
from app.generation.loop_thread import LoopThread
from app.telemetry import get_logger
from app.types import GenerationOptions, Message

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_POLL_S = 0.05
_MAX_ANSWER_CHARS = 2**20
_MAX_ERROR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class RemoteLimits:
    """How long to wait, in seconds, and how often to try.

    `first_token_s` counts from sending the request to its first piece of text, and is the longest pause between two
    pieces too. The `k`-th retry waits a random time up to `backoff_s · 2^k`, at most `max_backoff_s`, or what the
    server asks for in Retry-After.
    """

    connect_s: float = 5.0
    first_token_s: float = 60.0
    total_s: float = 300.0
    attempts: int = 3
    backoff_s: float = 0.5
    max_backoff_s: float = 8.0


class _Retry(Exception):
    """The attempt failed before any text came, in a way that may pass."""

    def __init__(self, error: AttestError, after_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after_s = after_s


class RemoteChat:
    """Implements `ChatModel`. The key goes into one header and nowhere else: no error, log or repr holds it.

    Args:
        model: as the server calls it.
        base_url: up to and without `/chat/completions`, like `http://127.0.0.1:8080/v1`.
        api_key: sent as a bearer token; None sends none.
        limits: timeouts and retries.
        breaker: shared by all requests to the server.
        logprobs: ask for the tokens' log-probabilities.
        transport: in place of the network, for tests.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        limits: RemoteLimits | None = None,
        breaker: CircuitBreaker | None = None,
        logprobs: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._model = model
        self._url = httpx.URL(base_url.rstrip("/") + "/chat/completions")
        self._redact: Callable[[str], str] = lambda text: text.replace(api_key, "***") if api_key else text
        self._headers = {"Accept": "text/event-stream"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._limits = limits or RemoteLimits()
        self._breaker = breaker or CircuitBreaker(5, 30.0)
        self._logprobs = logprobs
        self._transport = transport
        self._refused: set[str] = set()  # parameters that this server does not take
        self._thread = LoopThread("attest-remote")
        self._client: httpx.AsyncClient | None = None
        self._random = random.Random()
        self._log = get_logger("generation")

    @property
    def name(self) -> str:
        return f"remote:{self._model}"

    def chat(
        self,
        messages: Sequence[Message],
        options: GenerationOptions,
        cancelled: Callable[[], bool],
        namespace: str = "",
    ) -> Iterator[Delta]:
        """The answer's pieces; closing the iterator, or `cancelled()`, closes the connection.

        Raises:
            Cancelled: within a twentieth of a second of `cancelled()`.
            Unavailable: no connection, a timeout, a refusal, a broken stream, or the breaker is open.
            Overloaded: the server said 429 to the last attempt.
        """
        del namespace  # the server's own affair
        body = request_body(self._model, messages, options, logprobs=self._logprobs)
        self._breaker.enter()
        told = False
        pieces: queue.SimpleQueue[Delta | BaseException | None] = queue.SimpleQueue()
        try:
            work = self._thread.submit(self._answer(body, pieces.put))
        except RuntimeError:
            self._breaker.abandoned()
            raise Unavailable("the connection to the model server is closed: the service is shutting down") from None
        try:
            while True:
                if cancelled():
                    raise Cancelled("the caller cancelled the answer while the model server was writing it")
                try:
                    item = pieces.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if item is None:
                    break
                if isinstance(item, BaseException):
                    raise item
                yield item
            self._breaker.succeeded()
            told = True
        except (Unavailable, Overloaded) as error:
            if not isinstance(error, _Misconfigured):
                self._breaker.failed()
                told = True
            self._log.warning("remote_failed", model=self._model, error=error.message, circuit=self._breaker.state)
            raise
        finally:
            work.cancel()
            if not told:
                self._breaker.abandoned()

    def close(self) -> None:
        """Closes connections and ends the thread."""
        self._thread.close(self._close_client())

    async def _close_client(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _answer(self, body: dict[str, Any], put: Callable[[Delta | BaseException | None], None]) -> None:
        """Puts the deltas of the first attempt that yields any, then None; or the error."""
        try:
            async with asyncio.timeout(self._limits.total_s):
                await self._attempts(body, put)
            put(None)
        except AttestError as error:
            error.message = self._redact(error.message)  # some servers repeat the key that they refuse
            error.args = (error.message,)
            put(error)
        except TimeoutError:
            put(Unavailable(f"the model server did not finish its answer within {self._limits.total_s:g} s"))
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whoever waits must hear of it
            put(Unavailable(f"the answer of the model server could not be read ({type(error).__name__})"))

    async def _attempts(self, body: dict[str, Any], put: Callable[[Delta], None]) -> None:
        deadline_s = time.monotonic() + self._limits.total_s
        for name in self._refused:
            body = adapted(body, name) or body
        attempt = 0
        while True:
            try:
                async for delta in self._attempt(body):
                    put(delta)
                return
            except _Unsupported as refusal:
                self._refused.add(refusal.parameter)
                body = refusal.body  # asked again at once: the server is well
            except _Retry as failure:
                attempt += 1
                wait_s = self._wait_s(attempt, failure.after_s)
                if attempt >= self._limits.attempts or time.monotonic() + wait_s >= deadline_s:
                    raise failure.error from None
                self._log.info("remote_retry", model=self._model, attempt=attempt, wait_s=round(wait_s, 2))
                await asyncio.sleep(wait_s)

    def _wait_s(self, attempt: int, after_s: float | None) -> float:
        if after_s is not None:
            return after_s + self._random.uniform(0.0, 0.1 * after_s)  # not all who were told so at the same instant
        return self._random.uniform(0.0, min(self._limits.max_backoff_s, self._limits.backoff_s * 2**attempt))

    async def _attempt(self, body: dict[str, Any]) -> AsyncIterator[Delta]:
        """One request. Raises `_Retry` for what may pass, as long as no text has come."""
        begun = False
        try:
            async with (
                asyncio.timeout(self._limits.first_token_s) as first_token,
                self._http().stream("POST", self._url, json=body, headers=self._headers) as response,
            ):
                if response.status_code != 200:
                    await self._refuse(response, body)
                async for delta in _deltas(response):
                    if delta.text and not begun:
                        begun = True
                        first_token.reschedule(None)  # from here on the pause between pieces counts
                    yield delta
        except TimeoutError:
            raise Unavailable(
                f"the model server wrote nothing within {self._limits.first_token_s:g} s: it may be loading a model or "
                "be overloaded; ATTEST_GENERATION__REMOTE__FIRST_TOKEN_S is how long to wait"
            ) from None
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
                raise _Retry(
                    Unavailable(f"no connection to the model server in {self._limits.connect_s:g} s")
                ) from None
            raise Unavailable("the model server stopped writing in the middle of its answer") from None
        except httpx.TransportError as error:
            lost = Unavailable(
                f"the connection to the model server {'broke off' if begun else 'failed'} ({type(error).__name__})"
            )
            if begun:
                raise lost from None
            raise _Retry(lost) from None

    async def _refuse(self, response: httpx.Response, body: Mapping[str, Any]) -> None:
        """Raises what the status means."""
        status, text = response.status_code, self._redact(await _beginning(response))
        code = error_code(text)
        said = f"HTTP {status}{f', {code}' if code else ''}"
        if status == 429:
            after_s = retry_after_s(response.headers)
            error = Overloaded(f"the model server takes no more requests for now ({said})", max(1, round(after_s or 1)))
            raise _Retry(error, after_s)
        if status in RETRIED:
            raise _Retry(Unavailable(f"the model server failed ({said})"), retry_after_s(response.headers))
        if status in (400, 422) and (refused := refused_parameter(text)) is not None:
            other = adapted(body, refused)
            if other is not None and refused not in self._refused:
                raise _Unsupported(refused, other)
        self._log.debug("remote_refused", status=status, body=text[:500])
        raise _Misconfigured(f"the model server refused the request ({said}): {_REMEDIES.get(status, _REMEDY)}")

    def _http(self) -> httpx.AsyncClient:
        """The client, made on the loop that uses it; it follows no redirects, which would carry the key along."""
        if self._client is None:
            limits = self._limits
            timeout = httpx.Timeout(
                connect=limits.connect_s, read=limits.first_token_s, write=limits.first_token_s, pool=limits.connect_s
            )
            self._client = httpx.AsyncClient(
                timeout=timeout,
                transport=self._transport,
                trust_env=not is_near(str(self._url)),
                limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            )
        return self._client


class _Misconfigured(Unavailable):
    """The server is well, and will refuse this request again."""


class _Unsupported(Exception):
    def __init__(self, parameter: str, body: dict[str, Any]) -> None:
        super().__init__(parameter)
        self.parameter = parameter
        self.body = body


_REMEDY = "see its own log for the reason"
_REMEDIES = {
    400: "it may not know the model, or the prompt is longer than its context (lower ATTEST_CONTEXT__BUDGET_TOKENS)",
    401: "check ATTEST_GENERATION__REMOTE__API_KEY",
    403: "check ATTEST_GENERATION__REMOTE__API_KEY and what it may use",
    404: "check the model's name in ATTEST_GENERATION__MODEL and ATTEST_GENERATION__REMOTE__BASE_URL",
}


def is_near(url: str) -> bool:
    """Whether the server is on this machine, to which a proxy of the environment is no way."""
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date; None without a usable one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


async def _deltas(response: httpx.Response) -> AsyncIterator[Delta]:
    """Raises `Unavailable` for a stream that ends before the model did, or that never ends."""
    if "json" in response.headers.get("content-type", ""):  # it does not stream
        yield delta_of((await response.aread()).decode("utf-8", "replace"))
        return
    chars, finished = 0, False
    async for data in event_data(response.aiter_bytes()):
        if data.strip() == DONE:
            return
        delta = delta_of(data)
        finished = finished or delta.finish_reason is not None
        chars += len(delta.text)
        if chars > _MAX_ANSWER_CHARS:
            raise Unavailable(f"the model server's answer is over {_MAX_ANSWER_CHARS} characters: it does not end")
        yield delta
    if not finished:
        raise Unavailable("the model server's stream ended in the middle of its answer")


async def _beginning(response: httpx.Response) -> str:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= _MAX_ERROR_BYTES:
            break
    return body[:_MAX_ERROR_BYTES].decode("utf-8", "replace")
