"""API keys: who calls, with which scopes, for which collections. Keys are kept hashed and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers

from app.errors import InvalidInput, NotAuthenticated, NotPermitted, Overloaded

Scope = Literal["read", "write", "admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: `collections` None means all of them. `name` is a short hash, safe to log."""

    name: str
    scopes: frozenset[str] = SCOPES
    collections: frozenset[str] | None = None

    def need(self, scope: Scope) -> None:
        """Raises `NotPermitted` unless the key has the scope."""
        if scope not in self.scopes:
            held = "+".join(sorted(self.scopes))
            raise NotPermitted(f"this key has the scopes {held!r}; the request needs {scope!r}: use a key that has it")

    def may_touch(self, collection: str) -> bool:
        return self.collections is None or collection in self.collections

    def need_collection(self, collection: str) -> None:
        """Raises `NotPermitted` unless the key may touch the collection."""
        if not self.may_touch(collection):
            allowed = ", ".join(sorted(self.collections or ()))
            raise NotPermitted(f"this key may touch the collections {allowed}; the request touches another one")


ANYONE = Principal("anyone")


@dataclass(frozen=True, slots=True)
class _Key:
    digest: bytes
    principal: Principal


class KeyRing:
    """The keys of `ATTEST_API_KEYS`, each `KEY[:scopes[:collections]]` with parts joined by `+`; default all.

    Raises:
        InvalidInput: a key is empty, given twice, or names an unknown scope. The message never holds the key.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys: list[_Key] = []
        for number, entry in enumerate(keys, start=1):
            parts = entry.split(":")
            secret = parts[0].strip()
            if not secret or len(parts) > 3:
                raise InvalidInput(f"ATTEST_API_KEYS entry {number} must be KEY[:scopes[:collections]] with a KEY")
            scopes = _joined(parts[1]) if len(parts) > 1 else frozenset()
            if unknown := scopes - SCOPES:
                raise InvalidInput(
                    f"ATTEST_API_KEYS entry {number} has the scopes {sorted(unknown)}; there are {sorted(SCOPES)}"
                )
            collections = _joined(parts[2]) if len(parts) > 2 else frozenset()
            digest = hashlib.sha256(secret.encode()).digest()
            if any(key.digest == digest for key in self._keys):
                raise InvalidInput(f"ATTEST_API_KEYS entry {number} repeats the KEY of an earlier entry: remove one")
            principal = Principal(digest.hex()[:12], scopes or SCOPES, collections or None)
            self._keys.append(_Key(digest, principal))

    def __bool__(self) -> bool:
        return bool(self._keys)

    def identify(self, headers: Headers) -> Principal:
        """The principal of `Authorization: Bearer KEY` or `X-API-Key: KEY`; anyone at all when no keys are set.

        Raises:
            NotAuthenticated: no key, or one that is not known.
        """
        if not self._keys:
            return ANYONE
        presented = _presented(headers)
        if not presented:
            raise NotAuthenticated("this server needs an API key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        digest = hashlib.sha256(presented.encode("latin-1", "replace")).digest()
        found: Principal | None = None
        for key in self._keys:  # every key is compared, so the time says nothing of which one matched
            if hmac.compare_digest(digest, key.digest):
                found = key.principal
        if found is None:
            raise NotAuthenticated("the API key is not known to this server")
        return found


def _joined(part: str) -> frozenset[str]:
    return frozenset(name.strip() for name in part.split("+") if name.strip())


def _presented(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key", "").strip()


class RateLimiter:
    """A moving window of one minute per caller; `per_minute` 0 is no limit."""

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage()) if per_minute else None

    def check(self, caller: str) -> None:
        """Counts one request.

        Raises:
            Overloaded: the caller is over its limit; `retry_after_s` says when the window has room again.
        """
        if self._limiter is None or self._item is None or self._limiter.hit(self._item, caller):
            return
        reset_at_s = self._limiter.get_window_stats(self._item, caller).reset_time
        raise Overloaded(
            f"more than {self._item.amount} requests in a minute from this caller: wait, or raise "
            "ATTEST_LIMITS__REQUESTS_PER_MINUTE",
            retry_after_s=max(1, math.ceil(reset_at_s - time.time())),
        )


def allowed_collections(principal: Principal, wanted: Sequence[str]) -> tuple[str, ...]:
    """The wanted collections without repetitions, in order.

    Raises:
        NotPermitted: the key may not touch one of them.
    """
    unique = tuple(dict.fromkeys(wanted))
    for name in unique:
        principal.need_collection(name)
    return unique
