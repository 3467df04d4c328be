"""A peer of Storage Commitment, as pynetdicom makes one: it asks, and takes reports."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF

from tests.factories import EXPLICIT, IMPLICIT, Instance

PUSH = "1.2.840.10008.1.20.1"
_IS_REPORT_ANSWER = bytes.fromhex("0000 0001 0200 0000 0081")  # Command Field N-EVENT-REPORT-RSP
WELL_KNOWN = "1.2.840.10008.1.20.1.1"


@dataclass
class Told:
    """One report as it came."""

    event_type: int
    transaction: str
    committed: list[tuple[str, str]]
    failed: list[tuple[str, str, int]]
    called_by: str
    is_requestor: bool  # whether the association is one the reporter opened


@dataclass
class Peer:
    """Takes reports, on associations of its own and on those opened to it."""

    status: int = 0x0000
    reports: queue.Queue[Told] = field(default_factory=queue.Queue)
    port: int = 0

    def take(self, event: Any) -> tuple[int, None]:
        """Serve N-EVENT-REPORT."""
        info = event.event_information
        assoc = event.assoc
        self.reports.put(
            Told(
                event_type=int(event.event_type),
                transaction=str(info.TransactionUID),
                committed=[
                    (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
                    for item in info.get("ReferencedSOPSequence", [])
                ],
                failed=[
                    (
                        str(item.ReferencedSOPClassUID),
                        str(item.ReferencedSOPInstanceUID),
                        int(item.FailureReason),
                    )
                    for item in info.get("FailedSOPSequence", [])
                ],
                called_by=str(assoc.requestor.ae_title),
                is_requestor=assoc.is_acceptor,
            )
        )
        return self.status, None

    def told(self) -> Told:
        """Wait for the next report."""
        return self.reports.get(timeout=30)

    @contextmanager
    def listening(self, title: str = "CT1", *, syntax: str = EXPLICIT) -> Iterator[Peer]:
        """Take reports on associations others open."""
        ae = AE(ae_title=title)
        ae.add_supported_context(PUSH, syntax, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self.take)]
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = server.server_address[1]
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    @contextmanager
    def associated(
        self, port: int, title: str = "CT1", *, syntax: str = EXPLICIT
    ) -> Iterator[Association]:
        """Open an association on which to ask."""
        ae = AE(ae_title=title)
        ae.add_requested_context(PUSH, syntax)
        taken, answered = queue.Queue[None](), queue.Queue[None]()

        def take(event: Any) -> tuple[int, None]:
            taken.put(None)
            return self.take(event)

        def sent(event: Any) -> None:
            if isinstance(event.pdu, P_DATA_TF) and _IS_REPORT_ANSWER in event.pdu.encode():
                answered.put(None)

        handlers = [(evt.EVT_N_EVENT_REPORT, take), (evt.EVT_PDU_SENT, sent)]
        assoc = ae.associate("127.0.0.1", port, evt_handlers=handlers)
        assert assoc.is_established
        try:
            yield assoc
        finally:
            # a report is answered by another thread: a release must not overtake its answer
            while taken.qsize() and assoc.is_established:
                answered.get(timeout=30)
                taken.get()
            if assoc.is_established:
                assoc.release()


def references(instances: Sequence[tuple[str, str]]) -> list[Dataset]:
    """Write the items of a Referenced SOP Sequence: SOP Class and SOP Instance."""
    items = []
    for sop_class, instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = instance
        items.append(item)
    return items


def pairs(*instances: Instance) -> list[tuple[str, str]]:
    """Name instances as a request does."""
    return [(one.sop_class, one.instance) for one in instances]


def action(instances: Sequence[tuple[str, str]], transaction: str | None = None) -> Dataset:
    """Write the Action Information."""
    asked = Dataset()
    asked.TransactionUID = transaction or generate_uid(None)
    asked.ReferencedSOPSequence = references(instances)
    return asked


def ask(
    assoc: Association,
    asked: Dataset,
    *,
    action_type: int = 1,
    instance: str = WELL_KNOWN,
) -> int:
    """Send N-ACTION; return the status."""
    status, _ = assoc.send_n_action(asked, action_type, PUSH, instance)
    return int(status.Status)


BOTH = (EXPLICIT, IMPLICIT)
SCP_ROLE = build_role(PUSH, scp_role=True)
