"""Real peers: DCMTK's programs and pynetdicom's AE against the running edge."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from tests.dimse.edge import Edge

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
