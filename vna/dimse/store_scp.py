"""C-STORE: the data set streams into ingest as it arrives, the outcome becomes the status."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vna.config import Settings
from vna.dicom.refs import uid
from vna.dimse.exchange import Answer, Exchange, Service
from vna.dimse.sop_classes import Service as Kind
from vna.dimse.sop_classes import service_of
from vna.dimse.status import (
    INVALID_INSTANCE,
    NO_DATA_SET,
    NO_SUCH_SOP_CLASS,
    of_outcome,
    of_store_error,
)
from vna.errors import InvalidUID, VNAError
from vna.ingest.outcome import Expected, Source

if TYPE_CHECKING:
    from vna.ingest.engine import IngestEngine
    from vna.ingest.receiving import Receiving


def storing(ingest: IngestEngine, settings: Settings) -> Callable[[Exchange], Service]:
    """Return what serves C-STORE (PS3.4 B.2)."""

    def begin(exchange: Exchange) -> Service:
        command = exchange.command
        if not command.has_data_set:
            return Answer(exchange, NO_DATA_SET)
        unknown = settings.dicom.unknown_storage
        if service_of(command.sop_class, unknown_storage=unknown) is not Kind.STORAGE:
            return Answer(exchange, NO_SUCH_SOP_CLASS)
        try:
            instance = uid(command.sop_instance)
            receiving = _receive(ingest, exchange, instance)
        except InvalidUID:
            return Answer(exchange, INVALID_INSTANCE)
        except VNAError as exc:
            return Answer(exchange, of_store_error(exc))
        return _Storing(exchange, receiving, answer=settings.versions.answer)

    return begin


def _receive(ingest: IngestEngine, exchange: Exchange, instance: str) -> Receiving:
    peer = exchange.peer
    return ingest.receive(
        peer.principal,
        Source(
            proto="dimse",
            calling_ae=peer.calling,
            called_ae=peer.called,
            address=peer.address,
            issuer=peer.remote.patient_id_issuer if peer.remote is not None else None,
        ),
        transfer_syntax=exchange.context.transfer_syntax,
        expected=Expected(sop_class=exchange.command.sop_class, sop_instance=instance),
    )


class _Storing:
    """One object on its way in. A refusal is answered when the sender has sent all of it."""

    def __init__(self, exchange: Exchange, receiving: Receiving, *, answer: str) -> None:
        self._exchange = exchange
        self._receiving = receiving
        self._answer = answer

    def feed(self, data: memoryview) -> None:
        """Pass it on; the view is used up on return."""
        self._receiving.feed(data)

    def finish(self) -> None:
        """Wait until the object is durable and indexed, and say so."""
        status = of_outcome(self._receiving.finish(), answer=self._answer)
        self._exchange.respond(status, None)
        self._exchange.send()

    def abort(self) -> None:
        """Keep nothing."""
        self._receiving.abort()
