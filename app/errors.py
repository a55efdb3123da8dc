"""The exception tree. Domain errors know no HTTP status; `app/api/errors.py` maps them.

AttestError
├── InvalidInput            the caller's argument is wrong: the message names it, its value, the constraint, the remedy
│   ├── UnsupportedMedia    no loader for these bytes
│   ├── UnreadableDocument  encrypted, corrupt, empty, a zip bomb, over a limit
│   └── TooLarge            over a stated limit (bytes, characters, items)
├── NotFound                no such collection, document, job, answer
├── Conflict                the state does not allow it (name taken, job already ended)
├── NotAuthenticated        no key or an unknown one
├── NotPermitted            the key lacks the scope or the collection
├── Overloaded              a bounded queue is full; `retry_after_s` says when to come back
├── Unavailable             a part is missing or not ready: a model, a system package, an index
│   └── MissingPackage      a system package that the message names
├── IntegrityError          bytes on disk are not what their checksum or manifest says
└── Cancelled               the caller went away or cancelled
"""

from __future__ import annotations


class AttestError(Exception):
    """Root of every error that Attest raises on purpose. `code` is stable and machine-readable."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInput(AttestError):
    code = "invalid_input"


class UnsupportedMedia(InvalidInput):
    code = "unsupported_media"


class UnreadableDocument(InvalidInput):
    """`code` narrows the cause: encrypted, empty, corrupt, zip_bomb, too_large, no_text."""

    code = "unreadable_document"

    def __init__(self, message: str, code: str = "unreadable_document") -> None:
        super().__init__(message)
        self.code = code


class TooLarge(InvalidInput):
    code = "too_large"


class NotFound(AttestError):
    code = "not_found"


class Conflict(AttestError):
    code = "conflict"


class NotAuthenticated(AttestError):
    code = "not_authenticated"


class NotPermitted(AttestError):
    code = "not_permitted"


class Overloaded(AttestError):
    code = "overloaded"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(AttestError):
    code = "unavailable"


class MissingPackage(Unavailable):
    code = "missing_package"


class IntegrityError(AttestError):
    code = "integrity"


class Cancelled(AttestError):
    code = "cancelled"
