"""SIGTERM ends a process whatever it does at that moment, and however often it comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

WAIT_S = 60

BEGIN = """
import os, signal, sys, threading
from vna.cli.told import when_told

stop = threading.Event()
when_told(stop.set)

def told():
    os.kill(os.getpid(), signal.SIGTERM)
"""
PROGRAMS = {
    # its own lock is held then, as in the middle of `wait`
    "looks whether it is": "with stop._cond: told()",
    "has just been": "told(); told(); told()",
    "is told more often than anybody counts": "[told() for _ in range(5000)]",
    "has a child that is": """
child = os.fork()
if not child:
    told()
    os._exit(3)
assert os.waitpid(child, 0)[1] == 3 << 8
assert not stop.wait(0.2)
told()
""",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_who_is_told_to_end_while_it(program: str) -> None:
    end = "\nsys.exit(0 if stop.wait(30) else 1)\n"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + program + end],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
