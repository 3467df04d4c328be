"""Real peers: DCMTK's programs and pynetdicom's AE against the running edge."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

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
