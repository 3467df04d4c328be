"""Instances on their way to another AE, in no protocol: what they are and how their bytes come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vna.dicom.refs import InstanceRef
from vna.retrieve.payload import Buffer
from vna.retrieve.representation import Forms

__all__ = ["Body", "Buffer", "Forms", "Outgoing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A data set in one Transfer Syntax, walked once; every byte of it has been authenticated.

    Where `length` is known a chunk is good only until the next one is asked for, and together they
    are exactly that long. Where it is None (a data set rewritten as it goes) chunks stay good.
    """

    length: int | None
    chunks: Iterator[Buffer]


def _stands() -> None:
    """Nothing stands in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One instance to send. `load` opens it in one of its `forms`.

    `load` and the walk of what it gives raise what a blob store raises: `NotFound`, `Corrupt`, ...
    `still` is asked right before its first byte leaves, for it may have been opened long before:
    it raises the same, and `NotPermitted`, when the instance may not go any more.
    """

    ref: InstanceRef
    sop_class: str
    transfer_syntax: str
    forms: Forms
    load: Callable[[str], Body]
    still: Callable[[], None] = _stands
