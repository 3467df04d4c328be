"""Error -> HTTP status and JSON body, in one table. Whatever goes wrong is answered from here.

The body says what was wrong in one sentence: `{"status": 404, "error": ..., "message": ...}`, so
that programs and people can both tell.
"""

from __future__ import annotations

import logging

import orjson

from vna.errors import (
    Conflict,
    Corrupt,
    Gone,
    InvalidRequest,
    NotAcceptable,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    TooLarge,
    TooMany,
    Unavailable,
    UnsupportedMedia,
    VNAError,
)
from vna.telemetry import place_of

log = logging.getLogger(__name__)

_FAILED = "The archive failed to answer this request."

Headers = list[tuple[bytes, bytes]]

# The most specific class of an error's own order of classes counts.
STATUS: dict[type[VNAError], int] = {
    VNAError: 500,
    InvalidRequest: 400,
    NotAuthenticated: 401,
    NotPermitted: 403,
    NotFound: 404,
    NotAcceptable: 406,
    Conflict: 409,
    Gone: 410,
    TooLarge: 413,
    UnsupportedMedia: 415,
    TooMany: 429,
    Corrupt: 500,
    Unavailable: 503,
}
_MORE: dict[int, Headers] = {
    401: [(b"www-authenticate", b'Bearer realm="vna"')],
    429: [(b"retry-after", b"60")],
    503: [(b"retry-after", b"5")],
}
PROTECTED: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # pages say more; two policies both hold
    (b"content-security-policy", b"frame-ancestors 'self'"),
]
"""What every answer carries: taken for what it says, told and shown to no other site."""

KEPT = (b"cache-control", b"private, no-cache")
"""A program may keep what it asked for, and asks each time whether it still holds."""

NOT_KEPT = (b"cache-control", b"no-store")
"""What a browser shows of a patient stays nowhere."""


def status_of(exc: VNAError) -> int:
    """Return the status of an error, that of its nearest family in the table."""
    return next(STATUS[cls] for cls in type(exc).__mro__ if cls in STATUS)


def body(status: int, error: str, message: str) -> bytes:
    """Write the body of a failure."""
    return orjson.dumps({"status": status, "error": error, "message": message})


def headers(status: int, content: bytes) -> Headers:
    """Return all header fields of a failure whose body is `content`."""
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(content)),
        *PROTECTED,
        NOT_KEPT,
        *_MORE.get(status, ()),
    ]


def answer(exc: Exception, resource: str) -> tuple[int, Headers, bytes]:
    """Turn an error into a status, header fields beyond the usual, and a body.

    What is our own fault is logged, with the name of the resource.
    """
    if isinstance(exc, VNAError):
        status, name, message = status_of(exc), type(exc).__name__, str(exc)
    else:
        status, name, message = 500, "Failed", _FAILED
    if status >= 500:
        record(exc, resource, status)
    return status, _MORE.get(status, []), body(status, name, message)


def failure() -> bytes:
    """Write the body of a failure that is our own fault, and is recorded elsewhere."""
    return body(500, "Failed", _FAILED)


def record(exc: BaseException, resource: str, status: int) -> None:
    """Log a failure: its type and where it arose, for its text may hold anything."""
    level = logging.WARNING if status == 503 else logging.ERROR
    about = {"resource": resource, "status": status, "error": type(exc).__name__}
    about["trace"] = place_of(exc)
    log.log(level, "request failed", extra=about)
