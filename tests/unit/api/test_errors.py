import json

import pytest

from app import errors as domain
from app.api.errors import (
    FieldProblem,
    InvalidFields,
    headers_of,
    printable,
    problem_of,
    status_of,
    summary,
)


def every_error(root=domain.AttestError):
    yield root
    for child in root.__subclasses__():
        if child.__module__ == domain.__name__:
            yield from every_error(child)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (domain.InvalidInput("x"), 422),
        (domain.UnreadableDocument("x", "encrypted"), 422),
        (domain.UnsupportedMedia("x"), 415),
        (domain.TooLarge("x"), 413),
        (domain.NotFound("x"), 404),
        (domain.Conflict("x"), 409),
        (domain.NotAuthenticated("x"), 401),
        (domain.NotPermitted("x"), 403),
        (domain.Overloaded("x"), 429),
        (domain.Unavailable("x"), 503),
        (domain.MissingPackage("x"), 503),
        (domain.IntegrityError("x"), 500),
        (domain.Cancelled("x"), 499),
    ],
)
def test_each_error_has_its_status(error, status):
    assert status_of(error) == status
    assert problem_of(error)["status"] == status


def test_no_domain_error_is_forgotten():
    forgotten = [kind for kind in every_error() if kind is not domain.AttestError and status_of(kind("x")) == 500]
    assert forgotten == [domain.IntegrityError]


def test_a_problem_has_every_member_of_the_contract():
    document = problem_of(domain.NotFound("no document 'x'"), instance="/v1/documents/x", request_id="r1")
    assert document == {
        "type": "urn:attest:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "no document 'x'",
        "instance": "/v1/documents/x",
        "request_id": "r1",
        "code": "not_found",
    }


@pytest.mark.parametrize(
    "error", [RuntimeError("/srv/secret.py SELECT * FROM keys"), domain.IntegrityError("/srv/blobs/ab/cd is broken")]
)
def test_nothing_internal_is_told(error):
    document = problem_of(error)
    assert document["status"] == 500
    assert "/srv" not in json.dumps(document)
    assert "SELECT" not in json.dumps(document)


def test_fields_are_listed_and_summed_up():
    problems = [FieldProblem(loc=["body", name], msg="is wrong", type="t") for name in "abcde"]
    document = problem_of(InvalidFields(problems))
    assert document["detail"] == "body.a: is wrong; body.b: is wrong; body.c: is wrong; and 2 more"
    assert [error["loc"] for error in document["errors"]] == [["body", name] for name in "abcde"]
    assert summary([]) != ""


def test_headers_that_belong_to_an_error():
    assert headers_of(domain.Overloaded("x", retry_after_s=7)) == {"Retry-After": "7"}
    assert headers_of(domain.Overloaded("x", retry_after_s=0)) == {"Retry-After": "1"}
    assert headers_of(domain.Unavailable("x")) == {"Retry-After": "1"}
    assert headers_of(domain.NotAuthenticated("x"))["WWW-Authenticate"].startswith("Bearer")
    assert headers_of(domain.NotFound("x")) == {}


def test_what_cannot_be_encoded_is_replaced():
    assert printable("a\ud800b") == "a?b"
    assert printable("x" * 600) == "x" * 500
