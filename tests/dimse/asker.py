"""C-GET and C-MOVE as pynetdicom asks for them, with every answer and every object kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import build_role

from tests.dimse import wire
from vna.dimse.sop_classes import PATIENT_ROOT_GET, PATIENT_ROOT_MOVE

STUDY_GET, STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.2.2.2"
PATIENT_GET, PATIENT_MOVE = PATIENT_ROOT_GET, PATIENT_ROOT_MOVE
COUNTS = (
    "NumberOfRemainingSuboperations",
    "NumberOfCompletedSuboperations",
    "NumberOfFailedSuboperations",
    "NumberOfWarningSuboperations",
)

Pair = tuple[str, str]  # SOP Class, Transfer Syntax


@dataclass
class Retrieved:
    """What a request brought: each answer, and what came by C-STORE on the same association."""

    answers: list[Dataset] = field(default_factory=list)
    identifiers: list[Dataset | None] = field(default_factory=list)
    objects: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The status of the final answer."""
        return int(self.answers[-1].Status)

    @property
    def counts(self) -> tuple[int | None, ...]:
        """Remaining, completed, failed and warning of the final answer."""
        return counts(self.answers[-1])

    @property
    def failed(self) -> list[str]:
        """The Failed SOP Instance UID List of the final answer."""
        identifier = self.identifiers[-1]
        if identifier is None or "FailedSOPInstanceUIDList" not in identifier:
            return []
        value = identifier.FailedSOPInstanceUIDList
        return [value] if isinstance(value, str) else list(value)


def counts(answer: Dataset) -> tuple[int | None, ...]:
    """Remaining, completed, failed and warning sub-operations; None for what is not said."""
    return tuple(answer.get(name) for name in COUNTS)


def identifier(**keys: Any) -> Dataset:
    """Write an Identifier from keywords."""
    ds = Dataset()
    for keyword, value in keys.items():
        setattr(ds, keyword, value)
    return ds


@contextmanager
def associated(
    port: int,
    model: str,
    pairs: Sequence[Pair] = (),
    *,
    pdu: int = 16384,
    relational: bool = False,
    roles: bool = True,
    calling: str = "ASKER",
    on_store: Callable[[Any], int] = lambda event: 0,
) -> Iterator[tuple[Association, Retrieved]]:
    """Open an association that asks `model` and takes objects of `pairs`, a context each."""
    got = Retrieved()

    def store(event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        got.order.append(uid)
        got.objects[uid] = (str(event.context.transfer_syntax), event.request.DataSet.getvalue())
        return on_store(event)

    ae = AE(ae_title=calling)
    ae.maximum_pdu_size = pdu
    ae.add_requested_context(model, wire.EXPLICIT)
    for sop_class, syntax in pairs:
        ae.add_requested_context(sop_class, syntax)
    items: list[Any] = [build_role(uid, scp_role=True) for uid in sorted({c for c, _ in pairs})]
    items = items if roles else []
    if relational:
        option = SOPClassExtendedNegotiation()
        option.sop_class_uid, option.service_class_application_information = model, b"\1"
        items.append(option)
    assoc = ae.associate("127.0.0.1", port, ext_neg=items, evt_handlers=[(evt.EVT_C_STORE, store)])
    assert assoc.is_established
    try:
        yield assoc, got
    finally:
        if got.answers and "Status" not in got.answers[-1]:
            assoc.join(60.0)  # it ended: released before its thread says so, it is waited for
        assoc.release()


def get(
    port: int, pairs: Sequence[Pair], *, model: str = STUDY_GET, keys: dict[str, Any], **how: Any
) -> Retrieved:
    """Ask by C-GET until the final answer."""
    with associated(port, model, pairs, **how) as (assoc, got):
        _collect(got, assoc.send_c_get(identifier(**keys), model))
    return got


def move(
    port: int, to: str, *, model: str = STUDY_MOVE, keys: dict[str, Any], **how: Any
) -> Retrieved:
    """Ask by C-MOVE until the final answer."""
    with associated(port, model, **how) as (assoc, got):
        _collect(got, assoc.send_c_move(identifier(**keys), to, model))
    return got


def _collect(got: Retrieved, answers: Iterator[tuple[Dataset, Dataset | None]]) -> None:
    for status, ds in answers:
        got.answers.append(status)
        got.identifiers.append(ds)
