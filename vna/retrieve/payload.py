"""Payload: what goes out, in no protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vna.dicom.refs import InstanceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes of one object, frame or value, and what they are.

    `length` is None where it is known only at the end (a data set rewritten as it goes out).
    `chunks` is walked once; every byte of it has been authenticated. `read` gives a part of it
    (offset, length) where the stored bytes allow that. `location` is the path below the DICOMweb
    root under which the same bytes can be asked for again. `revision` names the stored version.
    """

    ref: InstanceRef
    media_type: str
    transfer_syntax: str | None
    length: int | None
    chunks: Iterator[bytes]
    location: str | None = None
    revision: str | None = None
    read: Callable[[int, int], bytes] | None = None


def path_of(ref: InstanceRef) -> str:
    """Path of an instance below the DICOMweb root (PS3.18 10.1)."""
    return f"/studies/{ref.study}/series/{ref.series}/instances/{ref.instance}"
