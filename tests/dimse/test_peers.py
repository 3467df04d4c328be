"""Real peers: DCMTK's programs and pynetdicom's AE against the running edge."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.dimse import wire
from tests.dimse.edge import Edge
from vna.dimse.messages import Field, decode_command, request

Serve = Callable[..., Edge]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_echoscu_is_answered(serve: Serve) -> None:
    done = run("/usr/bin/echoscu", "-v", "127.0.0.1", str(serve().port))
    assert done.returncode == 0, done.stderr


def test_pynetdicom_is_answered(serve: Serve) -> None:
    edge = serve()
    ae = AE(ae_title="PEER")
    ae.add_requested_context(Verification)
    for _ in range(5):  # one request each: between two its own reactor may take the answer away
        assoc = ae.associate("127.0.0.1", edge.port)
        assert assoc.is_established
        assert assoc.send_c_echo().Status == 0
        assoc.release()
        assert assoc.is_released


@pytest.mark.parametrize("tags", [[0x00100010], [0x00100010, 0x00100020, 0x0020000D]])
def test_n_get_is_answered_that_there_is_none(serve: Serve, tags: list[int]) -> None:
    """PS3.7 10.1.2.1: the Attribute Identifier List (0000,1005) is AT; PS3.7 C.5.25: 0211H."""
    ae = AE(ae_title="PEER")
    ae.add_requested_context(Verification)
    assoc = ae.associate("127.0.0.1", serve().port)
    status, _ = assoc.send_n_get(tags, Verification, "1.2.3")
    assert status.Status == 0x0211
    assoc.release()
    assert assoc.is_released


def test_a_context_of_an_even_number_is_served(serve: Serve) -> None:
    """PS3.8 9.3.2.2 wants odd ones; stgcmtscu of dcm4che numbers its two contexts 1 and 2."""
    proposed = [wire.context(number, wire.VERIFICATION) for number in (1, 2)]
    echo = request(Field.C_ECHO, 7, wire.VERIFICATION, has_data_set=False)
    with socket.create_connection(("127.0.0.1", serve().port), timeout=10) as sock:
        sock.sendall(wire.associate(*proposed))
        assert wire.answer(sock)[0] == 2
        sock.sendall(wire.pdu(4, wire.pdv(2, 3, echo)))
        kind, body = wire.answer(sock)
    assert (kind, body[4]) == (4, 2)
    assert decode_command(2, body[6:]).status == 0
