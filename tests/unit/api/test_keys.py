import pytest
from starlette.datastructures import Headers

from app.api.keys import ANYONE, KeyRing, Principal, RateLimiter, allowed_collections
from app.errors import InvalidInput, NotAuthenticated, NotPermitted, Overloaded


def test_without_keys_anyone_has_every_scope_and_collection():
    caller = KeyRing([]).identify(Headers({}))
    assert caller is ANYONE
    assert caller.scopes == {"read", "write", "admin"}
    assert caller.may_touch("anything")


def test_a_key_is_known_by_either_header_and_only_its_hash_is_kept():
    ring = KeyRing(["s3cret", "other:read"])
    by_bearer = ring.identify(Headers({"Authorization": "Bearer s3cret"}))
    by_header = ring.identify(Headers({"X-API-Key": "s3cret"}))
    assert by_bearer == by_header
    assert by_bearer.scopes == {"read", "write", "admin"}
    assert "s3cret" not in repr(vars(ring))


def test_scopes_and_collections_are_joined_by_plus():
    caller = KeyRing(["k:read+write:a+b"]).identify(Headers({"X-API-Key": "k"}))
    assert caller.scopes == {"read", "write"}
    assert caller.collections == {"a", "b"}


def test_empty_scopes_mean_all_of_them():
    caller = KeyRing(["k::only"]).identify(Headers({"X-API-Key": "k"}))
    assert caller.scopes == {"read", "write", "admin"}
    assert caller.collections == {"only"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "Bearer S3CRET"},
        {"Authorization": "Bearer s3cret:read"},
        {"X-API-Key": ""},
        {"X-API-Key": "\u00fff"},
    ],
)
def test_what_is_not_the_key_is_refused(headers):
    with pytest.raises(NotAuthenticated):
        KeyRing(["s3cret:read"]).identify(Headers(headers))


def test_a_key_beyond_ascii_is_compared_as_the_bytes_that_arrive():
    presented = "schlüssel".encode().decode("latin-1")  # how an HTTP server hands over a UTF-8 header
    assert KeyRing(["schlüssel"]).identify(Headers({"x-api-key": presented})).name != ANYONE.name


@pytest.mark.parametrize("entry", [":read", "  :read", "k:fly", "k:read:a:b"])
def test_an_entry_that_cannot_be_read_is_refused_without_showing_the_key(entry):
    with pytest.raises(InvalidInput) as caught:
        KeyRing(["first-secret", entry])
    assert "entry 2" in caught.value.message
    assert "first-secret" not in caught.value.message


def test_the_same_key_twice_is_refused():
    with pytest.raises(InvalidInput, match="repeats"):
        KeyRing(["k:read", "k:write"])


def test_scope_and_collection_are_needed():
    caller = Principal("x", frozenset({"read"}), frozenset({"a"}))
    caller.need("read")
    with pytest.raises(NotPermitted, match="'write'"):
        caller.need("write")
    with pytest.raises(NotPermitted) as caught:
        caller.need_collection("secret-name")
    assert "secret-name" not in caught.value.message


def test_allowed_collections_keep_their_order_and_lose_repetitions():
    assert allowed_collections(ANYONE, ["b", "a", "b"]) == ("b", "a")


def test_the_limiter_counts_each_caller_apart_and_says_when_to_come_back():
    limiter = RateLimiter(2)
    limiter.check("a")
    limiter.check("a")
    limiter.check("b")
    with pytest.raises(Overloaded) as caught:
        limiter.check("a")
    assert 1 <= caught.value.retry_after_s <= 60


def test_zero_is_no_limit():
    limiter = RateLimiter(0)
    for _ in range(1_000):
        limiter.check("a")
