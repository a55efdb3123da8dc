"""A running server as the command line sees it: JSON in, JSON out, problem documents as `AttestError`s."""

from __future__ import annotations

import ipaddress
import time
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from app.errors import (
    AttestError,
    Conflict,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    Overloaded,
    Unavailable,
)

if TYPE_CHECKING:
    from app.settings import Settings

RETRIES = 8
"""How often a 429 is waited out before it is the caller's error."""

_BY_STATUS: dict[int, type[AttestError]] = {
    401: NotAuthenticated,
    403: NotPermitted,
    404: NotFound,
    409: Conflict,
    503: Unavailable,
}


class Server:
    """Requests to one server; a context manager that closes its connections."""

    def __init__(self, url: str, key: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(300.0, connect=5.0),
            trust_env=not is_loopback(urlsplit(self.url).hostname or ""),
            transport=transport,
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def wait_until_ready(self, timeout_s: float = 180.0) -> None:
        """Returns once the server has loaded its models, or has another trouble, which the next request will name."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            try:
                response = self._http.get("/health/ready")
            except httpx.TransportError:
                return
            if response.status_code != 503 or "loading models" not in response.text:
                return
            time.sleep(0.2)

    def get(self, path: str, **params: Any) -> Any:
        """The decoded body of `GET path`."""
        return self._send("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Any) -> Any:
        """The decoded body of `POST path` with a JSON body."""
        return self._send("POST", path, json=body)

    def upload(self, path: str, files: list[tuple[str, Any]], fields: dict[str, str]) -> Any:
        """The decoded body of a multipart `POST path`; `files` are `("file", (name, stream))` pairs."""
        return self._send("POST", path, files=files, data=fields)

    def download(self, path: str, out: IO[bytes]) -> None:
        """Writes the body of `POST path` to `out` as it comes."""
        try:
            with self._http.stream("POST", path) as response:
                if not response.is_success:
                    response.read()
                    raise _error(response)
                for piece in response.iter_bytes():
                    out.write(piece)
        except httpx.TransportError as error:
            raise Unavailable(
                f"the server at {self.url} ended the download of {path} ({error or type(error).__name__}): try again, "
                "and see its log"
            ) from None

    def _send(self, method: str, path: str, **kwargs: Any) -> Any:
        for attempt in range(RETRIES + 1):
            for _, part in kwargs.get("files", ()):  # a repeated upload starts at the beginning
                part[1].seek(0)
            try:
                response = self._http.request(method, path, **kwargs)
            except httpx.TimeoutException:
                raise Unavailable(f"the server at {self.url} did not answer {method} {path} in time") from None
            except httpx.InvalidURL as error:
                raise InvalidInput(f"ATTEST_URL={self.url!r} is no address of a server: {error}") from None
            except httpx.TransportError as error:
                raise Unavailable(
                    f"no Attest server answers at {self.url} ({error or type(error).__name__}); "
                    "start one with `attest serve`, or unset ATTEST_URL to work on the home directory"
                ) from None
            if response.status_code != 429 or attempt == RETRIES:
                break
            time.sleep(min(30.0, _retry_after_s(response)))
        if response.is_success:
            return response.json()
        raise _error(response)


def connect(settings: Settings) -> Server | None:
    """The server at `ATTEST_URL`, else the one that runs on this home, once it has loaded its models; else None."""
    from app.cli.home import find_server

    url = settings.url or find_server(settings.home)
    if url is None:
        return None
    server = Server(url, first_key(settings))
    server.wait_until_ready()
    return server


def first_key(settings: Settings) -> str | None:
    """The first of `ATTEST_API_KEYS`, without its scopes."""
    keys = settings.api_keys
    if not keys or isinstance(keys, str):
        return None
    return keys[0].get_secret_value().split(":", 1)[0]


def is_loopback(host: str) -> bool:
    """True for `localhost` and loopback addresses."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return max(0.1, float(response.headers.get("Retry-After", "1")))
    except ValueError:
        return 1.0


def _error(response: httpx.Response) -> AttestError:
    try:
        problem = response.json()
        said = str(problem.get("detail") or problem.get("title") or "")  # the detail names the first fields itself
    except (ValueError, AttributeError):
        said = response.text[:200]
    message = f"the server answered {response.status_code}: {said or response.reason_phrase}"
    status = response.status_code
    if status == 401:
        message += "; set ATTEST_API_KEYS to one of the server's keys"
    if status == 429:
        return Overloaded(message, int(_retry_after_s(response)))
    kind = _BY_STATUS.get(status, InvalidInput if 400 <= status < 500 else Unavailable)
    return kind(message)
