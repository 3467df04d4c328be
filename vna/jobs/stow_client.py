"""Our side of the Store transaction (PS3.18 10.5): requests written as they are sent.

They go through the gate (vna/outbound.py), which lets an archive that an administrator named stand
in the house; of an answer no more is read than one to so many instances can have.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from vna.access.peers import Peer
from vna.config import Settings
from vna.dicom.refs import UID, uid
from vna.errors import InvalidUID, NotAcceptable, Unavailable
from vna.outbound import Gate, Plain, Use, named, trusting

_ANSWER_MOST = 16 << 20
_MEDIA = "application/dicom+json"
_REFERENCED, _FAILED = "00081199", "00081198"
_INSTANCE, _FAILURE_REASON, _WARNING_REASON = "00081155", "00081197", "00081196"
_MOST_REASON = 0xFFFF
# try again later: our token may be renewed there, and the rest are troubles that pass
_PASSING = frozenset((401, 403, 404, 407, 408, 425, 429, 500, 502, 503, 504, 507))


class PayloadTooLarge(NotAcceptable):
    """It is larger than the DICOMweb archive takes."""  # 413 (PS3.18 Table 10.5.3-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One instance of a request, as a DICOM file."""

    transfer_syntax: str
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How it went with one instance: done, warning, failed or waiting."""

    state: str
    reason: int | None = None
    cause: str | None = None


class Client:
    """Speaks to one DICOMweb archive; not shared by threads."""

    def __init__(self, peer: Peer, settings: Settings) -> None:
        """Raises `Unavailable` when it would be spoken to in the clear."""
        if not (peer.is_secure or settings.dev):
            raise Unavailable("A DICOMweb archive elsewhere is spoken to over https only.")
        self._url = peer.url.rstrip("/") + "/studies"
        self._headers = {"Accept": _MEDIA}
        if peer.token is not None:
            self._headers["Authorization"] = f"Bearer {peer.token}"
        self._caller = Gate(settings.outbound).caller(
            timeout_s=settings.dicom.response_s,
            use=Use(
                called="The DICOMweb archive",
                named=named(peer.url),
                plain=Plain.ANYWHERE if settings.dev else Plain.HERE,
                tls=trusting(pem=peer.authority),
            ),
        )

    def __enter__(self) -> Client:
        """Begin to speak to it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what is open to it."""
        self._caller.close()

    def store(self, parts: Iterable[Part]) -> dict[UID, Answer]:
        """Store instances; say how it went with each that the answer names.

        Raises `PayloadTooLarge` when it may go better with fewer, `Unavailable` when it may later,
        `NotAcceptable` and `TooLarge` when it will not, `NotPermitted` when it may not be called,
        and whatever reading the parts raises.
        """
        boundary = uuid.uuid4().hex
        media = f'multipart/related; type="application/dicom"; boundary={boundary}'
        answer = self._caller.ask(
            "POST",
            self._url,
            content=_body(parts, boundary.encode()),
            headers={**self._headers, "Content-Type": media},
            most=_ANSWER_MOST,
        )
        return _answers(answer.status, answer.body)


def _body(parts: Iterable[Part], boundary: bytes) -> Iterator[bytes]:
    for part in parts:
        yield b"--%b\r\nContent-Type: application/dicom; transfer-syntax=%b\r\n\r\n" % (
            boundary,
            part.transfer_syntax.encode(),
        )
        yield from part.chunks
        yield b"\r\n"
    yield b"--%b--\r\n" % boundary


def _answers(status: int, body: bytes) -> dict[UID, Answer]:
    if status in _PASSING:
        raise Unavailable(f"The DICOMweb archive answers with status {status}.")
    if status == 413:
        raise PayloadTooLarge
    if status not in (200, 202, 409):
        raise NotAcceptable(f"The DICOMweb archive answers with status {status}.")
    try:
        told = orjson.loads(body)
        one = told[0] if isinstance(told, list) else told
        found = dict(_failed(one.get(_FAILED)))
        return {**dict(_stored(one.get(_REFERENCED))), **found}
    except (ValueError, AttributeError, TypeError, LookupError) as exc:
        raise Unavailable(
            f"The DICOMweb archive answers {status} without saying how it went."
        ) from exc


def _stored(sequence: Any) -> Iterator[tuple[UID, Answer]]:  # an element of DICOM JSON
    for instance, item in _items(sequence):
        reason = _number(item, _WARNING_REASON)
        if reason is None:
            yield instance, Answer(state="done", reason=0)
        else:
            yield instance, Answer(state="warning", reason=reason)


def _failed(sequence: Any) -> Iterator[tuple[UID, Answer]]:  # an element of DICOM JSON
    for instance, item in _items(sequence):
        reason = _number(item, _FAILURE_REASON)
        cause = "It was refused." if reason is None else f"It was refused with {reason:04X}H."
        yield instance, Answer(state="failed", reason=reason, cause=cause)


def _items(sequence: Any) -> Iterator[tuple[UID, dict[str, Any]]]:  # an element of DICOM JSON
    for item in (sequence or {}).get("Value") or ():
        try:
            yield uid(item[_INSTANCE]["Value"][0]), item
        except InvalidUID:
            continue  # an answer to something we did not send


def _number(item: dict[str, Any], tag: str) -> int | None:
    """Read a reason, which is a US; whatever else stands there is none."""
    values = item.get(tag, {}).get("Value") or [None]
    number = int(values[0]) if values[0] is not None else -1
    return number if 0 <= number <= _MOST_REASON else None
