"""C-GET and C-MOVE as lean as a client can be, so that the server is what is measured."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from tests.dimse.edge import Edge
from vna.config import Dicom, Settings
from vna.dicom.encode import encode_dataset
from vna.dimse.messages import Command, Field, Messages, Progress, Status, request, response
from vna.dimse.pdu import AssociateAccept, AssociateRequest, ProposedContext, Role, UserInformation
from vna.dimse.scps import services
from vna.dimse.upper_layer import Event, Fragment, UpperLayer
from vna.ingest.outcome import Stored

IMPLICIT = "1.2.840.10008.1.2"
GET, MOVE = "1.2.840.10008.5.1.4.1.2.2.3", "1.2.840.10008.5.1.4.1.2.2.2"
_SUCCESS = Status(code=0)


class Puller:
    """One association that asks a model and takes what comes on it, keeping nothing."""

    def __init__(
        self,
        port: int,
        model: str,
        takes: tuple[str, str] | None = None,
        *,
        calling: str = "BENCH",
        roles: bool = True,
    ) -> None:
        self._model = model
        self._layer = UpperLayer(max_pdu_bytes=131072, max_associate_bytes=65536, acceptor=False)
        self._messages = Messages()
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(1 << 20))
        self._events: Iterator[Event] = iter(())
        pairs = [(model, IMPLICIT), *([takes] if takes else [])]
        self._layer.request(
            AssociateRequest(
                calling=calling,
                called="VNA",
                contexts=tuple(
                    ProposedContext(
                        context_id=2 * n + 1, abstract_syntax=name, transfer_syntaxes=(syntax,)
                    )
                    for n, (name, syntax) in enumerate(pairs)
                ),
                user=UserInformation(
                    max_pdu_bytes=131072,
                    implementation_class="1.2.3",
                    roles=tuple(
                        Role(sop_class=c, scu=False, scp=True) for c, _ in pairs[1:] if roles
                    ),
                ),
            )
        )
        self._sock.sendall(self._layer.data_to_send())
        assert isinstance(self._event(), AssociateAccept)

    def ask(self, keys: dict[str, str], *, to: str = "") -> tuple[int, Progress]:
        """Send a request; take objects until the final answer; return its status and counts."""
        elements = {tag: {"vr": _vr(tag), "Value": [value]} for tag, value in keys.items()}
        field = Field.C_MOVE if to else Field.C_GET
        command = request(field, 1, self._model, destination=to)
        data = encode_dataset(elements, explicit=False)
        self._sock.sendall(self._layer.message(1, command, data))
        while True:
            answer = self._command()
            if answer.field == Field.C_STORE:
                back = response(answer, _SUCCESS)
                self._sock.sendall(self._layer.message(answer.context_id, back))
            elif answer.status != 0xFF00:
                return answer.status, answer.progress

    def close(self) -> None:
        """Release."""
        self._layer.release()
        self._sock.sendall(self._layer.data_to_send())
        self._event()
        self._sock.close()

    def _command(self) -> Command:
        command: Command | None = None
        while command is None or self._messages.midway:
            event = self._event()
            assert isinstance(event, Fragment), event
            message = self._messages.receive(event)
            if isinstance(message, Command):
                command = message
        return command

    def _event(self) -> Event:
        while (event := next(self._events, None)) is None:
            count = self._sock.recv_into(self._buffer)
            assert count, "the server closed the connection"
            self._events = self._layer.receive(self._buffer[:count])
        return event


def _vr(tag: str) -> str:
    return "CS" if tag.startswith("0008") and tag != "00080018" else "UI"


@contextmanager
def discarding() -> Iterator[int]:
    """Serve a Storage SCP that answers success and keeps nothing; give its port."""
    taken: Any = SimpleNamespace(
        feed=lambda data: None, finish=lambda: Stored(ref=None, sop_class=""), abort=lambda: None
    )
    ingest = SimpleNamespace(receive=lambda *args, **named: taken)
    engines: Any = SimpleNamespace(ingest=ingest, query=None)
    settings = Settings(dev=True, dicom=Dicom(associations_per_address=100))
    edge = Edge(settings, services(engines, settings), 1, 30.0)
    try:
        yield edge.port
    finally:
        edge.close()
