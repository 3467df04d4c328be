"""What a process tells of itself: no memory to others of its user, a name to `ps`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks for prctl")

_ROOT: Final = Path(__file__).resolve().parents[2]

_TOLD: Final = """
import ctypes, os, resource, sys
from vna.cli.itself import be_called
from vna.cli.main import main
assert main(sys.argv[1:]) == 0
be_called("vna http 1")
if (child := os.fork()) == 0:
    is_dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
    print(is_dumpable, *resource.getrlimit(resource.RLIMIT_CORE), open("/proc/self/comm").read())
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize(("dev", "is_dumpable"), [("0", "0"), ("1", "1")])
def test_nobody_reads_the_memory_of_a_command_nor_of_what_it_forks(
    tmp_path: Path, dev: str, is_dumpable: str
) -> None:
    """Keys are in it: a core dump handed to a program is not kept back by its limit (core(5))."""
    said = subprocess.run(
        [sys.executable, "-c", _TOLD, "role", "list", "--data", str(tmp_path)],
        cwd=_ROOT,
        env={"VNA_DEV": dev, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    *_, last = filter(None, said.stdout.splitlines())
    assert last == f"{is_dumpable} 0 0 vna http 1"
