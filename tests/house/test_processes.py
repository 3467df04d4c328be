"""What the processes of `vna serve` begin with: everything all of them use, and nothing large else.

It is imported before the first fork, so that they share it; what is of one path alone is imported
where that path begins.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[2]

# what others bring along, and who would notice first that it came back
_LARGE: Final = {
    *("numpy", "PIL", "imagecodecs", "pydicom", "pynetdicom"),  # pictures, data sets: sandbox
    *("fpdf", "fontTools", "segno", "pycdlib"),  # paper and discs
    *("httpx", "httpcore", "requests", "urllib3", "rich", "pygments"),  # calls to others
    *("webauthn", "cbor2", "OpenSSL", "pyotp", "phonenumbers"),  # people who sign in
    *("psutil", "hypothesis", "pytest", "unittest"),
}

_LOADED = """
import importlib
import sys
importlib.import_module(sys.argv[1])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("begun", ["vna.cli.processes", "vna.cli.guests"])
def test_the_processes_begin_without_what_they_may_never_need(begun: str, tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", _LOADED, begun],
        cwd=_ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(said.stdout.split())
    assert {"vna", "psycopg", "starlette"} <= loaded  # what all share is there before they fork
    assert loaded & _LARGE == set()
